"""The calls that the gate handles before it passes them on.

A package of its own beside the program `mcsd-gate`: it imports nothing of the rest of mcsd, and of the
standard library only what a call needs. For that reason imports are where they are used.
"""
