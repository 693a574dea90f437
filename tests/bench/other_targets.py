"""Herds for other targets: one that speaks TLS, and one that takes a while to answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.bench.child import ROOT
from tests.bench.figures import median, range_of
from tests.bench.harness import Harness, now_ms, say
from tests.bench.sections import Size, complete

CERTIFICATES = ROOT / "tests/e2e/egress_client/certificates"
SLOW_S = 0.1


def https_herd(size: Size) -> Iterator[str]:
    """The herd for a target that speaks TLS; the sink does the cryptography of the other side on the same cores."""
    with Harness(FLIQ_EGRESS_CA_FILE=str(CERTIFICATES / "authority.pem")) as harness:
        yield from _herd(harness, size, size.herd, certificate=str(CERTIFICATES / "good.pem"))


def slow_target(size: Size) -> Iterator[str]:
    """The herd for a target that answers after 100 ms: how many calls are open at once, and so how fast they end."""
    with Harness() as harness:
        yield from _herd(harness, size, size.herd, after_s=SLOW_S)


def _herd(harness: Harness, size: Size, count: int, **target: Any) -> Iterator[str]:
    port = harness.sink.ask("listen", **target)["port"]
    harness.target = f"{'https' if 'certificate' in target else 'http'}://127.0.0.1:{port}"
    rates = []
    used = []
    for each in range(size.rounds):
        say(f"a herd of {count:,} for {target}, round {each + 1} of {size.rounds}")
        harness.sink.ask("clear")
        at_ms = now_ms() + 4_000
        harness.fill(connections=4, batch=500, count=count, from_ms=at_ms, over_ms=0)
        harness.wait_folded()
        meter = harness.meter()
        harness.wait_arrivals(count, timeout_s=60)
        harness.wait_finished(timeout_s=60)
        used.append(meter.used_s())
        rates.append(complete(harness, count)["calls_per_s"])
    of_fliq, of_sink = (median(each[name] for each in used) * 1000 / count for name in ("fliq", "sink"))
    yield f"fliq           {median(rates):8,.0f} calls/s ({range_of(rates)})"
    yield f"CPU of 1,000 calls: fliq {of_fliq:.2f} s   sink {of_sink:.2f} s"
