"""StoreUnavailable: the one error for a database that does not answer, so that no caller needs to know the driver's errors."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import asyncpg

CALL_TIMEOUT_S = 15.0  # a little more than one statement may take
ANSWER_TIMEOUT_S = 4.0  # while an HTTP request waits: a request that fails should fail within 5 s

P = ParamSpec("P")
R = TypeVar("R")

# Errors after which a later try may succeed: the server restarts, is full, is overloaded, or ended a deadlock with our call.
_TRANSIENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,  # role not yet there, or a password being rotated
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.OperatorInterventionError,  # shutdown, crash of another back end, statement_timeout
    asyncpg.TransactionRollbackError,  # deadlock, serialisation
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,  # a primary that became a standby
    asyncpg.InterfaceError,  # the connection was closed while we used it
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


class StoreUnavailable(Exception):
    """The database did not answer in time, or cannot now. A later try may succeed. The outcome of a write may be unknown."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's transient errors into `StoreUnavailable`. Any other error is a defect and is not changed."""
    try:
        yield
    except _TRANSIENT as error:
        # A timeout of ours carries no text of its own.
        text = f"{type(error).__name__}: {error}" if str(error) else "the database does not answer in time"
        raise StoreUnavailable(" ".join(text.split())[:300]) from error  # the driver puts hints on lines of their own


def store_call(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """
    Decorate a coroutine method so that it raises `StoreUnavailable` instead of the driver's transient errors.

    The whole call is bounded, also the wait for a free connection, which the driver does not bound.
    """

    @functools.wraps(method)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with translated():
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await method(*args, **kwargs)

    return wrapper


def answer_call(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """
    Decorate as `store_call` does, for calls that an HTTP request waits for: they end after `ANSWER_TIMEOUT_S` in every case.

    A call that is cancelled first cancels its statement, and a frozen server does not answer that either. Nobody waits for it.
    """

    @functools.wraps(method)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with translated():
            return await within(ANSWER_TIMEOUT_S, method(*args, **kwargs))

    return wrapper


async def within(timeout_s: float, awaitable: Awaitable[R]) -> R:
    """Return what *awaitable* returns; raise TimeoutError after *timeout_s*, even if it does not end when it is cancelled."""
    call = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait([call], timeout=timeout_s)
    finally:
        if not call.done():
            _leave(call)
    if not call.done():
        raise TimeoutError("the database does not answer in time")
    return call.result()


# Calls that were given up and still cancel their statements; kept here so that they are not garbage-collected.
_left: set["asyncio.Future[Any]"] = set()


def _leave(call: "asyncio.Future[Any]") -> None:
    call.cancel()
    _left.add(call)
    call.add_done_callback(_forget)


def _forget(call: "asyncio.Future[Any]") -> None:
    _left.discard(call)
    if not call.cancelled():
        call.exception()  # retrieved, so that asyncio does not report it
