"""Listen: `fliq listen`: each call that Fliq makes, made again to this machine."""

from __future__ import annotations

import argparse
from typing import Final

import httpx

from fliq_client.cli import options
from fliq_client.cli.exits import OK, UsageError
from fliq_client.cli.parsing import Commands, add_stream_options, word
from fliq_client.cli.session import Session
from fliq_client.contract.error_codes import NotFound, SpecShredded
from fliq_client.contract.models import Job
from fliq_client.groups.feed import StreamEvent

FORWARDED: Final = "X-Fliq-Forwarded"
PAYLOADS: Final = "read:payloads"
TIMEOUT_S: Final = 30.0
# What belongs to the connection that is made here.
_OWN: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
# What the call of an attempt carries, by the name of the field that says it.
_SAID: Final = {
    "X-Fliq-Job-Id": "job_id",
    "X-Fliq-Execution-Id": "execution_id",
    "X-Fliq-Attempt": "attempt_num",
    "X-Fliq-Scheduled-At": "scheduled_at",
    "X-Fliq-Schedule-Id": "schedule_id",
}

TEXT: Final = """\
Repeats each call that Fliq makes, to URL: with the method, path, query, headers and body of the job. Fliq makes its own call too,
and only that one decides how the job ends. The repeated call has X-Fliq-Forwarded: true and no signature, so let your application
accept calls without a signature in development.
"""


def add(commands: Commands) -> None:
    """Describe `fliq listen`."""
    listen = word(commands, "listen", _listen, "repeat each call to your own machine", TEXT)
    listen.add_argument("url", metavar="URL", help="where your application is, such as http://localhost:3000")
    add_stream_options(listen)


def _listen(args: argparse.Namespace, session: Session) -> int:
    local = local_url(args.url)
    if PAYLOADS not in session.fliq.account.get().token.scopes:
        raise UsageError(f"the token lacks the scope {PAYLOADS}: calls cannot be made again without headers and bodies")
    stream = session.fliq.events.stream(
        types=["attempt.due"], labels=options.labels(args.label), schedule_id=args.schedule_id
    )
    session.note(f"calls are made again to {local}; they are unsigned")
    with httpx.Client() as http:
        for number, event in enumerate(stream, start=1):
            try:
                job = session.fliq.jobs.get(event.subject)
            except (NotFound, SpecShredded) as error:
                session.note(f"{event.subject} cannot be called: {error}")
            else:
                session.say(_forward(http, local, job, event))
            if number == args.count:
                break
    return OK


def _forward(http: httpx.Client, local: httpx.URL, job: Job, event: StreamEvent) -> str:
    began = f"{job.id}  attempt {event.data.get('attempt_num')}  {job.http_method}"
    request = forwarded(http, local, job, event)
    try:
        with http.stream(
            request.method, request.url, headers=request.headers, content=request.content, timeout=TIMEOUT_S
        ) as answer:  # the body may be endless, and is not read
            return f"{began} {request.url.raw_path.decode()}  {answer.status_code}"
    except httpx.RequestError as error:
        return f"{began} {request.url.raw_path.decode()}  {str(error) or type(error).__name__}"


def forwarded(http: httpx.Client, local: httpx.URL, job: Job, event: StreamEvent) -> httpx.Request:
    """Return the call of *job*'s attempt, made to *local* instead: the path below its own, if it has one."""
    target = httpx.URL(job.url)
    raw_path = local.raw_path.partition(b"?")[0].rstrip(b"/") + target.raw_path
    headers = [(name, value) for name, value in (job.headers or {}).items() if name.lower() not in _OWN]
    headers += [(name, str(event.data[field])) for name, field in _SAID.items() if event.data.get(field) is not None]
    headers += [("X-Forwarded-Host", target.netloc.decode("ascii")), (FORWARDED, "true")]
    content = None if job.body is None else job.body.encode()
    return http.build_request(job.http_method, local.copy_with(raw_path=raw_path), headers=headers, content=content)


def local_url(text: str) -> httpx.URL:
    """Return the URL to call instead; raises UsageError."""
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
    except httpx.InvalidURL as error:
        raise UsageError(f"{text!r} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise UsageError(f"{text!r} is no URL of an application: write http://localhost:3000")
    return url
