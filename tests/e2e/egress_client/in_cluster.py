"""
A cluster in small: `unshare --net --mount python -m tests.e2e.egress_client.in_cluster` prints what calls by name come to, as JSON.

In namespaces of its own it has a name server of ours on 127.0.0.1:53, a service on a private address, somebody who listens on a
metadata address, and public addresses of the machine's own. Nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from libs.egress.client import EgressClient
from libs.egress.own_addresses import read_own_addresses
from libs.egress.request import OutgoingRequest
from libs.egress.url_rules import EgressPolicy, UrlRefused

SERVICE: Final = "10.96.0.5"
METADATA: Final = "169.254.169.254"
OWN: Final = "52.94.76.5"
OWN_IPV6: Final = "2600:1f18::5"
PORT: Final = 8000
OWN_PORT: Final = 9090
NAMES: Final = {
    "web.default.svc.cluster.local": SERVICE,
    "metadata.default.svc.cluster.local": METADATA,
    "here.default.svc.cluster.local": "127.0.0.1",
    "own.example": OWN,
}
SEARCH: Final = "default.svc.cluster.local svc.cluster.local cluster.local"
RESOLV_CONF: Final = f"nameserver 127.0.0.1\nsearch {SEARCH}\noptions ndots:5 timeout:1\n"
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
# (FLIQ_EGRESS_ALLOW, host, port, what comes of it)
CALLS: Final = [
    ("", "web.default.svc.cluster.local", PORT, "url_not_allowed"),
    ("192.168.0.0/16", "web.default.svc.cluster.local", PORT, "destination_not_allowed"),
    (".svc.cluster.local", "web.default.svc.cluster.local", PORT, "ok"),
    (".svc.cluster.local", "web.default.svc.cluster.local.", PORT, "ok"),
    (".svc.cluster.local:80", "web.default.svc.cluster.local", PORT, "url_not_allowed"),
    ("10.96.0.0/12", "web.default.svc.cluster.local", PORT, "ok"),
    ("web", "web", PORT, "ok"),
    ("0.0.0.0/0,::/0", "web", PORT, "ok"),
    ("0.0.0.0/0,::/0", "web.default.svc", PORT, "ok"),
    ("0.0.0.0/0,::/0", "metadata.default.svc.cluster.local", PORT, "destination_not_allowed"),
    (".svc.cluster.local", "metadata.default.svc.cluster.local", PORT, "destination_not_allowed"),
    ("0.0.0.0/0,::/0,.svc.cluster.local", "here.default.svc.cluster.local", OWN_PORT, "destination_not_allowed"),
    ("0.0.0.0/0,::/0", SERVICE, OWN_PORT, "url_not_allowed"),
    ("0.0.0.0/0,::/0", METADATA, PORT, "url_not_allowed"),
    ("", OWN, PORT, "url_not_allowed"),
    ("", f"[{OWN_IPV6}]", PORT, "url_not_allowed"),
    ("", "own.example", PORT, "destination_not_allowed"),
    ("52.94.76.0/24", OWN, PORT, "ok"),
    ("2600:1f18::/64", f"[{OWN_IPV6}]", PORT, "ok"),
    ("52.94.76.0/24", "own.example", PORT, "ok"),
    ("own.example", "own.example", PORT, "ok"),
    ("52.94.76.0/24", OWN, OWN_PORT, "url_not_allowed"),
    ("own.example", "own.example", OWN_PORT, "destination_not_allowed"),
]
# The same before the addresses are known: the socket says that it is connected to this machine.
NOT_YET_KNOWN: Final = [
    ("0.0.0.0/0,::/0", SERVICE, OWN_PORT, "destination_not_allowed"),
    ("", OWN, PORT, "destination_not_allowed"),
    ("", f"[{OWN_IPV6}]", PORT, "destination_not_allowed"),
    ("", "own.example", PORT, "destination_not_allowed"),
    ("own.example", "own.example", PORT, "ok"),
]


class Names(asyncio.DatagramProtocol):
    """A name server that knows `NAMES` (A records), and that nothing else exists."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one question."""
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += data[at] + 1
        question = data[12 : at + 5]
        ip = NAMES.get(".".join(labels).lower())
        is_a = question[-4:-2] == b"\0\1"
        code = b"\x85\x80" if ip is not None else b"\x85\x83"
        count = 1 if ip is not None and is_a else 0
        answer = data[:2] + code + b"\0\1" + count.to_bytes(2, "big") + b"\0\0\0\0" + question
        if count and ip is not None:
            answer += b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + bytes(map(int, ip.split(".")))
        self.transport.sendto(answer, addr)  # type: ignore[attr-defined]


def prepare() -> None:
    """Make the namespaces a cluster: addresses on loopback, and our name server in resolv.conf."""
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{SERVICE}/32", "dev", "lo"],
        ["ip", "address", "add", f"{METADATA}/32", "dev", "lo"],
        ["ip", "address", "add", f"{OWN}/32", "dev", "lo"],
        ["ip", "address", "add", f"{OWN_IPV6}/128", "dev", "lo"],
    ):
        subprocess.run(command, check=True)
    conf = Path(tempfile.mkdtemp()) / "resolv.conf"
    conf.write_text(RESOLV_CONF)
    subprocess.run(["mount", "--bind", str(conf), "/etc/resolv.conf"], check=True)


async def main() -> None:
    """Make the calls and print what became of each, and who was connected to."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 53))
    met: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        met.append(next(line for line in head.decode().split("\r\n") if line.startswith("Host: ")))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    for host in (SERVICE, METADATA, "127.0.0.1", OWN, OWN_IPV6):
        for port in (PORT, OWN_PORT):
            await asyncio.start_server(serve, host, port)
    known = read_own_addresses()
    assert known is not None
    outcomes: list[str] = []
    for index, (allow, host, port, _) in enumerate(CALLS + NOT_YET_KNOWN):
        policy = EgressPolicy.parse(allow, own_ports=frozenset({OWN_PORT}))
        if index < len(CALLS):
            policy.note_own_addresses(known)
        url = f"http://{host}:{port}/"
        try:
            policy.check_url(url)
        except UrlRefused as refusal:
            outcomes.append(refusal.code)
            continue
        client = EgressClient(policy=policy, now=lambda: 0)
        await client.start()
        outcome = await client.call(OutgoingRequest(method="GET", url=url, headers=[]), timeout_s=10)
        await client.close()
        outcomes.append(outcome.error or "ok")
    json.dump({"outcomes": outcomes, "met": met}, sys.stdout)


if __name__ == "__main__":
    prepare()
    asyncio.run(main())
