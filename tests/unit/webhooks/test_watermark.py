"""Up to where everything is done."""

from libs.events import Claim
from services.webhooks.watermark import Watermark

FIRST, SECOND = Claim(1, "nonce0001"), Claim(2, "nonce0002")


def test_nothing_pending_means_everything_read_is_done() -> None:
    """The mark follows the reader."""
    mark = Watermark(4, FIRST)
    assert mark.mark() == (4, FIRST)
    mark.read(5, FIRST, is_pending=False)

    assert mark.mark() == (5, FIRST)


def test_the_mark_stays_below_the_oldest_pending_position() -> None:
    """Whatever ends before it."""
    mark = Watermark(-1, None)
    for position in range(6):
        mark.read(position, FIRST, is_pending=position in (1, 3, 4))
    assert (mark.mark(), mark.pending_count) == ((0, FIRST), 3)
    mark.done(4)
    mark.done(3)
    assert (mark.mark(), mark.pending_count) == ((0, FIRST), 1)
    mark.done(1)

    assert (mark.mark(), mark.pending_count) == ((5, FIRST), 0)


def test_the_claim_is_the_one_admitted_at_the_mark() -> None:
    """Not the one at the reader's position: whoever starts at the mark must admit what stands behind it."""
    mark = Watermark(0, FIRST)
    mark.read(1, FIRST, is_pending=True)
    mark.read(2, SECOND, is_pending=False)
    mark.read(3, SECOND, is_pending=True)
    assert mark.mark() == (0, FIRST)
    mark.done(1)
    assert mark.mark() == (2, SECOND)
    mark.done(3)

    assert mark.mark() == (3, SECOND)


def test_the_mark_is_the_position_before_a_claim_as_well() -> None:
    """A claim counts from its own position on."""
    mark = Watermark(0, FIRST)
    mark.read(1, FIRST, is_pending=False)
    mark.read(2, SECOND, is_pending=True)

    assert mark.mark() == (1, FIRST)
