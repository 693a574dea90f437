"""Zones: the time zones of this process, from the tzdata package. Each table is read when it is first asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from libs.domain.calendar.zones import Zone, zone_of
from libs.runtime.zone_data import VERSION, zone_table

KEPT_MAX: Final = 1_024  # more than there are


@lru_cache(maxsize=KEPT_MAX)
def zone(name: str) -> Zone | None:
    """Return the zone *name*; None if the zone data has none of exactly this name."""
    table = zone_table(name)
    return None if table is None else zone_of(name, VERSION, *table)
