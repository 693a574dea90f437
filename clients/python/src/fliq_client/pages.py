"""Pages: how a list is read, page by page. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fliq_client.answers import Page
from fliq_client.call import Call
from fliq_client.errors import UnexpectedAnswer

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing(Generic[T]):
    """A list: *call_of* gives the call for the page at a cursor, None for the first page."""

    call_of: Callable[[str | None], Call[Page[T]]]

    def after(self, page: Page[T], cursor: str | None) -> Call[Page[T]] | None:
        """Return the call for the page behind *page*, which was read at *cursor*; None if there is none."""
        if page.next_cursor is None:
            return None
        if page.next_cursor == cursor:
            raise UnexpectedAnswer("the next page of the list is the same page again", 200)
        return self.call_of(page.next_cursor)
