"""
Whole logs of released builds, kept for ever: what was written once must fold, in every later build, into the same rows.

    logs/<version>.jsonl        the records, one a line, as they stood in the log
    logs/<version>.fold.json    what that build made of them
    logs/SHA256SUMS             of both: neither is changed afterwards

`make golden` adds those of the version in services/__init__.py, before its release: from a made-up history that has every kind of
event and of life in it (tests/fakes/histories.py).
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from libs.domain.job import JobState
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.ledger import Ledger
from libs.domain.schedule import ScheduleState
from libs.events import Envelope, read
from libs.store.projection.changes import PartitionChanges
from services import VERSION
from tests.fakes.histories import history

FOLDER = Path(__file__).with_name("logs")
SUMS = FOLDER / "SHA256SUMS"
PARTITIONS = (0, 3)
LIVES = 95
SEED = 13

Records = list[tuple[int, int, Envelope]]


def versions() -> list[str]:
    """Return the versions whose logs are kept."""
    return sorted(path.name.removesuffix(".jsonl") for path in FOLDER.glob("*.jsonl"))


def load(version: str) -> Records:
    """Return the records of *version*: partition, position, envelope."""
    found = []
    for line in (FOLDER / f"{version}.jsonl").read_text(encoding="utf-8").splitlines():
        partition, position, kind, number, must, claim, key, value = json.loads(line)
        found.append((partition, position, Envelope(kind, number, must, claim, key, base64.b64decode(value))))
    return found


def folded(version: str) -> dict[str, Any]:
    """Return what *version* made of its log."""
    found: dict[str, Any] = json.loads((FOLDER / f"{version}.fold.json").read_text(encoding="utf-8"))
    return found


def fold(records: Records) -> dict[str, Any]:
    """Return what this build makes of *records*: every row of every partition, as JSON."""
    found = {}
    for partition, group in groupby(records, key=lambda record: record[0]):
        ledger, changes = Ledger(partition), PartitionChanges(partition)
        verdicts: Counter[str] = Counter()
        for _, position, envelope in group:
            applied = ledger.apply(position, read(partition, envelope), envelope.claim)
            verdicts[applied.verdict.value] += 1
            changes.add(applied)
        rows = {
            "position": ledger.position,
            "claim": str(ledger.claim),
            "verdicts": verdicts,
            "jobs": changes.states.of(JobState),
            "schedules": changes.states.of(ScheduleState),
            "deliveries": changes.states.of(DeliveryState),
            "specs": {spec_id: spec.decode() for spec_id, spec in changes.specs.items()},
            "executions": {
                f"{job_id} {attempt}": row._asdict() for (job_id, attempt), row in changes.executions.items()
            },
            "usage": {f"{account} {day}": count for (account, day), count in changes.usage.items()},
        }
        found[str(partition)] = json.loads(msgspec.json.encode(rows))
    return found


def sums() -> Iterator[str]:
    """Yield the lines of SHA256SUMS as the files are now."""
    for path in sorted(FOLDER.glob("*.json*")):
        yield f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"


def keep(version: str) -> None:
    """Write the log of *version*, and what this build makes of it."""
    records = [
        (partition, position, envelope)
        for partition in PARTITIONS
        for position, envelope in enumerate(history(partition, lives=LIVES, seed=SEED))
    ]
    lines = [
        json.dumps([*record[:2], *record[2][:5], base64.b64encode(record[2].value).decode()]) for record in records
    ]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{version}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = json.dumps(fold(records), indent=1, sort_keys=True, ensure_ascii=False)
    (FOLDER / f"{version}.fold.json").write_text(text + "\n", encoding="utf-8")
    SUMS.write_text("\n".join(sums()) + "\n", encoding="ascii")


if __name__ == "__main__":
    if VERSION in versions() and "--again" not in sys.argv:
        sys.exit(f"the log of {VERSION} is kept already; before its release `make golden ARGS=--again` writes it anew")
    keep(VERSION)
    print(f"kept the log of {VERSION} in {FOLDER.name}/")
