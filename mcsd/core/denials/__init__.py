"""Why something was denied: denials as values, which rule of the kernel it was, and what to do.

`mcsctl why`.
"""
