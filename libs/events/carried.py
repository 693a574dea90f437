"""The decisions that carry what lives over to a later part of the log, so that what stands before can be deleted."""

from typing import Annotated

import msgspec
from msgspec import Meta

from libs.events.fields import Instant, Text

Position = Annotated[int, Meta(ge=0)]


class RowsCarried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: rows of the tables as they were before a position. A fold that goes on changes nothing by it.

    It is read by a fold that begins at *begin*, in a log whose records before are deleted.

    Args:
        begin: the rows are the fold of all records before this position.
        table: the table; or `over` for ids of jobs that had ended, and that nothing more can happen to; or `seals` for sums of
            the rows of ended jobs, by hour, and of what was counted, by day.
        rows: as the owner's build writes them; a spec byte by byte as it is stored.
    """

    begin: Position
    table: Text
    rows: tuple[msgspec.Raw, ...]
    at: Instant


class LogCarried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: all that lived before *begin* is carried (`rows.carried`). So one day the log may begin there.

    Of each number the highest that was decided so far counts.

    Args:
        begin: the position; the log from there on, with these rows, makes all later ones.
        rows: how many were carried.
        claim: the claim admitted before *begin*; none if there was none.
        floors: what was decided before *begin* of what is forgotten and carried.
        prior_to: the position before this one up to which all was carried; 0 if there is none.
        prior_at: when that was.
        trim_to: the log before this position is needed no more.
        sealed_before: the hours before this instant are among the `seals`.
    """

    begin: Position
    rows: Annotated[int, Meta(ge=0)]
    claim: Text | None = None
    floors: dict[str, int] | None = None
    prior_to: Position = 0
    prior_at: Instant = 0
    trim_to: Position = 0
    sealed_before: Instant = 0
    at: Instant
