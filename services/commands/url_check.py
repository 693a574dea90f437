"""URL check: whether a URL could be called, and why not, as `fliq doctor --url` says it. Nothing is sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from libs.egress.resolver import ResolveError, look_up_name
from libs.egress.url_rules import ALLOW, EgressPolicy, UrlRefused
from libs.store.examination.findings import Finding, ok, wrong

CHECK: Final = "url"
LOOK_UP_S: Final = 5.0


async def check_url(
    policy: EgressPolicy, url: str, look_up: Callable[[str], list[str]] = look_up_name
) -> list[Finding]:
    """
    Return what is to be said of *url*: one finding for the URL, or one for each address of its name.

    Args:
        look_up: name -> addresses, blocking; raises `ResolveError`. It is asked as the dispatcher of this machine would ask.
    """
    try:
        target = policy.target(url)
    except UrlRefused as refusal:
        return [wrong(CHECK, refusal.message, f'docs/api.md, "Why a URL is refused"; {ALLOW} is the setting')]
    authority = target.authority
    if authority.addresses:
        return [ok(CHECK, f"{target.url} could be called at {', '.join(authority.addresses)}, port {authority.port}")]
    name = authority.host if authority.is_as_written else f"{authority.host}."
    try:
        async with asyncio.timeout(LOOK_UP_S):
            addresses = await asyncio.to_thread(look_up, name)
    except ResolveError as error:
        return [
            wrong(CHECK, f"{authority.host} has no address: {error}", "is it the name that this machine's DNS knows?")
        ]
    except TimeoutError:
        return [
            wrong(
                CHECK, f"{authority.host}: no answer within {LOOK_UP_S:g} s", "do this machine's name servers answer?"
            )
        ]
    found = []
    for address in addresses:
        denial = policy.denial(address, authority.port, is_named=authority.is_named)
        what = f"{authority.host} is {address}, port {authority.port}"
        if denial is None:
            found.append(ok(CHECK, f"{what}: it could be called"))
        else:
            advice = f"{ALLOW}={authority.host} or ={address} allows it; one refused address of a name is enough to refuse it"
            found.append(
                wrong(CHECK, f"{what}: the {'port' if 'port' in denial.value else 'address'} {denial.value}", advice)
            )
    return found
