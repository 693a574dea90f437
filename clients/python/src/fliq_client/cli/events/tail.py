"""Tail: `fliq events tail`: what happens, as it happens."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from fliq_client.cli import options
from fliq_client.cli.exits import OK
from fliq_client.cli.parsing import Commands, add_stream_options, group, word
from fliq_client.cli.session import Session, plain
from fliq_client.groups.feed import StreamEvent

TEXT: Final = """\
Prints events of jobs and schedules as they happen. After a broken connection it goes on where it was.

  fliq events tail
  fliq events tail --type job.failed --label tenant:acme
  fliq events tail --since 1h --json | jq .subject
"""


def add(commands: Commands) -> None:
    """Describe `fliq events`."""
    events = group(commands, "events", "follow the events of jobs and schedules", TEXT)
    tail = word(events, "tail", _tail, "print events, until you stop it", "With --json one line is one event.")
    tail.add_argument("--type", action="append", default=[], metavar="TYPE", help="only these, such as job.failed")
    tail.add_argument("--since", metavar="WHEN", help="begin then: an instant, or a duration ago, such as 1h")
    add_stream_options(tail)


def _tail(args: argparse.Namespace, session: Session) -> int:
    stream = session.fliq.events.stream(
        types=args.type, labels=options.labels(args.label), schedule_id=args.schedule_id, since=since(args.since)
    )
    for number, event in enumerate(stream, start=1):
        session.say(msgspec.json.encode(plain(event)).decode() if session.as_json else line(event))
        if number == args.count:
            break
    return OK


def since(text: str | None) -> datetime | None:
    """Return the instant that *text* means: one itself, or a duration ago; raises UsageError."""
    if text is None:
        return None
    if "T" in text:
        return options.instant(text)
    return datetime.now(UTC) - timedelta(seconds=options.seconds(text))


def line(event: StreamEvent) -> str:
    """Return *event* as one line for people."""
    said = " ".join(f"{name}={value}" for name, value in event.data.items() if _is_shown(name, value, event.subject))
    return f"{options.shown_instant(event.time)}  {event.name}  {event.subject}  {said}".rstrip()


def _is_shown(name: str, value: Any, subject: str) -> bool:
    return isinstance(value, str | int) and value != subject and len(str(value)) <= 60 and not name.endswith("_at")
