"""Calls that their account makes too often to one address: they wait without a slot, and none fails."""

from __future__ import annotations

from libs.egress.address_pace import AddressPace
from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from libs.runtime.clock import Clock
from tests.fakes.targets import ScriptedEgress
from tests.simulation.dispatcher.harness import HOST, Harness, harness

ADDRESS = {HOST: "203.0.113.1", "http://alias.example": "203.0.113.1", "http://elsewhere.example": "203.0.113.2"}


class Paced(ScriptedEgress):
    """An egress client that keeps two calls a second to one address."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.pace = AddressPace(lambda _: 2.0)

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        address = ADDRESS["/".join(request.url.split("/")[:3])]
        self.pace.admit(request.account, request.key, [address], self._clock.now() / 1000)
        return await super().call(request, timeout_s=timeout_s)


def pace(made: Harness) -> None:
    """Let the calls of *made* leave at a pace."""
    made.egress = Paced(made.clock)
    made.service = made.new_service()


async def test_calls_to_one_address_are_spaced() -> None:
    """By whatever name it is called; calls to another address leave at once, though there are few slots."""
    async with harness(slots=2) as made:
        pace(made)
        await made.begin()
        began_at = made.clock.now()
        for n in range(5):
            await made.due(url=f"{HOST if n % 2 else 'http://alias.example'}/{n}")
        await made.due(url="http://elsewhere.example/")
        await made.settle()
        await made.clock.advance(3_000)

        left = [(call.at - began_at, call.request.url.split("/")[2]) for call in made.egress.calls]
        assert [at for at, host in left if host != "elsewhere.example"] == [0, 0, 500, 1_000, 1_500]
        assert [at for at, host in left if host == "elsewhere.example"] == [0]
        assert [each.ok for each in await made.finished()] == [True] * 6
        assert made.tally.lateness_ms == [0] * 6  # the wait is the limit's


async def test_a_call_that_waits_goes_with_its_partition() -> None:
    """It is dropped when the lease is lost, and the next holder makes it: it was never sent."""
    async with harness() as made:
        pace(made)
        await made.begin()
        for n in range(4):
            await made.due(url=f"{HOST}/{n}")
        await made.settle()
        assert len(made.egress.calls) == 2
        await made.keeper.take_away()
        await made.clock.advance(3_000)
        assert len(made.egress.calls) == 2
        await made.keeper.give()
        await made.settle()
        await made.clock.advance(5_000)

        assert len(made.egress.calls) == 4
        assert len(set(made.egress.execution_ids)) == 4
        assert len(await made.finished()) == 4
