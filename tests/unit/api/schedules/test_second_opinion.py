"""croniter's opinion in a preview: it is waited for only so long, and never by the event loop."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from libs.domain.calendar.cron_text import parse_extended
from libs.domain.calendar.preview import preview
from libs.domain.calendar.rule import Rule
from libs.domain.calendar.ticks import Dst, WallClock
from services.api.handlers.schedules import schedule_preview
from services.api.handlers.schedules.schedule_preview import SchedulePreview, others_read, warnings_about
from tests.unit.domain.calendar.zone_examples import BERLIN, ms

RULE = Rule(when=WallClock(cron=parse_extended("0 9-9 * * *"), zone=BERLIN))
HOSTILE = ["0 0 29 2 */7", "0 0 30W 2 *", "59 23 31 12 7", ",".join(map(str, range(40))) + " 2 1 1 *"]


def warned(cron: str, after: str, dst: Dst, count: int = 3) -> list[str]:
    rule = Rule(when=WallClock(cron=parse_extended(cron), zone=BERLIN, dst=dst))
    return warnings_about(rule, preview(rule, ms(after), count), None)


async def test_a_library_that_does_not_answer_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preview goes on without its opinion, and the next one, which waits behind it, too."""
    release = threading.Event()
    monkeypatch.setattr(schedule_preview, "others_read", lambda *_: [release.wait(30)])
    monkeypatch.setattr(schedule_preview, "PATIENCE_S", 0.05)
    asked: Any = SchedulePreview(None, None)  # type: ignore[arg-type]
    try:
        assert [await asked._second_opinion(RULE, 0) for _ in range(2)] == [None, None]
    finally:
        release.set()


@pytest.mark.parametrize("cron", HOSTILE)
def test_it_is_asked_for_a_bounded_number_of_runs(cron: str) -> None:
    """Crons that rarely or never run are answered, or not, and none raises."""
    rule = Rule(when=WallClock(cron=parse_extended(cron), zone=BERLIN))

    assert (
        others_read(rule, ms("2027-01-01 00:00"), 10) is None
        or len(others_read(rule, ms("2027-01-01 00:00"), 10) or []) <= 10
    )


def test_a_clock_change_is_told_once_in_plain_words() -> None:
    """What the clocks do, what this run does, and what to set for the other choice."""
    gap = warned("30 2 * * *", "2027-03-27 12:00", Dst())
    once = warned("30 2 * * *", "2027-10-30 12:00", Dst())
    both = warned("30 2 * * *", "2027-10-30 12:00", Dst("shift", "both"))
    often = warned("*/10 * * * *", "2027-10-30 23:00", Dst(), 30)

    assert gap == [
        "Clocks in Europe/Berlin skip 02:30 on 2027-03-28, so this run is at 03:00. To leave it out, set dst.gap to skip."
    ]
    assert once == [
        "Clocks in Europe/Berlin show 02:30 twice on 2027-10-31: this run is at the first. To run both times, set"
        " dst.fold to both."
    ]
    assert both == [
        "Clocks in Europe/Berlin show 02:30 twice on 2027-10-31, and it runs both times. To run once, set dst.fold to first."
    ]
    assert often == [
        "Clocks in Europe/Berlin go back on 2027-10-31 and show some minutes twice: this cron runs both times."
    ]
