"""The zones of the tzdata package: as the product reads them, and as the standard library does."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from libs.domain.calendar.zones import Zone, zone_of
from libs.runtime.zone_data import VERSION, zone_names, zone_table

FIRST_S = round(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
LAST_S = round(datetime(2041, 1, 1, tzinfo=UTC).timestamp())


@cache
def zone(name: str) -> Zone:
    """Return the zone as the product has it."""
    table = zone_table(name)
    assert table is not None
    return zone_of(name, VERSION, *table)


@cache
def library_zone(name: str) -> ZoneInfo:
    """Return the zone as the standard library reads the same file."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@cache
def distinct_names() -> list[str]:
    """Return one name for each table of transitions: the others are its aliases."""
    names = {zone_table(name): name for name in sorted(zone_names(), reverse=True)}
    return sorted(names.values())


def transitions(name: str) -> list[int]:
    """Return the indexes of the zone's transitions in the years 2000 to 2040."""
    return [index for index, at in enumerate(zone(name).at) if FIRST_S <= at < LAST_S]
