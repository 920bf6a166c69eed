"""`mcsctl why`: denials as values, which rule of the kernel caused them, and what to do."""
