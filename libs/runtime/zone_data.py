"""
Zone data: the transitions of every time zone, read from the tzdata package.

Only this package is read, never the machine's own copy, so that all processes of one release agree about every zone and can
say which data they used (`VERSION`). Each file is TZif (RFC 8536): a table of transitions and, in its last line, a rule in the
manner of POSIX for the time after the table, which is worked out here up to the year `YEAR_MAX`.

A table is cut to what a schedule can ask about: from 1970 on.
"""

from __future__ import annotations

import re
import struct
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

import tzdata

VERSION: Final[str] = tzdata.IANA_VERSION  # such as 2026f
YEAR_MAX: Final = 2205  # a cron is asked about until 2199, and looks five years ahead
ZONES_KEPT_MAX: Final = 1_024  # more than there are; up to 25 kB each

_NOT_OFFERED: Final = frozenset({"Factory"})  # says that no zone was chosen
_FIRST_SECOND: Final = -86_400 * 7  # a week before 1970: whatever the offset, nothing before it matters
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_HEADER: Final = struct.Struct(">4sc15x6I")
_NAME: Final = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]+>)"
_TIME: Final = r"[+-]?\d{1,3}(?::\d\d){0,2}"
_DAY: Final = r"(?:M\d{1,2}\.[1-5]\.[0-6]|J\d{1,3}|\d{1,3})"
_RULE: Final = re.compile(
    f"{_NAME}({_TIME})(?:{_NAME}({_TIME})?,({_DAY})(?:/({_TIME}))?,({_DAY})(?:/({_TIME}))?)?", re.ASCII
)


class ZoneTable(NamedTuple):
    """
    The offsets of a zone, in seconds to add to UTC.

    Args:
        offset: before the first change.
        changes: (UTC second, offset from then on), rising; each changes the offset.
    """

    offset: int
    changes: tuple[tuple[int, int], ...]


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Return the names of all zones that may be asked for, as the zone data spells them."""
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split()) - _NOT_OFFERED


@lru_cache(maxsize=ZONES_KEPT_MAX)
def zone_table(name: str) -> ZoneTable | None:
    """
    Return the table of the zone *name*, or None if the zone data has no zone of exactly this name.

    Reads a file of at most 4 kB, once for each zone.

    Raises:
        ValueError: the file is not what this module understands: a defect of the package.
    """
    if name not in zone_names():
        return None
    return read_zone(files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes())


def read_zone(content: bytes) -> ZoneTable:
    """
    Return the table in a TZif file of version 2 or later.

    Raises:
        ValueError: *content* is no such file.
    """
    try:
        return _read_zone(content)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"not a TZif file: {error}") from None


def _read_zone(content: bytes) -> ZoneTable:
    magic, version, *counts = _HEADER.unpack_from(content)
    if magic != b"TZif" or version < b"2":
        raise ValueError("not a TZif file of version 2 or later")
    place = _HEADER.size + _block_size(counts, 4)
    _, _, *counts = _HEADER.unpack_from(content, place)
    place += _HEADER.size
    _, _, _, time_count, type_count, _ = counts
    times = struct.unpack_from(f">{time_count}q", content, place)
    kinds = struct.unpack_from(f"{time_count}B", content, place + 8 * time_count)
    offsets = [struct.unpack_from(">i", content, place + 9 * time_count + 6 * kind)[0] for kind in range(type_count)]
    rule = content[place + _block_size(counts, 8) :].strip(b"\n").decode("ascii")

    changes = [(second, offsets[kind]) for second, kind in zip(times, kinds, strict=True)]
    last = changes[-1][0] if changes else _FIRST_SECOND
    changes += [change for change in _by_rule(rule, last) if change[0] > last]
    return _table(offsets[0], changes)


def _block_size(counts: list[int], time_size: int) -> int:
    """Return the length of a data block; *counts* are those of its header."""
    isut_count, isstd_count, leap_count, time_count, type_count, char_count = counts
    return (
        time_count * (time_size + 1)
        + type_count * 6
        + char_count
        + leap_count * (time_size + 4)
        + isstd_count
        + isut_count
    )


def _table(offset: int, changes: list[tuple[int, int]]) -> ZoneTable:
    """Return the table without changes that change nothing, and without those before 1970."""
    kept: list[tuple[int, int]] = []
    for second, after in changes:
        if second < _FIRST_SECOND:
            offset = after
        elif after != (kept[-1][1] if kept else offset):
            kept.append((second, after))
    return ZoneTable(offset, tuple(kept))


def _by_rule(text: str, last: int) -> list[tuple[int, int]]:
    """Return the changes by the rule in POSIX's manner from the year of the UTC second *last* on, rising."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"the rule {text!r} is not understood")
    standard_text, summer_text, begins, begins_at, ends, ends_at = found.groups()
    standard = -_seconds(standard_text)
    if begins is None:
        return [(last + 1, standard)]  # changes nothing if the table ends with it
    summer = -_seconds(summer_text) if summer_text else standard + 3_600
    year = date.fromordinal(_EPOCH_ORDINAL + last // 86_400).year
    changes = []
    for each in range(year, YEAR_MAX + 1):
        changes.append((_day(begins, each) * 86_400 + _seconds(begins_at or "2") - standard, summer))
        changes.append((_day(ends, each) * 86_400 + _seconds(ends_at or "2") - summer, standard))
    return sorted(changes)


def _seconds(text: str) -> int:
    """Return the seconds of ``[+-]h[h[h]][:mm[:ss]]``."""
    hours, minutes, seconds = ([int(part) for part in text.lstrip("+-").split(":")] + [0, 0])[:3]
    size = hours * 3_600 + minutes * 60 + seconds
    return -size if text.startswith("-") else size


def _day(rule: str, year: int) -> int:
    """Return the day (numbered from 1970-01-01) that ``Mm.w.d``, ``Jn`` or ``n`` names in *year*."""
    if rule.startswith("M"):
        month, week, weekday = map(int, rule[1:].split("."))
        first = date(year, month, 1)
        day = 1 + (weekday - first.isoweekday()) % 7 + 7 * (week - 1)
        length = (date(year + month // 12, month % 12 + 1, 1) - first).days
        return first.toordinal() + (day if day <= length else day - 7) - 1 - _EPOCH_ORDINAL
    january = date(year, 1, 1).toordinal() - _EPOCH_ORDINAL
    if rule.startswith("J"):  # counts from 1 and never counts 29 February
        is_leap = date(year, 12, 31).timetuple().tm_yday == 366
        return january + int(rule[1:]) - 1 + (is_leap and int(rule[1:]) >= 60)
    return january + int(rule)
