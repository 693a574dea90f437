"""The control records: which process decides for a partition, and what its readers must understand."""

from typing import Annotated

import msgspec
from msgspec import Meta

from libs.events.fields import Instant, Text

# The key of control records: they belong to the partition, not to a job or schedule.
CONTROL_KEY = "owner"


class OwnerClaimed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Control: *node* claims the partition. Admitted only when *epoch* is higher than every claim admitted before it.

    Args:
        epoch: number of the claim; it only grows.
        nonce: unique to this claim, even if a restored database hands out an epoch twice.
        node: the name of the process.
    """

    epoch: Annotated[int, Meta(ge=1, le=10**15)]
    nonce: Annotated[str, Meta(pattern=r"\A[0-9a-zA-Z]{8,64}\Z")]
    node: Text
    at: Instant


class LogBarrier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Control: readers that do not understand *min_version* must stop here. Reserved: every build reads it, none writes it yet.

    Args:
        min_version: the least version of the log's protocol that a reader must know.
    """

    min_version: int
    at: Instant
