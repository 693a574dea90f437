"""
TLS (V6): a certificate that does not prove the name ends the attempt before the request is sent.

Keys are agreed on by curves only: a target would choose the primes of the other way, and with them how long we compute.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

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
RSA = CERTIFICATES / "rsa.pem"
CURVES = {0x001D: "X25519", 0x0017: "P-256", 0x001E: "X448", 0x0019: "P-521", 0x0018: "P-384"}
GROUPS = 10  # the extension that lists them (RFC 8446, 4.2.7)
HELLO = """
import services.__main__, ssl
from libs.egress.tls import default_ssl_context
sent = ssl.MemoryBIO()
hello = default_ssl_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="target.example")
try:
    hello.do_handshake()
except ssl.SSLWantReadError:
    print(sent.read().hex())
"""


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


def offered_groups(hello: bytes) -> list[int]:
    """Return the numbers of the groups that a ClientHello lists, its record's head included."""
    at = 5 + 4 + 2 + 32  # record, handshake, version, random
    at += 1 + hello[at]  # session
    at += 2 + int.from_bytes(hello[at : at + 2])  # ciphers
    at += 1 + hello[at] + 2  # compression, length of the extensions
    while at < len(hello):
        kind, size = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        if kind == GROUPS:
            listed = hello[at + 6 : at + 4 + size]
            return [int.from_bytes(listed[start : start + 2]) for start in range(0, len(listed), 2)]
        at += 4 + size
    raise AssertionError("no groups are listed")


def test_a_process_offers_curves_only() -> None:
    """In any process of Fliq; a target that insists on a group of primes finds none (TLS 1.3)."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENSSL_CONF"}
    said = subprocess.run([sys.executable, "-c", HELLO], env=environment, capture_output=True, text=True, check=True)

    assert offered_groups(bytes.fromhex(said.stdout)) == list(CURVES)


def test_an_operators_own_file_stays(tmp_path: Path) -> None:
    """Who has a policy of their own names it as OpenSSL has it."""
    own = tmp_path / "own.cnf"
    own.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nGroups = P-384\n")
    environment = os.environ | {"OPENSSL_CONF": str(own)}
    said = subprocess.run([sys.executable, "-c", HELLO], env=environment, capture_output=True, text=True, check=True)

    assert [CURVES.get(each) for each in offered_groups(bytes.fromhex(said.stdout))] == ["P-384"]


@pytest.mark.parametrize(("ciphers", "error"), [("ECDHE", None), ("DHE-RSA-AES256-GCM-SHA384", "tls_error")])
async def test_a_target_that_knows_no_curve(ciphers: str, error: str | None, tmp_path: Path) -> None:
    """With TLS 1.2 it would choose the prime, and each call would compute for as long as it likes."""
    parameters = tmp_path / "dh.pem"
    parameters.write_text(DH_2048)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(RSA)
    context.load_dh_params(parameters)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    async with (
        TlsTarget(None, context) as there,
        client(allow=f"127.0.0.1/32:{there.port}", resolver=RESOLVER, context=default_ssl_context(RSA)) as fliq,
    ):
        outcome = await fliq.call(request(there.url(host="target.example")), timeout_s=LONG_S)

    assert outcome.error == error


# Group 14 of RFC 3526.
DH_2048 = """-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA///////////JD9qiIWjCNMTGYouA3BzRKQJOCIpnzHQCC76mOxOb
IlFKCHmONATd75UZs806QxswKwpt8l8UN0/hNW1tUcJF5IW1dmJefsb0TELppjft
awv/XLb0Brft7jhr+1qJn6WunyQRfEsf5kkoZlHs5Fs9wgB8uKFjvwWY2kg2HFXT
mmkWP6j9JM9fg2VdI9yjrZYcYvNWIIVSu57VKQdwlpZtZww1Tkq8mATxdGwIyhgh
fDKQXkYuNs474553LBgOhgObJ4Oi7Aeij7XFXfBvTFLJ3ivL9pVYFxg5lUl86pVq
5RXSJhiY+gUQFXKOWoqsqmj//////////wIBAg==
-----END DH PARAMETERS-----
"""
