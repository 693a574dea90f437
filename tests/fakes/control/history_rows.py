"""What is forgotten, and its janitor, in the database in memory (tests/fakes/database.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from libs.domain.history.floors import FIELDS, NOTHING_FORGOTTEN, Floors
from libs.domain.job import JobState
from libs.events.ids import delivery_id, partition_of
from libs.store.control.idempotency import Reservation
from libs.store.history.janitor import HistoryLook
from libs.store.projection.changes import Flush, LabelRow, ResponseRow


class HistoryRows:
    """The part of the database that history is about."""

    def __init__(self) -> None:
        """Start with nothing forgotten."""
        self.floor_rows: dict[int, Floors] = {}
        self.label_rows: dict[LabelRow, None] = {}
        self.swept: list[tuple[dict[Any, Any], Any, Any]] = []  # table, key and row of what was deleted
        self.response_rows: dict[tuple[str, int], ResponseRow] = {}

    def floors(self, partition: int) -> Floors:
        return self.floor_rows.get(partition, NOTHING_FORGOTTEN)

    def _write_all(self, flush: Flush) -> None:
        self._write_changes(flush)
        for row in flush.changes.labels:
            self._write(self.label_rows, row, None)
        for response in flush.changes.responses:
            self._write(self.response_rows, (response.job_id, response.attempt), response)
        moved = flush.changes.floors
        if moved is not None:
            old = self.floors(flush.partition)
            risen = Floors(**{name: max(getattr(old, name), getattr(moved, name)) for name in FIELDS})
            self._write(self.floor_rows, flush.partition, risen)

    def look(self, partition: int, floors: Floors) -> HistoryLook:
        return HistoryLook(
            bool(self._forgotten(partition, floors)),
            self.fanned_out(partition)[0],
            bool(self._old_responses(partition, floors)),
        )

    def oldest_end(self, partition: int) -> int | None:
        return min((job.completed_at for job in self._jobs(partition) if job.completed_at is not None), default=None)

    def ended_rows(self) -> int:
        return sum(job.is_terminal for job in self.jobs.values())

    def sweep(self, partition: int, limit: int) -> int:
        gone = self._forgotten(partition, self.floors(partition))[:limit]
        for job in gone:
            self._remove(self.jobs, job.job_id)
            for name, value in job.labels.items():
                self._remove(self.label_rows, LabelRow(job.account, name, value, job.job_id))
            self._remove(self.deliveries, delivery_id(job.job_id))
            for key in [key for key in self.execution_rows if key[0] == job.job_id]:
                self._remove(self.execution_rows, key)
            for key in [key for key in self.response_rows if key[0] == job.job_id]:
                self._remove(self.response_rows, key)
            if job.schedule_id is None and all(each.spec_id != job.spec_id for each in self.jobs.values()):
                self._remove(self.specs_by_id, job.spec_id)
            held = self.keys.get((job.account, job.idempotency_key))
            if held is not None and held.job_id == job.job_id:
                self._remove(self.keys, (job.account, job.idempotency_key))
        self._commit(is_durable=False)
        return len(gone)

    def sweep_responses(self, partition: int, limit: int) -> int:
        gone = self._old_responses(partition, self.floors(partition))[:limit]
        for key in gone:
            self._remove(self.response_rows, key)
        self._commit(is_durable=False)
        return len(gone)

    def _old_responses(self, partition: int, floors: Floors) -> list[tuple[str, int]]:
        return [
            key
            for key, row in self.response_rows.items()
            if row.at < floors.responses_before and partition_of(row.job_id) == partition
        ]

    def replace(self, account: str, key: str, held: Reservation, job_id: str, created_at: int) -> Reservation:
        now_held = self.keys.get((account, key))
        if now_held is not None and now_held.job_id != held.job_id:
            return now_held._replace(is_new=False)
        made = Reservation(job_id, held.request_hash, created_at, True)
        self._write(self.keys, (account, key), made)
        self._commit(is_durable=True)
        return made

    def _forgotten(self, partition: int, floors: Floors) -> list[JobState]:
        return [job for job in self._jobs(partition) if floors.forget(job, self.deliveries)]

    def _remove(self, table: dict[Any, Any], key: object) -> None:
        if key in table:
            row = table.pop(key)
            self._undo.append((table, key, row))
            self.swept.append((table, key, row))

    @contextmanager
    def unswept(self) -> Iterator[None]:
        """Have all rows that were ever swept back for a while; keys stay with the jobs that have them now."""
        back = []
        for table, key, row in self.swept:
            if table is not self.keys and key not in table:
                table[key] = row
                back.append((table, key))
        try:
            yield
        finally:
            for table, key in back:
                table.pop(key, None)
