"""Errors: what can go wrong between Fliq and its database, in words that need no driver to be understood."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import asyncpg

CALL_TIMEOUT_S = 15.0  # a little more than one statement may take

P = ParamSpec("P")
R = TypeVar("R")

# What passes when one waits: the server restarts, is full, is overloaded, or chose us as a deadlock's victim.
_PASSING = (
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
    except _PASSING as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}"[:300]) from error


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
