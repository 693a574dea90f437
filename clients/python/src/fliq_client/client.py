"""Client: the two entrances, `Fliq` and `AsyncFliq`."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import httpx

from fliq_client.api import Jobs, Schedules
from fliq_client.edges import AsyncEdge, Settings, SyncEdge
from fliq_client.exchange import Retries
from fliq_client.groups.account import Account, SigningSecrets, System, Tokens
from fliq_client.groups.events import Events
from fliq_client.groups.webhook_endpoints import WebhookDeliveries, WebhookEndpoints
from fliq_client.version import __version__

TIMEOUT_S: Final = 30.0


class Fliq:
    """
    Fliq, for code that blocks. May be used by several threads.

    Args:
        url: where Fliq is, such as `https://fliq.example.com`; `FLIQ_URL` if it is not given.
        token: `fliq_sk_...`; `FLIQ_TOKEN` if it is not given.
        timeout_s: how long one request waits for the network, in seconds.
        retries: when a call is sent again.
        http: an httpx client of your own, for certificates or proxies; you close it.
        new_key: gives the keys of creates that have none.

    Raises:
        ValueError: there is no URL or no token, or one of them cannot be right.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = Retries(),  # noqa: B008 - it is frozen
        http: httpx.Client | None = None,
        new_key: Callable[[], str] | None = None,
    ) -> None:
        self._edge = SyncEdge(_settings(url, token, timeout_s, retries), http)
        keys = new_key or _new_key
        self.jobs = Jobs(self._edge, keys)
        self.schedules = Schedules(self._edge, keys)
        self.events = Events(self._edge, keys)
        self.account = Account(self._edge, keys)
        self.system = System(self._edge, keys)
        self.tokens = Tokens(self._edge, keys)
        self.signing_secret = SigningSecrets(self._edge, keys)
        self.webhook_endpoints = WebhookEndpoints(self._edge, keys)
        self.webhook_deliveries = WebhookDeliveries(self._edge, keys)

    def close(self) -> None:
        """Close the connections."""
        self._edge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncFliq:
    """Fliq, for asyncio and trio; arguments as of `Fliq`."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = Retries(),  # noqa: B008 - it is frozen
        http: httpx.AsyncClient | None = None,
        new_key: Callable[[], str] | None = None,
    ) -> None:
        self._edge = AsyncEdge(_settings(url, token, timeout_s, retries), http)
        keys = new_key or _new_key
        self.jobs = Jobs(self._edge, keys)
        self.schedules = Schedules(self._edge, keys)
        self.events = Events(self._edge, keys)
        self.account = Account(self._edge, keys)
        self.system = System(self._edge, keys)
        self.tokens = Tokens(self._edge, keys)
        self.signing_secret = SigningSecrets(self._edge, keys)
        self.webhook_endpoints = WebhookEndpoints(self._edge, keys)
        self.webhook_deliveries = WebhookDeliveries(self._edge, keys)

    async def close(self) -> None:
        """Close the connections."""
        await self._edge.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _new_key() -> str:
    return f"client-{uuid.uuid4().hex}"


def _settings(url: str | None, token: str | None, timeout_s: float, retries: Retries) -> Settings:
    url = url or os.environ.get("FLIQ_URL", "")
    token = token or os.environ.get("FLIQ_TOKEN", "")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL of Fliq: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment or parsed.userinfo:
        shown = str(parsed.copy_with(userinfo=b"..." if parsed.userinfo else b""))
        raise ValueError(f"{shown!r} is not a URL of Fliq: pass one such as https://fliq.example.com, or set FLIQ_URL")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("the token is missing or malformed: pass token, or set FLIQ_TOKEN, as fliq_sk_...")
    return Settings(
        url=url.rstrip("/").removesuffix("/v1"),
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "User-Agent": f"fliq-client-python/{__version__}",
        },
        timeout_s=timeout_s,
        retries=retries,
    )
