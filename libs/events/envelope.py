"""
Envelope: what a log stores of an event, without knowing what it means.

The headers are all a reader needs to admit or drop a record; the value is JSON. An adapter must give back the same bytes.
"""

from typing import NamedTuple

import msgspec


class Claim(msgspec.Struct, frozen=True, order=False, gc=False):
    """
    The right to decide for a partition: an epoch that only grows, and a nonce that no other owner has.

    The nonce is needed because a store restored to an older point may hand out the same epoch twice.
    """

    epoch: int
    nonce: str

    def __str__(self) -> str:
        """Return the header's text, `epoch.nonce`."""
        return f"{self.epoch}.{self.nonce}"


class Envelope(NamedTuple):
    """
    One event as it stands in the log.

    Args:
        type: the stored name, such as `job.scheduled` (header `t`).
        version: schema version of the value, from 1 (header `v`).
        must_understand: a reader that does not know the type must stop rather than skip it (header `m`).
        claim: who decided, as `epoch.nonce`; None on facts (header `c`).
        key: id of the job or schedule, or `owner`; the partition is explicit, the key is for people and tools.
        value: the JSON bytes.
    """

    type: str
    version: int
    must_understand: bool
    claim: str | None
    key: str
    value: bytes
