"""Recent events: what a stream takes from the tail, and from when on."""

from __future__ import annotations

from libs.events import Claim
from services.api.stream.recent_events import Placed, RecentEvents
from services.api.stream.told_events import Facts, Told

CLAIM = Claim(1, "nonce000")


def event(position: int, account: str = "acme") -> Placed:
    return Placed((position, CLAIM), Told(("job.failed",), Facts(account), b"%d" % position))


def positions(found: list[Placed]) -> list[int]:
    return [each.place[0] for each in found]


def begun(most: int = 10, at: int = 4) -> RecentEvents:
    recent = RecentEvents(most)
    recent.listen("acme")
    recent.start((at, CLAIM))
    return recent


def test_events_behind_a_position() -> None:
    """A stream gets those of its account behind its place, the oldest first."""
    recent = begun()
    recent.add([event(5), event(6, "other"), event(7)], (9, CLAIM))
    assert positions(recent.behind(4, "acme")) == [5, 7]
    assert positions(recent.behind(5, "acme")) == [7]
    assert positions(recent.behind(9, "acme")) == []
    assert recent.kept_from("acme") == 4


def test_what_is_dropped_is_not_kept() -> None:
    """If there are too many events, the oldest go, and a stream that is further behind reads the log."""
    recent = begun(most=2)
    recent.add([event(5), event(7), event(8), event(9)], (9, CLAIM))
    assert recent.kept_from("acme") == 7
    assert positions(recent.behind(7, "acme")) == [8, 9]


def test_an_account_that_comes_later() -> None:
    """Its events are kept from where the tail was then; of what is being judged at that moment they may be left out."""
    recent = begun()
    recent.judged_to = 8
    recent.listen("late")
    recent.add([event(6)], (8, CLAIM))
    recent.add([event(9, "late")], (9, CLAIM))
    assert recent.kept_from("late") == 8
    assert positions(recent.behind(8, "late")) == [9]
    recent.forget("late")
    assert recent.kept_from("late") == 9


def test_a_second_start_changes_nothing() -> None:
    """A reader that begins again after an error goes on where it was."""
    recent = begun(at=4)
    recent.add([], (9, CLAIM))
    recent.start((2, None))
    assert recent.place == (9, CLAIM)
