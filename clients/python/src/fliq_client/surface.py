"""
Surface: how one description of a method serves both clients.

A method of a group (`api.py`) only describes a call. `call` turns it into a method that makes the call on the group's edge: in
`Fliq` it returns the result, in `AsyncFliq` a coroutine that returns it. `listing` does the same for lists, which are an
iterator or an async iterator, and `feed` for streams. Type checkers see the exact signatures of both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from fliq_client.call import Call
from fliq_client.edges import AsyncEdge, SyncEdge
from fliq_client.groups.feed import Feed, StreamEvent
from fliq_client.pages import Listing

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=SyncEdge | AsyncEdge)


class Group(Generic[E]):
    """
    Methods that belong together, such as `fliq.jobs`.

    Args:
        edge: makes the calls.
        new_key: gives a key that nobody else has.
    """

    def __init__(self, edge: E, new_key: Callable[[], str]) -> None:
        self._edge: E = edge
        self._new_key = new_key


class call(Generic[P, T]):  # noqa: N801 - a decorator
    """Let a method that describes a call make it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, group: None, owner: object) -> Self: ...
    @overload
    def __get__(self, group: Group[SyncEdge], owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(self, group: Group[AsyncEdge], owner: object) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, group: Any, owner: object) -> Any:
        if group is None:
            return self

        @wraps(self._describe)
        def made(*args: P.args, **kwargs: P.kwargs) -> Any:
            return group._edge.run(self._describe(group, *args, **kwargs))

        return made


class listing(Generic[P, T]):  # noqa: N801 - a decorator
    """Let a method that describes a list walk it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Listing[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, group: None, owner: object) -> Self: ...
    @overload
    def __get__(self, group: Group[SyncEdge], owner: object) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, group: Group[AsyncEdge], owner: object) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, group: Any, owner: object) -> Any:
        if group is None:
            return self

        @wraps(self._describe)
        def made(*args: P.args, **kwargs: P.kwargs) -> Any:
            return group._edge.walk(self._describe(group, *args, **kwargs))

        return made


class feed(Generic[P]):  # noqa: N801 - a decorator
    """Let a method that describes a stream follow it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Feed]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, group: None, owner: object) -> Self: ...
    @overload
    def __get__(self, group: Group[SyncEdge], owner: object) -> Callable[P, Iterator[StreamEvent]]: ...
    @overload
    def __get__(self, group: Group[AsyncEdge], owner: object) -> Callable[P, AsyncIterator[StreamEvent]]: ...
    def __get__(self, group: Any, owner: object) -> Any:
        if group is None:
            return self

        @wraps(self._describe)
        def made(*args: P.args, **kwargs: P.kwargs) -> Any:
            return group._edge.follow(self._describe(group, *args, **kwargs))

        return made
