"""
API pages: the tables of docs/api.md and docs/retries.md that come from the code: routes, request fields, error codes, targets.

The rest of the pages is written by hand. Each table stands between two markers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from libs.domain.endpoints.webhook_event import EVENTS
from libs.egress.address_rules import DENIED_PORTS, GUARDED, IPV4_DENIED, IPV4_MAPPED, IPV6_ALLOWED, IPV6_DENIED, Denial
from libs.egress.url_rules import INSIDE_ENDINGS
from services.api.contract.endpoints.fields import ENDPOINT
from services.api.contract.error_codes import CODES
from services.api.contract.fields.event_filter import EVENT_TYPES
from services.api.contract.fields.retry_fields import retry_after_table, retry_table
from services.api.contract.request_fields import JOB, TOKEN
from services.api.contract.routes import ROUTES
from services.api.contract.schedules.backfill import BACKFILL
from services.api.contract.schedules.fields import PAUSE, PREVIEW, RESUME, RULE, SCHEDULE
from services.api.contract.token_text import SCOPES

PAGE: Final = Path(__file__).resolve().parents[1] / "docs/api.md"
RETRIES: Final = PAGE.with_name("retries.md")
_BLOCK: Final = re.compile(r"(<!-- table: ([a-z_ ]+), written by `make docs` -->\n).*?(\n<!-- end -->)", re.DOTALL)


def page(path: Path = PAGE) -> str:
    """Return the page *path* with its tables written anew; raises KeyError if a marker names no table."""
    return _BLOCK.sub(lambda block: block[1] + _TABLES[block[2]]() + block[3], path.read_text(encoding="utf-8"))


def _routes() -> str:
    rows = ["| route | scope | does |", "|---|---|---|"]
    for route in ROUTES:
        does = f"[{route.summary}](#{route.section.lower().replace(' ', '-')})" if route.section else route.summary
        rows.append(f"| `{route.method} {route.path}` | {route.scope or 'none'} | {does} |")
    return "\n".join(rows)


def _scopes() -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in SCOPES.items()]
    return "\n".join(["| scope | allows to |", "|---|---|", *rows])


def _events() -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in EVENTS.items()]
    return "\n".join(["| event | sent when |", "|---|---|", *rows])


def _stream_events() -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in EVENT_TYPES.items()]
    return "\n".join(["| event | told when |", "|---|---|", *rows])


def _codes() -> str:
    rows = [f"| `{code}` | {status} | {meaning} |" for code, (status, meaning) in CODES.items()]
    return "\n".join(["| code | status | means |", "|---|---|---|", *rows])


def _refused_addresses() -> str:
    rows = ["| addresses | what they are | opened by |", "|---|---|---|"]
    for network, why in (IPV4_DENIED | IPV6_DENIED).items():
        rows.append(f"| `{network}` | {why} | an entry that covers them |")
    rows.append(f"| IPv6 outside of `{IPV6_ALLOWED}` | not global unicast | an entry that covers them |")
    rows += [f"| `{network}` | {why} | an entry that lies within them |" for network, why in GUARDED.items()]
    rows.append(f"| `{IPV4_MAPPED}` | a second spelling of IPv4 addresses | nothing |")
    return "\n".join(rows)


def _inside_names() -> str:
    return ", ".join(f"`*{ending}`" for ending in INSIDE_ENDINGS)


def _refused_ports() -> str:
    return ", ".join(map(str, sorted(DENIED_PORTS)))


def _denials() -> str:
    rows = [f"| {denial.name.lower().replace('_', ' ')} | … {denial.value} |" for denial in Denial]
    return "\n".join(["| cause | the message ends with |", "|---|---|", *rows])


_TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "routes": _routes,
    "fields of a job": JOB.page_table,
    "fields of a schedule": partial(SCHEDULE.page_table, besides=JOB.rows),
    "fields of a pause": PAUSE.page_table,
    "fields of a resume": RESUME.page_table,
    "fields of a backfill": BACKFILL.page_table,
    "fields of a preview": partial(PREVIEW.page_table, besides=RULE),
    "fields of a webhook endpoint": ENDPOINT.page_table,
    "events of a webhook endpoint": _events,
    "events of a stream": _stream_events,
    "fields of a token": TOKEN.page_table,
    "fields of retry": retry_table().page_table,
    "fields of retry_after": retry_after_table().page_table,
    "scopes of a token": _scopes,
    "error codes": _codes,
    "causes of a refusal": _denials,
    "refused addresses": _refused_addresses,
    "endings of inside names": _inside_names,
    "refused ports": _refused_ports,
}
