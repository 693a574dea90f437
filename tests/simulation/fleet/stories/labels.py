"""Labels as the users of a fleet give them, what must be there of them at the end, and rules about them taken out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from libs.domain import job as job_fold
from libs.domain.jobs.optional_state import JobMore
from libs.domain.ledger import Applied
from libs.store.projection.changes import LabelRow, PartitionChanges
from libs.store.reads.partition_tables import decode_spec
from tests.fakes.database import Database
from tests.simulation.webhooks.mutations import patched


def labels_of(name: str) -> dict[str, str]:
    """Return the labels of the job or schedule *name*: each fourth has some."""
    return {"name": name, "kind": "x"} if sum(name.encode()) % 4 == 0 else {}


def asked(name: str) -> dict[str, Any]:
    """Return the field of a request that asks for the labels of *name*."""
    return {"labels": labels_of(name)} if labels_of(name) else {}


def labels_lost(database: Database, names: Mapping[str, object]) -> Iterator[str]:
    """A job, and each run of a schedule, has the labels that its caller gave, in its row and beside it, and no others."""
    beside: dict[str, set[LabelRow]] = {}
    for row in database.label_rows:
        beside.setdefault(row.job_id, set()).add(row)
    for job in database.jobs.values():
        name = decode_spec(database.specs_by_id[job.spec_id]).body or ""
        if name not in names:
            continue  # what Fliq makes itself
        wanted = labels_of(name)
        rows = {LabelRow(job.account, *label, job.job_id) for label in wanted.items()}
        if dict(job.labels) != wanted or beside.pop(job.job_id, set()) != rows:
            yield f"label_lost: {name}: {dict(job.labels)}, asked for were {wanted}"
    for job_id in beside:
        if job_id not in database.jobs:
            yield f"label_lost: {job_id} has labels and no row"


def labels_lost_at_the_end() -> AbstractContextManager[None]:
    """A job at its end keeps its labels in the table alone."""
    at_the_end = job_fold.at_the_end

    def forget(more: JobMore | None, ended_by: Any) -> JobMore | None:
        kept = at_the_end(more, ended_by)
        return None if kept is None else msgspec.structs.replace(kept, labels=None)

    return patched((job_fold, "at_the_end", forget))


def labels_not_written() -> AbstractContextManager[None]:
    """What is folded again, or for the first time, brings no labels to the table."""
    add = PartitionChanges.add

    def forget(self: PartitionChanges, applied: Applied) -> None:
        add(self, applied)
        self.labels.clear()

    return patched((PartitionChanges, "add", forget))
