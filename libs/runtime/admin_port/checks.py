"""Checks: what has to hold for this process to be ready, asked by `/readyz` of the admin port (probes.py)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

Check = Callable[[], "str | Awaitable[str | None] | None"]
"""Says None when all is well, else the reason why not; may be a coroutine function."""

TIMEOUT_S: Final = 2.0


class Checks:
    """Checks by name. They may be added at any time; without any the process is ready."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Have *check* asked; it gets 2 s. A name that is there already is replaced."""
        self._checks[name] = check

    async def results(self) -> dict[str, str]:
        """Ask every check at the same time; by name `ok` or the reason why not."""
        names = list(self._checks)
        reasons = await asyncio.gather(*(_ask(self._checks[name]) for name in names))
        return {name: reason or "ok" for name, reason in zip(names, reasons, strict=True)}


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer = check()
            return await answer if inspect.isawaitable(answer) else answer
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:g} s"
    except Exception as error:  # noqa: BLE001 - a check that fails is a reason, whatever it fails with
        return f"{type(error).__name__}: {error}"[:200]
