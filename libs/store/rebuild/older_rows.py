"""
Older rows: rows of the tables that are older than the log, which was trimmed: jobs that were over before it begins, and what
belongs to them. The fold of the log does not have them.

Nothing in the log says what they were, so they are counted, and taken over by a rebuild as they are. What may be older is told by
the row itself: it began before the log does. A job that still waits for something is never older: the log has it.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from libs.domain.history.floors import is_over
from libs.domain.instants import day_of
from libs.domain.job import TERMINAL, JobState
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.state_registry import State
from libs.events.ids import instant_of
from libs.store.carried import carried_rows
from libs.store.carried.carried_rows import DAYS_OF_USAGE, Beginning
from libs.store.projection.changes import ExecutionRow, ResponseRow
from libs.store.projection.state_table import one_of

SKEW_MS: Final = 60_000  # by which the clocks of two processes may differ; they stop long before, but for APIs

_IS_OVER: Final = (
    f"{one_of('o.status', TERMINAL)} AND o.completed_at IS NOT NULL AND NOT (o.has_webhook AND o.webhook_at IS NULL)"
)


class Older(NamedTuple):
    """
    What is older than a log that begins at *begin*; nothing if that is 0.

    Args:
        at: when what lived was carried.
    """

    begin: int
    at: int

    @classmethod
    def than(cls, beginning: Beginning) -> "Older":
        """Return what is older than *beginning*, whose rows were all read."""
        return cls(beginning.begin, 0 if beginning.end is None else beginning.end.at)

    def has_state(self, state: State) -> bool:
        """Say whether *state*, which the fold does not have, may be older."""
        if isinstance(state, JobState):
            return is_over(state) and state.offsets[0] < self.begin
        return isinstance(state, DeliveryState) and state.offsets[0] < self.begin

    def has_execution(self, row: ExecutionRow) -> bool:
        """Say the same of an execution."""
        return row.executed_at < self.at + SKEW_MS

    def has_spec(self, spec_id: str) -> bool:
        """Say the same of a spec."""
        return instant_of(spec_id) < self.at + SKEW_MS

    def has_labels(self, job_id: str) -> bool:
        """Say the same of a job's labels."""
        return instant_of(job_id) < self.at + SKEW_MS

    def has_response(self, row: ResponseRow) -> bool:
        """Say the same of what was kept of an answer; the log carries none of them."""
        return row.at < self.at + SKEW_MS

    def has_day(self, day: int) -> bool:
        """Say the same of what was counted on a day."""
        return day < day_of(self.at) - DAYS_OF_USAGE


def known_specs(states: Iterable[State]) -> frozenset[str]:
    """Return the ids, without what they are of, of the specs of *states*: a fold that has these states has these, too."""
    return frozenset(
        each[-26:]
        for state in states
        for each in (carried_rows.own_spec_id(state), *carried_rows.spec_ids_of(state))
        if each
    )


def _missing(side: str, schema: str, table: str, keys: tuple[str, ...], condition: str) -> str:
    same = " AND ".join(f"n.{key} = o.{key}" for key in keys)
    return (
        f"INSERT INTO {side}.{table} SELECT o.* FROM {schema}.{table} o WHERE o.part = $1 AND {condition}"  # noqa: S608
        f" AND NOT EXISTS (SELECT FROM {side}.{table} n WHERE n.part = o.part AND {same})"
    )


async def take_over(connection: Any, side: str, schema: str, partition: int, older: Older) -> None:
    """Copy the older rows of *partition* from *schema* to *side*, which has what the fold has."""
    first = "('x' || encode(substr(o.offsets, 1, 8), 'hex'))::bit(64)::int8 < $2"
    id_ms = "('x' || left(replace(o.spec_id::text, '-', ''), 12))::bit(48)::int8"
    begin, at, until = older.begin, older.at, older.at + SKEW_MS
    for table, keys, condition, argument in (
        ("executions", ("job_id", "attempt"), _of_over(side, schema, first), begin),
        ("labels", ("account", "key", "value", "job_id"), _of_over(side, schema, first), begin),
        ("responses", ("job_id", "attempt"), "o.at < $2", until),
        ("jobs", ("job_id",), f"{_IS_OVER} AND {first}", begin),
        ("deliveries", ("delivery_id",), first, begin),
        ("specs", ("spec_id",), f"{id_ms} < $2", until),
        (
            "usage_daily",
            ("account", "day"),
            "o.day < DATE '1970-01-01' + $2::int4",
            day_of(at) - DAYS_OF_USAGE,
        ),
    ):
        await connection.execute(_missing(side, schema, table, keys, condition), partition, argument)


def _of_over(side: str, schema: str, first: str) -> str:
    """Return the condition for executions and labels of older jobs; it is asked before these are there."""
    began = first.replace("o.", "j.")
    is_over_ = _IS_OVER.replace("o.", "j.")
    return (
        f"EXISTS (SELECT FROM {schema}.jobs j WHERE j.job_id = o.job_id AND {is_over_} AND {began})"  # noqa: S608
        f" AND NOT EXISTS (SELECT FROM {side}.jobs k WHERE k.job_id = o.job_id)"
    )
