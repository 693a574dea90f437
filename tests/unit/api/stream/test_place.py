"""Places of a stream: what stands in `Last-Event-ID`, and how decisions are judged behind it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libs.events import Claim, OwnerClaimed, encode
from libs.events.ids import new_job_id
from services.api.stream.place import KEPT, Places, ResumedFold, claim_before, packed, unpacked
from tests.fakes import events

JOB_ID = new_job_id(1_900_000_000_000, 0, bytes(8))
CLAIMS = st.none() | st.builds(Claim, st.integers(1, 10**15), st.text("0123456789abcdef", min_size=8, max_size=32))
PLACES = st.lists(st.tuples(st.integers(-1, 10**15), CLAIMS), max_size=80)


def cut(claim: Claim | None) -> Claim | None:
    return None if claim is None else Claim(claim.epoch, claim.nonce[:KEPT])


def _places() -> Places:
    return Places(b"key", lambda count: bytes(count))


@given(PLACES)
def test_places_come_back(places: list[tuple[int, Claim | None]]) -> None:
    """Positions and epochs come back as they were, nonces cut."""
    assert unpacked(packed(places)) == [(position, cut(claim)) for position, claim in places]


@given(PLACES)
def test_a_place_is_sealed_for_its_account(places: list[tuple[int, Claim | None]]) -> None:
    """Another account, another key and changed text open nothing."""
    text = _places().write(places, "acme")
    assert _places().read(text, "acme") == [(position, cut(claim)) for position, claim in places]
    assert _places().read(text, "other") is None
    assert Places(b"another", lambda count: bytes(count)).read(text, "acme") is None
    assert _places().read("A" + text[1:] if text[0] != "A" else "B" + text[1:], "acme") is None


@given(st.text())
def test_any_text_is_no_place(text: str) -> None:
    """What Fliq did not write is refused, and raises nothing."""
    assert _places().read(text, "acme") is None


def test_a_place_of_64_partitions_fits_a_header() -> None:
    """It takes some 1,100 characters with positions of a billion records."""
    places = [(10**9, Claim(1_000, "0123456789abcdef" * 2))] * 64
    assert len(_places().write(places, "acme")) <= 1_200


def test_a_resumed_reader_judges_by_the_claim_that_it_knows_the_beginning_of() -> None:
    """A decision of that claim counts, one of an older owner does not, wherever it stands; a new claim takes over."""
    claim, older, newer = Claim(7, "aaaaaaaabbbb"), Claim(6, "ccccccccdddd"), Claim(8, "eeeeeeeeffff")
    fold = ResumedFold(0, wanted=frozenset({"job.cancelled"}), place=(9, cut(claim)))
    cancelled = events.cancelled(JOB_ID, 1)
    assert fold.take(10, encode(cancelled, older)) is None
    assert fold.take(11, encode(cancelled, claim)) == cancelled
    assert fold.claim == claim
    fold.take(12, encode(OwnerClaimed(epoch=8, nonce=newer.nonce, node="n", at=1)))
    assert fold.take(13, encode(cancelled, claim)) is None
    assert fold.take(14, encode(cancelled, newer)) == cancelled


def test_a_new_claim_may_come_before_any_decision_of_the_old_one() -> None:
    """Then decisions of the old one are void, although the reader knew its beginning."""
    claim, newer = Claim(7, "aaaaaaaabbbb"), Claim(8, "eeeeeeeeffff")
    fold = ResumedFold(0, wanted=frozenset({"job.cancelled"}), place=(9, cut(claim)))
    fold.take(10, encode(OwnerClaimed(epoch=8, nonce=newer.nonce, node="n", at=1)))
    assert fold.take(11, encode(events.cancelled(JOB_ID, 1), claim)) is None


def test_the_claim_in_the_middle_of_the_log() -> None:
    """It is the highest that decides, if no other can have come between it and the next one."""
    stamps = ["3.aaaaaaaa", "4.bbbbbbbb", "3.aaaaaaaa"]
    assert claim_before(stamps, 5) == Claim(4, "bbbbbbbb")
    assert claim_before(stamps, 6) is None
    assert claim_before(stamps, None) == Claim(4, "bbbbbbbb")
    assert claim_before([], 5) is None
