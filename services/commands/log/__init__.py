"""
`fliq log`: what stands in the log, for people and programs.

    selection   which records are asked for (pure)
    scan        how they are found: by position, by time, by a job's own list of positions
    lines       a record as a line of JSON, without secrets (pure)
    stats       counting instead of showing (pure)
    output      standard output that may be closed at any moment
    command     the options, and the three ways to look
"""

from services.commands.log.command import MEANING, NAME, TEXT, arguments, run

__all__ = ["MEANING", "NAME", "TEXT", "arguments", "run"]
