"""
Fair shares: how much of one resource each account may hold. Pure.

Theory of operation
-------------------
Terms.  A resource has *total* units: slots, places, pieces of memory. An account *holds* some; what nobody holds is *free*.

Rule.  An account may take an amount if what it then holds is no more than what was free before: `held + amount <= free`.

So the cap of an account is not fixed. It shrinks as others take, and grows as they give back:

  one       An account alone holds at most half of all units (rounded up, if it takes them one by one).
  k         k accounts that want all they can get hold 1/(k+1) of the units each, and as much again stays free.
  newcomer  An account that holds nothing may take, as long as one unit is free.

Nothing is taken away from an account that holds more than its cap: it may take nothing more until it is below it again.

Example.  total 1,500. Account A takes 750. Account B comes and takes 375: then 375 are free. As A's calls end, A stays below what
is free, until both hold 500 and 500 are free.

Not safe.  If there are more accounts than units, they have to wait for each other; and an amount of many units may wait for a
long time while very many accounts take single ones.

Cost.  O(1).

Source: dynamic threshold of Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998, with
alpha = 1; docs/adr/0019.
"""


class FairShares:
    """One resource, and what each account holds of it."""

    def __init__(self, total: int) -> None:
        """Share *total* units; at least 1."""
        if total < 1:
            raise ValueError("a limit is at least 1")
        self.total = total
        self.free = total
        self._held: dict[str, int] = {}

    @property
    def holder_count(self) -> int:
        """How many accounts hold any."""
        return len(self._held)

    def resize(self, total: int) -> None:
        """Share *total* units from now on; what is held stays, so less than nothing may be free for a while."""
        self.free += total - self.total
        self.total = total

    def held_by(self, account: str) -> int:
        """Return how many units *account* holds."""
        return self._held.get(account, 0)

    def may_take(self, account: str, amount: int = 1) -> bool:
        """Whether *account* may take *amount* units now."""
        return self._held.get(account, 0) + amount <= self.free

    def take(self, account: str, amount: int = 1) -> None:
        """Note that *account* holds *amount* units more; the caller has asked whether it may."""
        self._held[account] = self._held.get(account, 0) + amount
        self.free -= amount

    def give_back(self, account: str, amount: int = 1) -> None:
        """Note that *account* holds *amount* units less."""
        left = self._held[account] - amount
        if left:
            self._held[account] = left
        else:
            del self._held[account]
        self.free += amount
