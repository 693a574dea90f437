"""
Commands: the commands of an operator, one file each; registry.py lists them, and says what each module has.

A service that starts imports none of them.
"""
