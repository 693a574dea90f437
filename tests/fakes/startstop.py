"""The contract of start and stop, pressed hard; run it on any service that has both."""

from __future__ import annotations

import asyncio

from libs.runtime.lifecycle import Service


async def stress(service: Service, *, tasks: int = 10, rounds: int = 50, timeout_s: float = 20.0) -> None:
    """
    Start and stop *service* from *tasks* tasks at once, *rounds* times each, and leave it stopped.

    Also: stopped before it was started, and twice at the end. Errors pass; a hang ends in TimeoutError.
    """

    async def churn(number: int) -> None:
        for turn in range(rounds):
            await service.start()
            if (number + turn) % 3:
                await asyncio.sleep(0)  # let others in between, or not
            await service.stop()

    async with asyncio.timeout(timeout_s):
        await service.stop()
        async with asyncio.TaskGroup() as group:
            for number in range(tasks):
                group.create_task(churn(number))
        await service.stop()
        await service.stop()
