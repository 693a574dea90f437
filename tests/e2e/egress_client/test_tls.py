"""TLS (V6): a certificate that does not prove the name ends the attempt before the request is sent."""

from __future__ import annotations

import pytest

from libs.egress.tls import default_ssl_context
from tests.e2e.egress_client.hostile import (
    CERTIFICATES,
    LONG_S,
    Connection,
    FakeResolver,
    TlsTarget,
    client,
    request,
    target,
)
from tests.fakes.running.stalls import Stalls

RESOLVER = FakeResolver(target_example=[["127.0.0.1"]])


@pytest.mark.parametrize("host", ["target.example", "127.0.0.1"])
async def test_good_certificate(host: str) -> None:
    """A certificate of our authority for the name is accepted, for a name and for an address."""
    async with TlsTarget("good") as there, client(allow=f"127.0.0.1/32:{there.port}", resolver=RESOLVER) as fliq:
        outcome = await fliq.call(request(there.url(host=host)), timeout_s=LONG_S)

        assert (outcome.status_code, outcome.error, outcome.is_truncated) == (200, None, False)
        assert len(there.requests) == 1


@pytest.mark.parametrize("certificate", ["expired", "wrong_host", "self_signed"])
async def test_bad_certificate(certificate: str) -> None:
    """V6: an expired, a foreign and a self-signed certificate are `tls_error`; no request arrives."""
    async with TlsTarget(certificate) as there, client(allow=f"127.0.0.1/32:{there.port}", resolver=RESOLVER) as fliq:
        outcome = await fliq.call(request(there.url(host="target.example")), timeout_s=LONG_S)

        assert (outcome.ok, outcome.status_code, outcome.error) == (False, None, "tls_error")
    assert [one for one in there.requests if one] == []


async def test_clear_text_to_a_tls_port() -> None:
    """A request in the clear to a TLS port is a failed attempt."""
    async with TlsTarget("good") as there, client(allow=f"127.0.0.1/32:{there.port}") as fliq:
        outcome = await fliq.call(request(there.url(host="127.0.0.1", scheme="http")), timeout_s=LONG_S)

        assert outcome.error in ("protocol_error", "connection_error")


async def test_tls_to_a_clear_text_port() -> None:
    """A handshake that is answered by a mail server's greeting is `tls_error`."""
    async with TlsTarget(None) as there, client(allow=f"127.0.0.1/32:{there.port}") as fliq:
        outcome = await fliq.call(request(there.url(host="127.0.0.1")), timeout_s=LONG_S)

        assert outcome.error == "tls_error"


async def test_silent_handshake_ends_by_the_connect_limit(stalls: Stalls) -> None:
    """A server that takes the connection and never shakes hands costs the connect limit, not the whole call."""

    async def script(connection: Connection) -> None:
        raise AssertionError("no request can arrive")

    async with target(script) as there, client(there, connect_s=0.2) as fliq:
        outcome = await fliq.call(request(there.url(scheme="https")), timeout_s=LONG_S)

        assert outcome.error == "timeout"
        assert outcome.duration_ms < 2_000 + 2 * stalls.longest_ms


async def test_case_23_authorities_besides_the_systems() -> None:
    """FLIQ_EGRESS_CA_FILE adds to the public authorities, and replaces none."""
    bare, ours = default_ssl_context(), default_ssl_context(CERTIFICATES / "authority.pem")
    policy = "127.0.0.1/32"
    async with TlsTarget("good") as there:
        for context, error in ((bare, "tls_error"), (ours, None)):
            async with client(allow=policy, resolver=RESOLVER, context=context) as fliq:
                outcome = await fliq.call(request(there.url(host="target.example")), timeout_s=LONG_S)

                assert outcome.error == error
    assert len(ours.get_ca_certs()) == len(bare.get_ca_certs()) + 1
