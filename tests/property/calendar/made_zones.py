"""Time zones for tests: those of the zone data, and one made up whose wall clock tells it from UTC at every minute."""

from __future__ import annotations

from libs.domain.calendar.zones import Zone, zone_of
from libs.runtime.zone_data import VERSION, zone_names
from services.api.contract.schedules.requests import Zones
from services.process.zones import zone

HALF = zone_of("Test/Half", "2026t", 30, ())  # 30 s ahead of UTC: "every minute" ticks half a minute later than in UTC


def find(name: str) -> Zone | None:
    """Return a zone by its name."""
    return HALF if name == HALF.name else zone(name)


ZONES = Zones(zone_names() | {HALF.name}, find, VERSION)
