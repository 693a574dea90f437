"""Option values: the text of a command's option as a value; argparse refuses what makes no sense, with exit code 2. Pure."""

from __future__ import annotations

import argparse
import math
from typing import Final

from libs.runtime.settings.values import account_name
from services.api.contract.token_text import SCOPES

WAIT_MAX_S: Final = 86_400.0
LIMIT_MAX: Final = 10**15
DEFAULT: Final = -1  # a limit that is as the settings say


def account(text: str) -> str:
    """Read the name of an account; raises argparse's error for what cannot be one."""
    try:
        return account_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def scopes(text: str) -> frozenset[str]:
    """Read a comma list of scopes; raises argparse's error for what is none."""
    found = frozenset(each.strip() for each in text.split(","))
    if not found <= SCOPES.keys():
        raise argparse.ArgumentTypeError(f"{text!r} is not a comma list of {', '.join(SCOPES)}")
    return found


def whole(text: str) -> int:
    """Read a whole number from 0 on; raises argparse's error for anything else."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def limit(text: str) -> int:
    """Read a limit: a number from 1 on, `off` as 0, `default` as `DEFAULT`; raises argparse's error for anything else."""
    if text in ("off", "default"):
        return 0 if text == "off" else DEFAULT
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= LIMIT_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {LIMIT_MAX:,}, `off` or `default`")
    return int(text)


def wait_s(text: str) -> float:
    """Read how long to wait, in seconds; raises argparse's error for what is no time up to a day."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= WAIT_MAX_S:  # also no: nan
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {WAIT_MAX_S:g}")
    return seconds
