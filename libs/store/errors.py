"""Errors: what can go wrong between Fliq and its database, in words that need no driver to be understood."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import asyncpg

CALL_TIMEOUT_S = 15.0  # a little more than one statement may take
ANSWER_TIMEOUT_S = 4.0  # while somebody waits for an answer: a request that fails is to fail within 5 s

P = ParamSpec("P")
R = TypeVar("R")

# What passes when one waits: the server restarts, is full, is overloaded, or chose us as a deadlock's victim.
_TRANSIENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,  # role not yet there, or a password being rotated
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.OperatorInterventionError,  # shutdown, crash of another back end, statement_timeout
    asyncpg.TransactionRollbackError,  # deadlock, serialisation
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,  # a primary that became a standby
    asyncpg.InterfaceError,  # the connection was closed under our hands
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


class StoreUnavailable(Exception):
    """The database did not answer as it should; trying again later may help. A write's outcome may be unknown."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's passing troubles into `StoreUnavailable`; anything else is a defect and goes through."""
    try:
        yield
    except _TRANSIENT as error:
        # A timeout of ours carries no text of its own.
        text = f"{type(error).__name__}: {error}" if str(error) else "the database does not answer in time"
        raise StoreUnavailable(" ".join(text.split())[:300]) from error  # the driver gives hints on lines of their own


def store_call(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """
    Decorate a coroutine method so that it raises `StoreUnavailable` where the driver would raise its own.

    The whole call is bounded, with the wait for a free connection, which the driver leaves unbounded.
    """

    @functools.wraps(method)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with translated():
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await method(*args, **kwargs)

    return wrapper


def answer_call(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """
    Decorate as `store_call` does, for calls that a request waits for: `ANSWER_TIMEOUT_S`, whatever the driver does then.

    A call that is given up first takes its statement back, for which a frozen server has to answer, too: nobody waits for that.
    """

    @functools.wraps(method)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with translated():
            return await within(ANSWER_TIMEOUT_S, method(*args, **kwargs))

    return wrapper


async def within(timeout_s: float, awaitable: Awaitable[R]) -> R:
    """Return what *awaitable* returns; raise TimeoutError after *timeout_s*, also when it cannot be cancelled by then."""
    call = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait([call], timeout=timeout_s)
    finally:
        if not call.done():
            _leave(call)
    if not call.done():
        raise TimeoutError("the database does not answer in time")
    return call.result()


_left: set["asyncio.Future[Any]"] = (
    set()
)  # calls given up that take their statements back; kept so that they are not collected


def _leave(call: "asyncio.Future[Any]") -> None:
    call.cancel()
    _left.add(call)
    call.add_done_callback(_forget)


def _forget(call: "asyncio.Future[Any]") -> None:
    _left.discard(call)
    if not call.cancelled():
        call.exception()  # looked at, so that it does not count as unnoticed
