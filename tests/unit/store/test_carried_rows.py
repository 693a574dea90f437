"""How rows stand in the log, and what a fold makes of them where it begins."""

from __future__ import annotations

import msgspec
import pytest

from libs.domain.job import JobState, JobStatus
from libs.domain.ledger import Ledger
from libs.events import Claim, LogCarried, RowsCarried
from libs.events.ids import new_job_id
from libs.store.carried.carried_rows import (
    OVER,
    PIECE_BYTES,
    PIECE_ROWS,
    SPECS,
    BadRows,
    Beginning,
    Piece,
    pieces,
    rows_carried,
    spec_row,
    states,
)
from libs.store.projection.changes import PartitionChanges
from tests.golden.carried_examples import CARRIED_EXAMPLES

NOW = 1_800_000_000_000
JOB = JobState(
    job_id=new_job_id(NOW, 0, bytes(8)),
    account="acme",
    status=JobStatus.RETRYING,
    scheduled_at=NOW,
    fire_at=NOW,
    created_at=NOW,
    offsets=(3, 5),
)


def begun(begin: int, *events: RowsCarried | LogCarried) -> tuple[Beginning, Ledger, PartitionChanges]:
    """Return a fold that has begun with *events*."""
    beginning, ledger, changes = Beginning(begin), Ledger(0, position=begin - 1), PartitionChanges(0)
    for event in events:
        beginning.take(event, ledger, changes)
    return beginning, ledger, changes


def test_a_state_comes_back_as_it_was() -> None:
    """What says the usual is left out, and means the usual."""
    carried = [rows_carried(each, 7, NOW) for each in pieces(states([JOB]))]
    end = LogCarried(begin=7, rows=1, claim="3.abcdefgh", floors={"through": 4}, at=NOW)
    beginning, ledger, changes = begun(7, *carried, end)

    assert ledger.states == {JOB.job_id: JOB} == changes.states
    assert changes.new == {JOB.job_id}
    assert (ledger.claim, ledger.floors.through) == (Claim(3, "abcdefgh"), 4)
    assert beginning.end is end
    assert b"timeout_ms" not in bytes(carried[0].rows[0])


def test_a_spec_comes_back_byte_by_byte() -> None:
    """However it is written: what it holds may be sealed."""
    stored = b'{ "url":"https://example.com/",  "body":"caf\xc3\xa9" }'
    _, _, changes = begun(7, rows_carried(Piece(SPECS, (spec_row(JOB.job_id, stored),)), 7, NOW))

    assert changes.specs == {JOB.job_id: stored}
    assert changes.spec_bytes == len(stored)


def test_rows_of_every_kind_that_was_ever_written_are_read() -> None:
    """The golden bytes make a beginning."""
    golden = [each for each in CARRIED_EXAMPLES.values() if isinstance(each, RowsCarried)]
    beginning, ledger, changes = begun(13, *golden, LogCarried(begin=13, rows=len(golden), at=NOW))

    assert beginning.end is not None
    assert len(ledger.states) == 3
    assert len(changes.executions) == len(changes.specs) == len(changes.usage) == len(list(ledger.over)) == 1  # type: ignore[call-overload]


def test_what_is_of_another_beginning_is_passed_over() -> None:
    """An owner that died half-way leaves rows behind."""
    left = rows_carried(Piece(OVER, (b'"job_x"',)), 6, NOW)
    beginning, ledger, _ = begun(7, left, LogCarried(begin=6, rows=1, at=NOW))

    assert beginning.end is None
    assert ledger.claim is None
    assert begun(7, left, LogCarried(begin=7, rows=0, at=NOW))[0].end is not None


def test_what_is_not_whole_is_refused() -> None:
    """Rows that are missing, and rows that cannot be read."""
    with pytest.raises(BadRows, match="2 rows were carried, and 1 are there"):
        begun(7, rows_carried(Piece(OVER, (b'"job_x"',)), 7, NOW), LogCarried(begin=7, rows=2, at=NOW))
    for table, row in ((OVER, b"{}"), ("jobs", b"[]"), ("labels of old", b"{}")):
        with pytest.raises(BadRows, match="cannot be read"):
            begun(7, RowsCarried(begin=7, table=table, rows=(msgspec.Raw(row),), at=NOW))


def test_pieces_are_small() -> None:
    """By bytes and by rows, one table each; a row that is longer has a piece of its own."""
    long, short = b"x" * PIECE_BYTES, b"y"
    rows = [("a", short), ("b", short), ("b", long), ("b", short), *([("c", short)] * (PIECE_ROWS + 1))]

    assert [(piece.table, len(piece.rows)) for piece in pieces(rows)] == [
        ("a", 1),
        ("b", 1),
        ("b", 1),
        ("b", 1),
        ("c", PIECE_ROWS),
        ("c", 1),
    ]
