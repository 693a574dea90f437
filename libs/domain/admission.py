"""
Admission: which records of a partition count.

    claim      counts iff its epoch is higher than every claim admitted before it
    decision   counts iff it is stamped with the last admitted claim, epoch and nonce
    fact       always counts

Every reader applies this same rule to the same order of records, so all of them agree on who decided what, without talking to
each other: fencing lives in the log. Facts are never fenced: dropping one would lose what a caller was promised.

Source: ARCHITECTURE.md, "Facts and decisions".
"""

from libs.events import Claim, OwnerClaimed


def admits_claim(current: Claim | None, claimed: OwnerClaimed) -> bool:
    """Say whether *claimed* takes the partition over from *current*."""
    return current is None or claimed.epoch > current.epoch


def admits_decision(current: Claim | None, stamp: str | None) -> bool:
    """Say whether a decision stamped *stamp* (the header's `epoch.nonce`) counts under *current*."""
    return current is not None and stamp == str(current)
