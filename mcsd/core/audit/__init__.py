"""`mcsctl audit`, what is open on a host besides levels: facts, rules, findings, and their formats."""
