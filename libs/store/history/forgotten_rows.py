"""
Forgotten rows: the rule of libs/domain/history/floors.py as conditions on rows of `jobs` (here `j`) and `deliveries` (`d`).

A conformance test holds both against each other, row by row. Positions stand in a `bytea`, eight bytes each, so the last one is
compared as bytes: big-endian numbers are in the order of their bytes.
"""

from typing import Any, Final, NamedTuple

from asyncpg.pgproto.pgproto import UUID

from libs.domain.heartbeat import ACCOUNT
from libs.domain.history.floors import FIELDS, NOTHING_FORGOTTEN, Floors
from libs.domain.job import TERMINAL, JobStatus
from libs.store.projection.state_table import one_of

_FLOORS: Final = f"SELECT {', '.join(FIELDS)} FROM history WHERE part = $1"  # noqa: S608 - our own names

_ENDED: Final = one_of("j.status", TERMINAL)
_FAILED: Final = int(JobStatus.FAILED)


class _Terms(NamedTuple):
    """How the floors are written in a statement: columns of a row, or parameters."""

    through: str
    success_before: str
    failed_before: str
    heartbeat_before: str
    is_old_id: str


def _rule(schema: str, floor: _Terms) -> str:
    def is_before(table: str) -> str:
        return f"substr({table}.offsets, length({table}.offsets) - 7) < int8send({floor.through})"

    return (
        f"{_ENDED} AND NOT (j.has_webhook AND j.webhook_at IS NULL) AND {is_before('j')}"
        f" AND j.completed_at < CASE WHEN j.account = '{ACCOUNT}' THEN {floor.heartbeat_before}"
        f" WHEN j.status = {_FAILED} THEN {floor.failed_before} ELSE {floor.success_before} END"
        f" AND {floor.is_old_id} AND NOT EXISTS (SELECT FROM {schema}deliveries d WHERE d.job_id = j.job_id"
        f" AND NOT (d.next_at IS NULL AND NOT d.held AND {is_before('d')} AND d.last_at <"
        f" CASE WHEN d.account = '{ACCOUNT}' THEN {floor.heartbeat_before}"
        f" WHEN d.event = 'job.failed' THEN {floor.failed_before} ELSE {floor.success_before} END))"
    )


# By the table `history` (here `h`): for whole tables.
def of_schema(schema: str) -> str:
    """Return the query for the ids, and the ids of specs, of all jobs of *schema* that are forgotten."""
    id_ms = "('x' || left(replace(j.job_id::text, '-', ''), 12))::bit(48)::int8"
    ids_before = f"CASE WHEN j.account = '{ACCOUNT}' THEN h.heartbeat_before ELSE greatest(h.success_before, h.failed_before) END"
    terms = _Terms("h.through", "h.success_before", "h.failed_before", "h.heartbeat_before", f"{id_ms} < {ids_before}")
    return (
        f"SELECT j.job_id, j.shared_spec_id FROM {schema}.jobs j JOIN {schema}.history h USING (part)"  # noqa: S608
        f" WHERE {_rule(f'{schema}.', terms)}"
    )


# By parameters: $1 part, $2 limit, $3 to $6 the floors, $7 and $8 the bounds of ids. Every part is a short scan of an index.
_PARAMETERS: Final = _Terms("$3", "$4", "$5", "$6", "j.job_id < $7")
_GONE: Final = (
    "SELECT j.job_id, j.account, j.idempotency_key, j.shared_spec_id, j.schedule_id, j.more"
    " FROM jobs j WHERE j.part = $1"
)


def _scan(status: JobStatus, before: str) -> str:
    return (
        f"({_GONE} AND j.status = {int(status)} AND j.completed_at < {before} AND j.account <> '{ACCOUNT}'"
        f" AND {_rule('', _PARAMETERS)} ORDER BY j.completed_at LIMIT $2)"
    )


FORGOTTEN: Final = " UNION ALL ".join(
    (
        _scan(JobStatus.COMPLETED, "$4"),
        _scan(JobStatus.CANCELLED, "$4"),
        _scan(JobStatus.FAILED, "$5"),
        f"({_GONE} AND j.account = '{ACCOUNT}' AND {_rule('', _PARAMETERS._replace(is_old_id='j.job_id < $8'))} LIMIT $2)",
    )
)


def arguments(partition: int, floors: Floors, limit: int) -> list[Any]:
    """Return the arguments of `FORGOTTEN` for up to *limit* jobs of each kind."""
    bounds = [floors.ids_before(account) for account in ("", ACCOUNT)]
    return [
        partition,
        limit,
        *(getattr(floors, name) for name in ("through", "success_before", "failed_before", "heartbeat_before")),
        *(UUID((ms << 80).to_bytes(16, "big")) for ms in bounds),
    ]


async def floors_of(connection: Any, partition: int) -> Floors:
    """Return what is forgotten in *partition*, as of the position of its tables."""
    row = await connection.fetchrow(_FLOORS, partition)
    return NOTHING_FORGOTTEN if row is None else Floors(**row)
