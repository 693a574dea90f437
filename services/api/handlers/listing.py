"""Listing: one page of a list, newest first, and the cursor of the next one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar, cast

from aiohttp.web import BaseRequest

from libs.store.reads.filters import Found
from services.api.contract.query import limit_of
from services.api.handlers.context import Context
from services.api.http.reply import Reply, json_reply
from services.api.state.consistency import FRESH, STALE

Row = TypeVar("Row", bound=tuple[Any, Any])


async def page(
    context: Context,
    request: BaseRequest,
    account: str,
    *,
    kind: Literal["job", "sched"],
    listing: str,
    name: str,
    query: Callable[[int, str | None], Awaitable[Found[Row]]],
    shown: Callable[..., dict[str, Any]],
) -> Reply:
    """
    Return the page that *request* asks for.

    Args:
        kind: of the ids, which a cursor holds.
        listing: names the list and its filter: a cursor of another one is refused.
        name: of the array in the answer.
        query: (limit, before) -> what was found with ids below *before*, newest first.
        shown: a row to its object, which has an `id`.

    Raises:
        ApiError: 400 for a limit or a cursor that is wrong.
    """
    parameters = request.query
    limit = limit_of(parameters)
    before = None
    if "cursor" in parameters:
        before = context.cursors.read(parameters["cursor"], kind=kind, account=account, listing=listing)
    is_fresh = await context.read_index.everywhere()
    async with context.lists.turn(account):
        rows, reached = await query(limit + 1, before)
        await cast(Any, request.protocol).pause()
        items = [shown(*row) for row in rows[:limit]]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = context.cursors.write(items[-1]["id"], account=account, listing=listing)
    elif reached is not None:
        next_cursor = context.cursors.write(reached, account=account, listing=listing)
    partial = {"partial": True} if reached is not None and len(rows) <= limit else {}
    return json_reply(200, {name: items, "next_cursor": next_cursor, **partial}, FRESH if is_fresh else STALE)
