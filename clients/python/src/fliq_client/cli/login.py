"""Login: `fliq login` keeps an address and a token under a name; `fliq logout` forgets them."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from typing import Final

from fliq_client.cli.exits import OK, UsageError
from fliq_client.cli.parsing import Commands, word
from fliq_client.cli.profiles import DEFAULT, Profile, load, place, save
from fliq_client.cli.session import Session
from fliq_client.client import Fliq

TEXT: Final = """\
Asks for the token, tries it, and saves both in ~/.config/fliq/profiles.json (XDG_CONFIG_HOME), which only you can read.

  fliq login http://127.0.0.1:8080
  fliq login https://fliq.example.com --profile production
  echo "$TOKEN" | fliq login https://fliq.example.com --no-input      the token from standard input

If FLIQ_URL and FLIQ_TOKEN are both set, they are used instead of the profile `default`. --profile overrides both.
"""


def add(commands: Commands) -> None:
    """Describe `fliq login` and `fliq logout`."""
    parser = word(commands, "login", _login, "save the address of a Fliq, and a token for it", TEXT)
    parser.add_argument("url", help="where Fliq is")
    word(commands, "logout", _logout, "remove what login saved")


def _login(args: argparse.Namespace, session: Session) -> int:
    token = getpass.getpass("API token: ") if session.may_ask else sys.stdin.readline()
    try:
        with Fliq(args.url, token.strip()) as fliq:
            fliq.jobs.page(limit=1)
    except ValueError as error:
        raise UsageError(str(error)) from None
    name = _name(args)
    path = place(os.environ)
    save(path, load(path) | {name: Profile(args.url, token.strip())})
    session.say(f"logged in to {args.url} as profile {name}")
    return OK


def _logout(args: argparse.Namespace, session: Session) -> int:
    path, name = place(os.environ), _name(args)
    profiles = load(path)
    if profiles.pop(name, None) is None:
        raise UsageError(f"there is no profile {name!r}")
    save(path, profiles)
    session.say(f"forgot profile {name}")
    return OK


def _name(args: argparse.Namespace) -> str:
    return str(args.profile or os.environ.get("FLIQ_PROFILE") or DEFAULT)
