"""
Idempotency: what an idempotency key stands for, for jobs and schedules alike.

A reservation is written before the fact that it stands for. A key belongs to the account: a key that made a job cannot make a
schedule, because the two requests differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp.web import BaseRequest

from libs.events.ids import from_int, to_int
from libs.runtime.crashpoint import crash_at
from libs.store.control.idempotency import Reservation
from services.api.contract.api_error import ApiError, refuse
from services.api.contract.request_fields import check_key
from services.api.handlers.context import Context

REPLAYED: Final = {"Idempotent-Replayed": "true"}


def schedule_id_of(held: Reservation) -> str:
    """Return the schedule that a key stands for: a reservation keeps the 128 bits of an id, whatever their kind."""
    return from_int("sched", to_int(held.job_id))


def key_header(request: BaseRequest) -> str | None:
    """Return the Idempotency-Key header; raises 400 if it is sent twice."""
    headers = request.headers
    if "Idempotency-Key" not in headers:
        return None
    values = headers.getall("Idempotency-Key")
    if len(values) > 1:
        refuse("invalid_idempotency_key", "the Idempotency-Key header stands there twice")
    return values[0]


def checked_key(request: BaseRequest) -> str | None:
    """Return the same; raises 400 also if it is no key."""
    key = key_header(request)
    return None if key is None else check_key(key)


async def reserve(
    context: Context,
    *,
    account: str,
    key: str,
    request_hash: bytes,
    now: int,
    make_id: Callable[[int, int], str],
    check_new: Callable[[], Awaitable[None]],
) -> Reservation:
    """
    Return the reservation of *key*; raises 409 if it stands for another request.

    Args:
        make_id: (now, partition) -> the id of what is new.
        check_new: raises what would refuse something new (its instant has passed, the day is used up). The repeat of what was
            accepted is not refused, so in these cases the key is looked up before it is taken.
    """
    held = None
    keyed = await context.keyring.request_hash(account, request_hash)
    try:
        await check_new()
    except ApiError:
        held = await context.keys.reservation(account, key)
        if held is None:
            raise
    if held is None:
        partition = context.mint.partition(now)
        crash_at("api.before_reserve")
        held = await context.keys.reserve(account, key, keyed, make_id(now, partition), now)
        crash_at("api.after_reserve")
    if not context.keyring.is_same_request(held.request_hash, request_hash, keyed):
        raise ApiError(409, "idempotency_key_reused", "the idempotency key stands for another request")
    return held
