"""The sink's process: takes calls, and answers what it has seen of them."""

from __future__ import annotations

import asyncio
import gc
import ssl
from typing import Any

from tests.bench.child import serve
from tests.bench.figures import spread
from tests.bench.wire import Arrivals, Sink

_arrivals = Arrivals()


async def answer(request: dict[str, Any]) -> dict[str, Any]:
    match request["do"]:
        case "listen":
            loop = asyncio.get_running_loop()
            after_s = request.get("after_s", 0.0)
            server = await loop.create_server(
                lambda: Sink(_arrivals, after_s), "127.0.0.1", 0, backlog=8192, ssl=_tls(request.get("certificate"))
            )
            gc.freeze()
            gc.disable()  # what it keeps has no cycles; a collection in the midst of a herd would be seen as lateness
            return {"port": server.sockets[0].getsockname()[1]}
        case "clear":
            _arrivals.clear()
            return {}
        case "count":
            return {"count": len(_arrivals.paths)}
        case "report":
            return _report()
        case what:
            raise ValueError(f"a sink cannot {what}")


def _tls(certificate: str | None) -> ssl.SSLContext | None:
    """Return the context of a server with *certificate*, a file; None without one."""
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def _report() -> dict[str, Any]:
    """Return count, distinct calls, how many came early, lateness in ms, and calls per second from the first to the last."""
    at_ns, paths = _arrivals.at_ns, _arrivals.paths
    late_ms = [at / 1e6 - int(path.split(b"/", 2)[1]) for at, path in zip(at_ns, paths, strict=True)]
    took_s = (max(at_ns) - min(at_ns)) / 1e9
    return {
        "count": len(paths),
        "distinct": len(set(paths)),
        "early": sum(late < 0 for late in late_ms),
        "calls_per_s": (len(paths) - 1) / took_s if took_s else 0.0,
        **spread(late_ms),
    }


if __name__ == "__main__":
    serve(answer)
