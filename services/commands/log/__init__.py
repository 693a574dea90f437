"""
`fliq log`: shows the records of the log, for people and programs.

    selection   which records are asked for (pure)
    scan        finds them with few reads: by position and by time
    lines       a record as a line of JSON, without secrets (pure)
    stats       counts records (pure)
    command     the options, and the three actions
"""

from services.commands.log.command import MEANING, NAME, TEXT, arguments, run

__all__ = ["MEANING", "NAME", "TEXT", "arguments", "run"]
