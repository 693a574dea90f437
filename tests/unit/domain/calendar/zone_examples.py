"""A few zones, written down by hand, and instants as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from libs.domain.calendar.zones import zone_of


def second(text: str) -> int:
    """Return a UTC instant such as ``2026-03-29 01:00`` in seconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def ms(text: str) -> int:
    """Return a UTC instant such as ``2026-03-29 01:00`` in milliseconds."""
    return second(text) * 1_000


def shown(at_s: int | None) -> str | None:
    """Return a UTC second as text, without seconds if they are zero."""
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")


def wall(minute: int) -> str:
    """Return a wall minute as text."""
    return (datetime(1970, 1, 1) + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M")


BERLIN = zone_of(
    "Europe/Berlin",
    "2026f",
    3_600,
    [
        (second("2026-03-29 01:00"), 7_200),
        (second("2026-10-25 01:00"), 3_600),
        (second("2027-03-28 01:00"), 7_200),
        (second("2027-10-31 01:00"), 3_600),
    ],
)
APIA = zone_of("Pacific/Apia", "2026f", -36_000, [(second("2011-12-30 10:00"), 50_400)])  # had no 30 December 2011
MONROVIA = zone_of("Africa/Monrovia", "2026f", -2_670, [(second("1972-01-07 00:44:30"), 0)])
# Made up: the clock goes back an hour, forward half an hour before it has caught up, and forward two hours a day later.
RESTLESS = zone_of(
    "Made/Restless",
    "0",
    7_200,
    [(second("2026-06-01 00:00"), 3_600), (second("2026-06-01 00:15"), 5_400), (second("2026-06-02 00:00"), 12_600)],
)
