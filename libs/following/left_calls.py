"""
Left calls: which calls stand in the tables and are not held, because the share of their account or of their lane is full. Pure.

They are not kept one by one. Each partition has *marks* for an account. The mark of a lane says: from this place on, in the order
in which calls became due, the calls of this lane are left. The mark without a lane says so of all calls of the account. So memory
grows with accounts and lanes, and not with the calls that wait.

A call at or behind a mark is left, too, so that the oldest is recalled first. To recall is to take a mark away, to read a page of
calls from its place on, and to set it again behind the page.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

Place = tuple[int, str]  # when a call became due, in ms, and its id: the order in which calls are recalled

FROM_THE_START: Final[Place] = (0, "")
_NONE: Final[Mapping[str | None, Place]] = MappingProxyType({})


class LeftCalls:
    """The marks of all partitions. A service may have two groups of calls for one account, under names of its own choice."""

    def __init__(self) -> None:
        self._marks: dict[int, dict[str, dict[str | None, Place]]] = {}

    def leave(self, partition: int, account: str, lane: str | None = None, place: Place = FROM_THE_START) -> None:
        """Leave the call at *place*, and with it all later ones of *lane*, or of *account* if there is no lane."""
        marks = self._marks.setdefault(partition, {}).setdefault(account, {})
        marks[lane] = min(place, marks.get(lane, place))

    def has_left(self, partition: int, account: str, lane: str | None = None, place: Place = FROM_THE_START) -> bool:
        """Whether the call at *place* is left, because an older one of its lane or account is."""
        marks = self.marks(partition, account)
        return any(each in marks and marks[each] <= place for each in {None, lane})

    def accounts(self, partition: int) -> list[str]:
        """Return the accounts of which calls are left in *partition*."""
        return list(self._marks.get(partition, ()))

    def marks(self, partition: int, account: str) -> Mapping[str | None, Place]:
        """Return the marks of *account* in *partition*, by lane."""
        return self._marks.get(partition, {}).get(account, _NONE)

    def take(self, partition: int, account: str, lanes: Iterable[str | None]) -> Place:
        """Remove the marks of *lanes*, which have some, and return the first place; the account goes to the end of `accounts`."""
        accounts = self._marks[partition]
        marks = accounts.pop(account)
        first = min(marks.pop(lane) for lane in lanes)
        if marks:
            accounts[account] = marks
        return first

    def forget(self, partition: int) -> None:
        """Forget all marks of *partition*."""
        self._marks.pop(partition, None)
