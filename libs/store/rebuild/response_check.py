"""Response check: what was kept of an answer, as `verify` compares it: by a digest, since the bytes of all of them are many."""

from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from libs.domain.history.floors import Floors
from libs.store.projection import rows
from libs.store.projection.changes import ResponseRow

RESPONSE_COLUMNS: Final = ", ".join(rows.RESPONSE_COLUMNS)


class DigestedResponse(NamedTuple):
    """One row without its bytes."""

    at: int
    key: str | None
    digest: bytes

    @classmethod
    def of(cls, row: ResponseRow) -> "DigestedResponse":
        """Return what is compared of *row*."""
        return cls(row.at, row.key, blake2b(row.data, digest_size=16).digest())


def response_of(row: rows.Row) -> ResponseRow:
    """Return what stands in a row that has `RESPONSE_COLUMNS`."""
    return ResponseRow(rows.job_id_of(row["job_id"]), row["attempt"], row["at"], row["key"], row["data"])


def not_forgotten(
    found: Mapping[tuple[str, int], DigestedResponse], floors: Floors, forgotten_jobs: Collection[str]
) -> dict[tuple[str, int], DigestedResponse]:
    """Return those of *found* whose rows must be there: the others may have been deleted, by their age or with their jobs."""
    before = floors.responses_before
    return {key: row for key, row in found.items() if row.at >= before and key[0] not in forgotten_jobs}
