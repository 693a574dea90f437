"""
Greeting: the lines that Fliq prints for a person once it is up. Pure.

If this start made a token, the lines hold an example that can be pasted into a shell. Its job calls Fliq's own health check, so
that nothing else has to run; if the operator's rules forbid that address, it calls a public one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from libs.egress.url_rules import UrlRefused

ELSEWHERE: Final = "https://example.com/"
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a listener on all addresses is reached
_GNU_DATE: Final = "date -u -d '+2 seconds' +%Y-%m-%dT%H:%M:%SZ"
_BSD_DATE: Final = "date -u -v+2S +%Y-%m-%dT%H:%M:%SZ"


def address_of(host: str, port: int) -> str:
    """Return the URL under which a listener on *host* is reached from this machine."""
    host = _ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def greeting(
    *,
    address: str,
    admin_address: str,
    token: str | None,
    check_url: Callable[[str], str],
    platform: str,
    console_path: str | None = None,
) -> str:
    """
    Return the lines that are printed when everything is started.

    Args:
        address, admin_address: URLs of the API and of the admin port.
        token: the token that this start made, None when none was.
        check_url: `EgressPolicy.check_url`; it decides what the example may call.
        platform: `sys.platform`; the example's `date` differs on macOS.
        console_path: path of the console at the API's port, None if there is none.
    """
    lines = [
        "",
        f"  Fliq is ready: {address} (docs/api.md, or {address}/v1/openapi.json)",
        *([f"  Look at it: {address}{console_path}/ (log in with an API token)"] if console_path else []),
        f"  Health and metrics: {admin_address}/readyz, {admin_address}/metrics. Ctrl-C stops it.",
    ]
    if token is None:
        lines.append("  API tokens are shown once, when they are made; `fliq tokens create` makes another one.")
    else:
        lines += ["", *_example(address, f"{admin_address}/healthz", token, check_url, platform)]
    return "\n".join([*lines, "", ""])


def _example(address: str, url: str, token: str, check_url: Callable[[str], str], platform: str) -> list[str]:
    try:
        check_url(url)
    except UrlRefused:
        url = ELSEWHERE
    now = _BSD_DATE if platform == "darwin" else _GNU_DATE
    return [
        f"  Try it in another terminal: a GET of {url} in two seconds, then what became of it.",
        "",
        f"      TOKEN={token}",
        f'      curl -s {address}/v1/jobs -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \\',
        f'        -d \'{{"url": "{url}", "http_method": "GET", "scheduled_at": "\'"$({now})"\'"}}\'',
        f'      sleep 3; curl -s {address}/v1/jobs -H "Authorization: Bearer $TOKEN"',
    ]
