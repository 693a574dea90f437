"""
Admission: which records of a partition count.

    claim      counts iff its epoch is higher than every claim admitted before it
    decision   counts iff it is stamped with the last admitted claim, epoch and nonce
    fact       always counts

Every reader applies the same rule to the same order of records, so all readers agree on which decisions count without talking
to each other. A process that lost its partition can still append, but its decisions do not count any more. Facts always count:
dropping one would break a promise that a caller was given.

Source: ARCHITECTURE.md, "Facts and decisions".
"""

from libs.events import Claim, OwnerClaimed


def admits_claim(current: Claim | None, claimed: OwnerClaimed) -> bool:
    """Say whether *claimed* takes the partition over from *current*."""
    return current is None or claimed.epoch > current.epoch


def admits_decision(current: Claim | None, stamp: str | None) -> bool:
    """Say whether a decision stamped *stamp* (the header's `epoch.nonce`) counts under *current*."""
    return current is not None and stamp == str(current)
