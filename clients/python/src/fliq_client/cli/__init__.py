"""
The command `fliq` of a user: jobs, schedules and failures in a shell, on the public API alone.

Every command has a module with `add(commands)`, which describes its words and options and names the function that does each. Such a
function gets the parsed options and a `Session`, and returns an exit code (`exits.py`).
"""
