"""Words: what a rule says, as an English sentence."""

from __future__ import annotations

import random

import pytest

from libs.domain.calendar.cron_text import parse_extended
from libs.domain.calendar.rule import Interval, Rule, Spread
from libs.domain.calendar.ticks import Excluded, WallClock
from libs.domain.calendar.words import cron_in_words, in_words
from libs.domain.calendar.zones import UTC
from tests.unit.domain.calendar.zone_examples import BERLIN, ms

SENTENCES = {
    "30 2 * * *": "At 02:30 every day",
    "0 8 * * 1-5": "At 08:00 on Monday to Friday",
    "0 9,17 * * *": "At 09:00 and 17:00 every day",
    "0 */6 * * *": "At 00:00, 06:00, 12:00 and 18:00 every day",
    "* * * * *": "Every minute",
    "*/10 * * * *": "Every 10 minutes",
    "0-59/20 * * * *": "Every 20 minutes",
    "5,35 * * * *": "At minute 5 and 35 of every hour",
    "7-59/13 * * * *": "At minute 7, 20, 33, 46 and 59 of every hour",
    "* 4 * * *": "Every minute in hour 4",
    "0-40 2 * * *": "At minute 0 to 40 in hour 2 every day",
    "*/15 9-17 * * 1-5": "Every 15 minutes in hours 9 to 17 on Monday to Friday",
    "0 9-9 * * *": "At 09:00 every day",
    "0 9 13 * 5": "At 09:00 on day 13 of the month, or on Friday",
    "0 9 13 6 5": "At 09:00 on day 13 of the month, or on Friday, in June",
    "0 9 * * mon#1": "At 09:00 on the first Monday of the month",
    "0 9 * * 5L": "At 09:00 on the last Friday of the month",
    "0 9 * * 6,0": "At 09:00 on Saturday and Sunday",
    "0 0 L * *": "At 00:00 on the last day of the month",
    "0 0 15W * *": "At 00:00 on the weekday (Monday to Friday) nearest to day 15",
    "0 0 LW 3 *": "At 00:00 on the last weekday (Monday to Friday) of the month in March",
    "0 0 1 1,7 *": "At 00:00 on day 1 of the month in January and July",
    "0 0 * 12 *": "At 00:00 every day in December",
    "0 0 29 2 */7": "At 00:00 on day 29 of the month in February, if that is Sunday",
    "@weekly": "At 00:00 on Sunday",
    "0 0 1-31/2 * *": "At 00:00 on day 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, … of the month",
}


@pytest.mark.parametrize("text", SENTENCES)
def test_a_cron_in_words(text: str) -> None:
    """Times, days and months, each as a person would say it."""
    assert cron_in_words(parse_extended(text)) == SENTENCES[text]


def test_a_rule_in_words() -> None:
    """With its time zone, its window, what is left out and by how much calls are later; an interval in its largest unit."""
    clock = WallClock(cron=parse_extended("30 2 * * *"), zone=BERLIN)
    away = Excluded(first=(20_000, 20_010), last=(20_002, 20_010))
    rule = Rule(
        when=WallClock(cron=clock.cron, zone=UTC, excluded=away),
        starts_at=ms("2027-01-01 00:00"),
        ends_at=ms("2027-02-01 00:00"),
        spread=Spread(seconds=60),
    )

    assert in_words(Rule(when=clock)) == "At 02:30 every day, Europe/Berlin time"
    assert in_words(rule) == (
        "At 02:30 every day, UTC; not before 2027-01-01 00:00:00 UTC; not after 2027-02-01 00:00:00 UTC;"
        " not on 4 excluded days; the call is made up to 60 s later"
    )
    for seconds, words in (
        (1, "Every second"),
        (90, "Every 90 seconds"),
        (7_200, "Every 2 hours"),
        (86_400, "Every day"),
    ):
        assert (
            in_words(Rule(when=Interval(every_s=seconds, anchor_at=0)))
            == f"{words}, counted from 1970-01-01 00:00:00 UTC"
        )


def test_every_cron_has_short_words() -> None:
    """Whatever a cron names, its sentence is one line of text, and names the hour of a cron that has one."""
    rng = random.Random(7)
    for _ in range(2_000):
        hour = rng.randrange(24)
        minutes = ",".join(str(each) for each in rng.sample(range(60), rng.randint(1, 15)))
        days = rng.choice(["*", "L", "LW", "1-31/2", "31", ",".join(f"{each}W" for each in range(1, 12))])
        weekdays = rng.choice(["*", "1-5", "0", "7", "sat,sun", "0#1,1#2,2#3,3#4,4#5,5L", "*/2"])
        words = cron_in_words(parse_extended(f"{minutes} {hour} {days} {rng.randint(1, 12)} {weekdays}"))
        assert str(hour) in words
        assert len(words) < 1_200
        assert words.isprintable()
