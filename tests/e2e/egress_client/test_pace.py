"""Calls a second of one account to one IP address, on real sockets."""

from __future__ import annotations

import msgspec
import pytest

from libs.egress.address_pace import AddressPace, CallLater
from libs.egress.request import OutgoingRequest
from tests.e2e.egress_client.hostile import LONG_S, OK, FakeResolver, answer, client, request, target


def call(url: str, key: str, account: str = "acme") -> OutgoingRequest:
    """One call of an account."""
    return msgspec.structs.replace(request(url), account=account, key=key)


async def test_names_of_one_address_share_its_pace() -> None:
    """What comes too early is told when to come again, and no packet leaves; other accounts are not held back."""
    resolver = FakeResolver(one_example=[["127.0.0.1"]] * 4, two_example=[["127.0.0.1"]] * 4)
    async with target(answer(OK)) as there, client(there, resolver=resolver) as fliq:
        fliq.pace = AddressPace(lambda account: 0.01 if account == "acme" else 0.0)
        one, two = (there.url(host=f"{name}.example") for name in ("one", "two"))

        assert (await fliq.call(call(one, "1"), timeout_s=LONG_S)).ok
        for url in (one, two, there.url()):
            with pytest.raises(CallLater) as later:
                await fliq.call(call(url, "2"), timeout_s=LONG_S)
            assert 90 < later.value.wait_s <= 100
        assert there.connection_count == 1
        assert (await fliq.call(call(two, "3", "other"), timeout_s=LONG_S)).ok
        assert there.connection_count == 2
