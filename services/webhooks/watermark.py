"""
Watermark: up to which position everything is done. Pure.

    read        position up to which the partition was read
    pending     positions read whose work is not done
    mark        one before the oldest pending position; `read` when nothing is pending

Work ends in any order; the mark only moves forward. The claim admitted at the mark is kept with it, so that a reader that
starts at the mark admits the same decisions.

Cost: O(1) amortised per record.
"""

from collections import deque

from libs.events import Claim


class Watermark:
    """What is done of one partition."""

    def __init__(self, position: int, claim: Claim | None) -> None:
        """Start with everything done up to *position*, where *claim* is admitted."""
        self._read = position
        self._pending: deque[int] = deque()
        self._done: set[int] = set()
        self._claims: deque[tuple[int, Claim | None]] = deque([(position, claim)])

    @property
    def pending_count(self) -> int:
        """How much is not done."""
        return len(self._pending) - len(self._done)

    def read(self, position: int, claim: Claim | None, *, is_pending: bool) -> None:
        """Note that the partition was read up to *position*, under *claim*, and whether that record leaves something to do."""
        self._read = position
        if self._claims[-1][1] is not claim:
            self._claims.append((position, claim))
        if is_pending:
            self._pending.append(position)

    def done(self, position: int) -> None:
        """Note that the work of *position*, which is pending, is done."""
        self._done.add(position)
        pending = self._pending
        while pending and pending[0] in self._done:
            self._done.discard(pending.popleft())

    def reached(self) -> tuple[int, Claim | None]:
        """Return the position up to which the partition was read, and the claim admitted there."""
        return self._read, self._claims[-1][1]

    def mark(self) -> tuple[int, Claim | None]:
        """Return the position up to which everything is done, and the claim admitted there."""
        position = self._pending[0] - 1 if self._pending else self._read
        claims = self._claims
        while len(claims) > 1 and claims[1][0] <= position:
            claims.popleft()
        return position, claims[0][1]
