"""Zone data: the tables are those of the tzdata package, and nothing else is read."""

from __future__ import annotations

import random
import struct
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
import tzdata

from libs.runtime.zone_data import VERSION, YEAR_MAX, ZoneTable, read_zone, zone_names, zone_table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_S = round(datetime(YEAR_MAX + 1, 1, 1, tzinfo=UTC).timestamp())


def offset_at(table: ZoneTable, second: int) -> int:
    index = bisect_right(table.changes, (second, 1 << 40)) - 1
    return table.offset if index < 0 else table.changes[index][1]


@pytest.mark.parametrize("part", range(8))
def test_offsets_are_those_of_the_standard_library(part: int) -> None:
    """At each change, a second before it, and at some instants in between, up to the last year: of every zone."""
    rng = random.Random(part)
    for name in sorted(zone_names())[part::8]:
        table = zone_table(name)
        assert table is not None
        with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
            library = ZoneInfo.from_file(file)
        instants = [second for at, _ in table.changes for second in (at - 1, at) if at > 0]
        for second in [*instants, *(rng.randrange(END_S) for _ in range(20))]:
            offset = (EPOCH + timedelta(seconds=second)).astimezone(library).utcoffset()
            assert offset == timedelta(seconds=offset_at(table, second)), (name, second)


def test_names_are_those_of_the_zone_data() -> None:
    """All of them but the one that says that no zone was chosen; as they are spelled."""
    assert {"Europe/Berlin", "UTC", "US/Pacific", "Etc/GMT+5"} <= zone_names()
    assert VERSION == tzdata.IANA_VERSION
    for name in (
        "Factory",
        "europe/berlin",
        "posix/UTC",
        "right/UTC",
        "",
        "..",
        "../tzdata/zones",
        "tzdata.zi",
        "/etc/localtime",
    ):
        assert zone_table(name) is None, name


def test_the_machines_own_zone_data_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is opened by a path of the system, and no setting of Python's zoneinfo counts."""
    monkeypatch.setenv("PYTHONTZPATH", "/nowhere")
    monkeypatch.setattr("zoneinfo.TZPATH", ("/nowhere",))
    zone_table.cache_clear()

    assert zone_table("Europe/Berlin") is not None


def tzif(rule: str, times: tuple[int, ...] = (), kinds: tuple[int, ...] = (), offsets: tuple[int, ...] = (0,)) -> bytes:
    """Return a TZif file of version 2."""
    head = struct.pack(">4sc15x6I", b"TZif", b"2", 0, 0, 0, len(times), len(offsets), 1)
    types = b"".join(struct.pack(">iBB", offset, 0, 0) for offset in offsets)
    empty = struct.pack(">4sc15x6I", b"TZif", b"2", 0, 0, 0, 0, 1, 1) + bytes(7)
    return empty + head + struct.pack(f">{len(times)}q", *times) + bytes(kinds) + types + b"\0" + f"\n{rule}\n".encode()


def test_days_of_rules_by_their_number() -> None:
    """``Jn`` never counts 29 February, ``n`` counts it and begins with 0; each half of the year has its offset."""
    table = read_zone(tzif("<-03>3<-0130>1:30,J60/0,300"))
    changes = {(EPOCH + timedelta(seconds=at)).strftime("%Y-%m-%d %H:%M"): offset for at, offset in table.changes}

    assert list(changes.items())[:2] == [("1970-03-01 03:00", -5_400), ("1970-10-28 03:30", -10_800)]
    assert {"1971-03-01 03:00", "1972-03-01 03:00", "1971-10-28 03:30", "1972-10-27 03:30"} <= changes.keys()


@pytest.mark.parametrize(
    "content",
    [b"", b"TZif", b"GIF89a" + bytes(60), tzif("UTC0")[:60], tzif("XYZ"), tzif("UTC0", (5,), (3,)), tzif("CET-1CEST")],
)
def test_what_is_no_zone_is_refused(content: bytes) -> None:
    """Whatever is wrong with a file, it is a ValueError that says so."""
    with pytest.raises(ValueError, match=r"TZif|rule"):
        read_zone(content)
