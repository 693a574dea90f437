"""Exits: the exit codes of the commands, by the class of what went wrong. Pure."""

from __future__ import annotations

from typing import Final

from fliq_client.errors import ApiError, FliqError, NotAnswered, UnexpectedAnswer

OK: Final = 0
FAILED: Final = 1  # Fliq refused what was asked; of `watch`: the job did not succeed
DIFFERENT: Final = 2  # of `diff` alone: there is something to apply
CONFLICT: Final = 3  # it does not fit the state of things: changed meanwhile, fired already
NOT_FOUND: Final = 4
NOT_ALLOWED: Final = 5  # the token is missing, wrong, or may not do this
TRY_LATER: Final = 6  # no answer, or Fliq asks to come back later
USAGE: Final = 64  # the command line or a file is wrong, as BSD's sysexits has it: 2 would be a difference
INTERRUPTED: Final = 130
CLOSED: Final = 141  # nobody reads the output any more, as the shell counts SIGPIPE

MEANING: Final = """\
exit codes: 0 done, 1 refused, 3 conflict (changed meanwhile, fired already), 4 not found, 5 not allowed,
6 no answer or try later, 64 wrong usage; of `fliq diff`: 2 there is a difference
"""

_BY_STATUS: Final = {
    401: NOT_ALLOWED,
    403: NOT_ALLOWED,
    404: NOT_FOUND,
    409: CONFLICT,
    412: CONFLICT,
    429: TRY_LATER,
    503: TRY_LATER,
}


class UsageError(Exception):
    """The command line, a file or a setting is wrong; the message is one line that says what to do."""


class Declined(Exception):
    """A person was asked and said no, or could not be asked; the message says which option answers for them."""


def exit_code(error: FliqError) -> int:
    """Return the exit code that stands for *error*."""
    if isinstance(error, NotAnswered):
        return TRY_LATER
    if isinstance(error, ApiError):
        return _BY_STATUS.get(error.status, FAILED)
    return TRY_LATER if isinstance(error, UnexpectedAnswer) and error.status >= 500 else FAILED
