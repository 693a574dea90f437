"""
Fold window: how much may stand in the log that is not folded yet, so that what is appended now is folded in time. Pure.

What is appended is folded behind all that stands before it. If a unit waited for *took*, then `in_time / took` of what stood before
it are folded in time, on this machine, of such units (Little's law). So the window follows what was seen:

    late     took > in_time: the window shrinks in that proportion, but not to less than `LESS` of what it was
    early    took < in_time / 2: the window grows by `MORE`
    between  the window stays

It changes once for the units that were appended since it changed last: those before them waited in another window. A unit before
which little stood says nothing: whatever it waited for, a smaller window would not help.

An account alone fills half of the window. So it gets a window of which half is folded in time, and is not slowed down.

    invariant   least <= total <= most
    cost        O(1)
"""

from typing import Final

LESS: Final = 0.25
MORE: Final = 1.25
TELLING: Final = 0.2  # of the window that must have stood before a unit, so that its wait says something


class FoldWindow:
    """One window, which is shared by all accounts (fair_shares.py)."""

    def __init__(self, total: int, *, least: int, most: int, in_time: float) -> None:
        """Begin with *total* units; *in_time* is in the unit of the instants that `folded` gets."""
        self.total = total
        self._least = least
        self._most = most
        self._in_time = in_time
        self._changed_at: float | None = None

    def folded(self, *, appended_at: float, now: float, ahead: int) -> bool:
        """
        Note that a unit was folded that was appended at *appended_at*; return whether `total` changed.

        Args:
            ahead: the units that were not folded yet when it was appended, itself included.
        """
        if self._changed_at is not None and appended_at < self._changed_at:
            return False
        took, total = now - appended_at, self.total
        if took > self._in_time:
            if ahead < total * TELLING:
                return False
            self.total = max(self._least, int(total * max(self._in_time / took, LESS)))
        elif took < self._in_time / 2:
            self.total = min(self._most, int(total * MORE) + 1)
        if self.total == total:
            return False
        self._changed_at = now
        return True
