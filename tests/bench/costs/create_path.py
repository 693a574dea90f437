"""
Measure what one create, and one job of a batch, costs the API: processor time of the whole path, and of its parts.

    python -m tests.bench.costs.create_path [rounds]

One process without sockets and without a database: requests are given to the connections of the real HTTP server, and the log takes
every group at once from the real queue of appends. So the figures hold the work of Fliq and its libraries, and nothing of the
system's. They are processor time, the least of several rounds, so another load tells little. The parts do not make up the whole:
between them is the way through the layers, the loop and the limits.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Final

import orjson
import uvloop

from libs.egress.url_rules import EgressPolicy
from libs.events import Envelope, encode, read
from libs.events.ids import to_int
from libs.log.appends import AppendQueue
from libs.log.measured import MeasuredLog
from libs.log.port import measure
from libs.runtime.clock import SteadyClock, SystemEntropy
from libs.runtime.telemetry.metrics import Metrics
from libs.sealing.keyring import Keyring
from libs.sealing.master_keys import MasterKeys, WrappedKey
from libs.store.control.accounts import Token
from libs.store.projection.progress import ProgressWatch
from services.api.contract import requests
from services.api.contract.field import Rules
from services.api.contract.json_body import parse
from services.api.contract.token_text import ALL_SCOPES, new_token, token_hash
from services.api.handlers.jobs.job_creation import _body, _scheduled
from services.api.metrics import ApiMetrics
from services.api.service import ApiService, Ports
from services.api.state.minting import Mint
from tests.bench.load import job, post

ROUNDS: Final = 25
CREATES: Final = 480
BATCHES: Final = 8
BATCH: Final = 100
CONNECTIONS: Final = 48
ACCOUNT: Final = "default"
URL: Final = "http://127.0.0.1:31234/1799999999999/17"
AT: Final = 1_999_999_999_999
PARTITIONS: Final = 4


class TakesAll:
    """A log that takes every group at once; what it took counts as folded."""

    position_reports = None

    def __init__(self, watch: ProgressWatch) -> None:
        self._watch = watch
        self._queue = AppendQueue(max_records=50_000, max_bytes=64_000_000)
        self._ends = [0] * PARTITIONS
        self.writing = asyncio.create_task(self._write())

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        return await self._queue.put(partition, envelopes, measure(envelopes), timeout_s)

    async def partitions(self) -> int:
        return PARTITIONS

    async def end(self, partition: int) -> int:
        return self._ends[partition]

    async def _write(self) -> None:
        while await self._queue.arrival():
            await asyncio.sleep(0)
            for append in self._queue.take(max_records=2_000, max_bytes=8_000_000):
                append.written.set_result(self._ends[append.partition])
                self._ends[append.partition] += len(append.envelopes)
            self._queue.taken_ended()
            for partition, end in enumerate(self._ends):
                self._watch.publish(partition, end - 1)


class Wire:
    """A transport that gives its connection the next request of *requests* as soon as one is answered."""

    def __init__(self, requests: Iterator[bytes], done: Callable[[], None]) -> None:
        self._requests, self._done = requests, done
        self.connection: Any = None

    def begin(self, connection: Any) -> None:
        self.connection = connection
        connection.connection_made(self)
        self._send()

    def write(self, data: bytes) -> None:
        assert data.startswith((b"HTTP/1.1 201 ", b"HTTP/1.1 200 ")), data[:300]
        asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._done()
        else:
            self.connection.data_received(request)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 4711) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def nothing(self, *_: Any, **__: Any) -> None:
        """Do nothing: there is no socket."""

    set_write_buffer_limits = pause_reading = resume_reading = close = abort = nothing


class Keys:
    """The wrapped key of the one account."""

    def __init__(self) -> None:
        self._kept: dict[str, WrappedKey] = {}

    async def newest(self, account: str) -> WrappedKey | None:
        return self._kept.get(account)

    async def add(self, key: WrappedKey) -> bool:
        self._kept[key.account] = key
        return True


async def served(token: str, entropy: SystemEntropy) -> ApiService:
    """Return the API, started on nothing that takes time."""
    tables: Any = SimpleNamespace(find_tokens=None)
    known = Token("tok_1", ACCOUNT, "bench", frozenset(ALL_SCOPES), "abcd", 0, None)

    async def find_tokens(hashes: Sequence[bytes]) -> dict[bytes, Token]:
        return dict.fromkeys(hashes, known)

    tables.find_tokens = find_tokens
    watch = ProgressWatch(None)
    clock, metrics = SteadyClock(), Metrics(version="bench")
    keys = Keys()
    names = "queries search keys names accounts endpoints deliveries responses recoveries activity leases checks stream"
    ports: dict[str, Any] = dict.fromkeys(names.split(), tables)
    service = ApiService(
        Ports(
            **ports,
            log=MeasuredLog(TakesAll(watch), metrics),  # type: ignore[arg-type]
            progress=watch,
            clock=clock,
            entropy=entropy,
            check_url=EgressPolicy.parse("127.0.0.0/8").check_url,
            zones=tables,
            pepper=b"pepper",
            cursor_key=b"cursors",
            keyring=Keyring(
                lambda: MasterKeys((bytes(32),)),
                keys,  # type: ignore[arg-type]
                entropy=entropy.entropy,
                steady=clock.steady,
                away=ConnectionError,
            ),
        ),
        host="127.0.0.1",
        port=0,
        observe=ApiMetrics(metrics),
    )
    assert token_hash(b"pepper", token)
    await service.start()
    return service


async def spent_us(service: ApiService, request: bytes, count: int) -> float:
    """Have *count* requests answered over `CONNECTIONS` connections; return the processor time of one, in µs."""
    ended, left = asyncio.Event(), min(CONNECTIONS, count)

    def done() -> None:
        nonlocal left
        left -= 1
        if not left:
            ended.set()

    sent = iter([request] * count)
    wires = [Wire(sent, done) for _ in range(left)]
    began_s = time.process_time()
    for wire in wires:
        wire.begin(service.server())  # type: ignore[misc]
    await ended.wait()
    spent_s = time.process_time() - began_s
    for wire in wires:
        wire.connection.connection_lost(None)
    return spent_s * 1e6 / count


async def paths(rounds: int) -> tuple[float, float]:
    """Return what a create costs, and a job of a batch, in µs."""
    entropy = SystemEntropy()
    token = new_token(entropy.entropy)
    service = await served(token, entropy)
    create = post("/v1/jobs", token, job(URL, AT))
    batch = post("/v1/jobs/batch", token, f'{{"jobs":[{",".join([job(URL, AT)] * BATCH)}]}}')
    creates, batches = [], []
    for _ in range(rounds):
        creates.append(await spent_us(service, create, CREATES))
        batches.append(await spent_us(service, batch, BATCHES) / BATCH)
    await service.stop()
    return min(creates), min(batches)


def parts(rounds: int) -> Iterator[tuple[str, float]]:
    """Yield what each part of a create costs, in µs."""
    entropy, clock = SystemEntropy(), SteadyClock()
    raw = job(URL, AT).encode()
    rules = Rules(EgressPolicy.parse("127.0.0.0/8").check_url)
    keys = Keys()
    keyring = Keyring(
        lambda: MasterKeys((bytes(32),)),
        keys,  # type: ignore[arg-type]
        entropy=entropy.entropy,
        steady=clock.steady,
        away=ConnectionError,
    )
    asyncio.run(keyring.ready(ACCOUNT))
    mint, now = Mint(entropy, partition_count=PARTITIONS), clock.now()
    data = parse(raw)
    asked = requests.job_request(data, rules)
    job_id = mint.job_id(now, 1)
    fact = _scheduled(asked, job_id, ACCOUNT, now)
    sealed = keyring.seal(fact, ACCOUNT)
    envelope = encode(sealed)
    shown = _body(asked, job_id, now)
    answered = ApiMetrics(Metrics(version="bench"))
    for name, work in {
        "JSON decoded and checked": lambda: parse(raw),
        "validated": lambda: requests.job_request(data, rules),
        "id made": lambda: mint.job_id(now, 1),
        "sealed": lambda: keyring.seal(fact, ACCOUNT),
        "encoded": lambda: encode(sealed),
        "answer made": lambda: orjson.dumps(_body(asked, job_id, now)),
        "measured": lambda: answered("/v1/jobs", "POST", 201, 0.001),
        "fold: decoded": lambda: read(1, envelope),
        "flush: an id as a number": lambda: to_int(job_id),
    }.items():
        yield name, least_us(work, rounds)
    assert shown


def least_us(work: Callable[[], object], rounds: int, times: int = 1_000) -> float:
    """Return the least processor time of *work*, in µs."""
    found = []
    for _ in range(rounds):
        began_s = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - began_s) * 1e6 / times)
    return min(found)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    create_us, job_us = uvloop.run(paths(rounds))
    print(f"a create {create_us:.1f} µs, a job of a batch of {BATCH} {job_us:.1f} µs of processor time")
    for name, cost_us in parts(rounds):
        print(f"  {name:26} {cost_us:5.2f} µs")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
