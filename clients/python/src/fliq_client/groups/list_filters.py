"""Filters: what the lists of the client may be asked for, besides their status. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from fliq_client.call import query

__all__ = ["JobFilters", "ScheduleFilters"]


class ScheduleFilters(TypedDict, total=False):
    """What a list of schedules may be asked for."""

    # What has all of these labels.
    labels: Mapping[str, str]
    # What was created at this instant or later; and what was created before this one.
    created_after: datetime
    created_before: datetime
    # What this is, exactly: an id or a key.
    q: str


class JobFilters(ScheduleFilters, total=False):
    """What a list of jobs may be asked for; of a run of a schedule its tick counts as the instant of its creation."""

    scheduled_after: datetime
    scheduled_before: datetime


def filtered(filters: Mapping[str, Any], **others: object) -> tuple[tuple[str, str], ...]:
    """Return the query of a list with *filters* and *others*; raises ValueError if an instant has no time zone."""
    named = dict(filters)
    labels = named.pop("labels", None) or {}
    return (*(("label", f"{name}:{value}") for name, value in labels.items()), *query(**named, **others))
