"""Keepers of leases: put together in the same way for the services of a process and for those of a simulated fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libs.following.ports import LeaseHolder
from libs.runtime.clock import Clock
from libs.store.leases.lease_keeper import HAND_BACK_S, LeaseKeeper
from services.scheduler.service import SchedulerService


def owner_keeper(
    leases: Any, *, partitions: int, stands_aside: Callable[[], object], clock: Clock
) -> Callable[[SchedulerService], LeaseKeeper]:
    """Return what makes the keeper of a scheduler's *leases*; the arguments are those of `LeaseKeeper`."""
    return lambda service: LeaseKeeper(
        leases,
        partitions=partitions,
        on_gained=service.on_gained,
        on_lost=service.on_lost,
        before_release=service.hand_off,
        is_fenced=True,
        stands_aside=stands_aside,
        clock=clock,
    )


def follower_keeper(
    leases: Any, *, partitions: int, stands_aside: Callable[[], object], clock: Clock, hand_back_s: float = HAND_BACK_S
) -> Callable[[LeaseHolder], LeaseKeeper]:
    """Return what makes the keeper of a follower's *leases*; the arguments are those of `LeaseKeeper`."""
    return lambda service: LeaseKeeper(
        leases,
        partitions=partitions,
        on_gained=service.on_gained,
        on_lost=service.on_lost,
        may_release=service.may_release,
        stands_aside=stands_aside,
        clock=clock,
        hand_back_s=hand_back_s,
    )
