"""
TLS of outgoing calls: what is verified, and which sessions are resumed.

Keys are agreed on by elliptic curves only (libs/runtime/curves.py says why).

A resumed session spares both sides the certificate and its signature: a handshake costs about a sixth less. The certificate is then
not seen again, so a session is kept for SESSION_S only. It belongs to the account that made it, as its connections do: else a
target could tell that two accounts are served by one Fliq.
"""

from __future__ import annotations

import asyncio
import ssl
from contextvars import ContextVar
from pathlib import Path
from typing import Final

SESSION_S: Final = 30.0
SESSIONS_LIMIT: Final = 512  # each is some KB: it holds the peer's certificate

Origin = tuple[str, str]  # account, and `scheme://host[:port]`

_session: ContextVar[ssl.SSLSession | None] = ContextVar("tls_session", default=None)


class EgressContext(ssl.SSLContext):
    """A context whose next handshake resumes the session that `resume` has named, in the same task or callback."""

    # The event loops have no argument for a session; they call this method.
    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a handshake."""
        session = session or _session.get()
        return super().wrap_bio(
            incoming, outgoing, server_side=server_side, server_hostname=server_hostname, session=session
        )


class TlsSessions:
    """The latest session of each origin. Any number of them may be forgotten at any time."""

    def __init__(self) -> None:
        self._kept: dict[Origin, tuple[ssl.SSLSession, float]] = {}  # the oldest first

    def resume(self, origin: Origin, now_s: float) -> None:
        """Have the handshake that the running task makes next resume the session of *origin*, if there is one."""
        session, until_s = self._kept.get(origin, (None, 0.0))
        _session.set(session if now_s < until_s else None)

    def note(self, origin: Origin, transport: asyncio.Transport, now_s: float) -> None:
        """Keep the session of a connection on which an answer came; connections without TLS have none."""
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is None or not isinstance(tls.context, EgressContext) or tls.session is None or not origin[0]:
            return
        self._kept.pop(origin, None)
        while len(self._kept) >= SESSIONS_LIMIT:
            del self._kept[next(iter(self._kept))]
        self._kept[origin] = tls.session, now_s + SESSION_S


def default_ssl_context(ca_file: Path | None = None) -> EgressContext:
    """
    Return a context that verifies chain and host name and speaks HTTP/1.1 only.

    Args:
        ca_file: PEM certificates of authorities that are trusted besides the system's (FLIQ_EGRESS_CA_FILE).

    Raises:
        OSError, ssl.SSLError: *ca_file* cannot be read, or holds no certificate.
    """
    context = EgressContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    # TLS 1.2 takes any prime that the server likes: with one of 10,000 bits a handshake takes 1.2 s, in which nothing else is done.
    kept = [
        each["name"] for each in context.get_ciphers() if each["kea"] not in ("kx-dhe", "kx-any")
    ]  # any: of TLS 1.3
    context.set_ciphers(":".join(kept))
    context.options |= ssl.OP_NO_RENEGOTIATION  # a server could ask for one handshake after the other
    return context
