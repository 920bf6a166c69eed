"""What is open on a host beside levels: facts, rules, findings, and how they are told. `mcsctl audit`."""
