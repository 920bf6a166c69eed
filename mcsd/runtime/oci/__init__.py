"""What the gate does with the calls that it does not merely pass on.

A package of its own, which the program `mcsd-gate` has beside it: it imports nothing of the rest of mcsd, and
of the standard library only what a call needs. Imports stand where they are used for that reason.
"""
