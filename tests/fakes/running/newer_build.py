"""
A newer build of Fliq, as far as an older one can tell: `python -m tests.fakes.running.newer_build all` starts it.

It is this build with what a release may bring: a field more in `job.scheduled`, a column more (an `expand` step), a version of its
own, and a type of record that must be understood and that only it understands (NEW_TYPE).
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

import libs.events
from libs.events import Envelope, JobScheduled, LogBarrier, codec
from libs.store.schema import migrate

NEW_VERSION = "99.0.0"
NEW_TYPE = "fleet.widened"
NEW_STEP = migrate.Step(9000, "9000_colours.sql", "-- expand\nALTER TABLE jobs ADD COLUMN colour text", True)
NEW_RECORD = Envelope(NEW_TYPE, 1, True, None, "owner", b'{"min_version":1,"at":1}')


def become_newer() -> None:
    """Change this process into one of the newer build; before anything of the services is imported."""
    kind = codec.Kind(name=NEW_TYPE, event=LogBarrier, role="control", key="")
    codec.KINDS = (*codec.KINDS, kind)  # type: ignore[misc]
    codec._BY_NAME = {**codec._BY_NAME, NEW_TYPE: kind}  # type: ignore[misc]
    codec._DECODERS = {**codec._DECODERS, NEW_TYPE: msgspec.json.Decoder(LogBarrier)}  # type: ignore[misc]
    old_encode, old_steps = codec.encode, migrate.steps

    def encode(event: Any, claim: Any = None) -> Envelope:
        envelope = old_encode(event, claim)
        if isinstance(event, JobScheduled):
            return envelope._replace(value=envelope.value[:-1] + b',"colour":"blue"}')
        return envelope

    codec.encode = encode
    libs.events.encode = encode
    migrate.steps = lambda: [*old_steps(), NEW_STEP]


if __name__ == "__main__":
    become_newer()
    import services

    services.VERSION = NEW_VERSION
    from services.__main__ import main

    sys.exit(main())
