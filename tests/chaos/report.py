"""Report: what a campaign found, for people (report.md), for tools (report.json), and as a picture (lateness.svg)."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import Any, Final

from tests.chaos.campaign import Outcome
from tests.chaos.judging import picture
from tests.chaos.judging.history import Fault, History
from tests.chaos.judging.invariants import INVARIANTS
from tests.chaos.judging.view import View

SHOWN: Final = 10  # violations of each kind in the text
KEEP_JOBS_MAX: Final = 30_000  # a history of more is kept only when something is wrong with it
AFTER_MS: Final = 15_000.0


def write(outcome: Outcome) -> str:
    """Write all of it beside the processes' logs, and return the text."""
    out, figures = outcome.order.out, _figures(outcome)
    out.mkdir(parents=True, exist_ok=True)
    text = _text(outcome, figures)
    (out / "report.md").write_text(text, encoding="utf-8")
    (out / "report.json").write_text(json.dumps(figures, indent=2), encoding="utf-8")
    history = outcome.history
    points = [((asked - outcome.begun_at) / 1000, late) for asked, late, _ in _first_calls(history)]
    drawn = picture.draw(points, [_seconds(each, outcome.begun_at) for each in history.faults], title=_title(outcome))
    (out / "lateness.svg").write_text(drawn, encoding="utf-8")
    if not outcome.is_good or len(history.jobs) <= KEEP_JOBS_MAX:
        with gzip.open(out / "history.json.gz", "wt", encoding="utf-8", compresslevel=3) as kept:
            json.dump(asdict(history), kept)
    return text


def _title(outcome: Outcome) -> str:
    order = outcome.order
    brokers = f", {order.brokers} broker{'s' if order.brokers > 1 else ''}" if order.topology == "kafka" else ""
    return f"{order.topology}{brokers}, seed {order.seed}"


def _seconds(fault: Fault, begun_at: float) -> tuple[str, float, float]:
    return fault.kind, (fault.at - begun_at) / 1000, (fault.until - begun_at) / 1000


def _first_calls(history: History) -> list[tuple[float, float, float]]:
    """When each job was to be called, how many ms late its first call came, and how late since the last fault ended."""
    view = View(history)
    found = []
    for calls in view.calls_of.values():
        asked_at = view.asked_at(calls[0])
        found.append((asked_at, calls[0].at - asked_at, calls[0].at - view.free_from(asked_at, 0)))
    return sorted(found)


def _spread(late: list[float]) -> dict[str, float]:
    ordered = sorted(late) or [0.0]
    return {
        "count": len(late),
        "p50_ms": round(ordered[len(ordered) // 2], 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)], 1),
        "max_ms": round(ordered[-1], 1),
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    history, order = outcome.history, outcome.order
    firsts = _first_calls(history)
    made = [each for each in history.faults if each.healed_at is not None]
    seen = Counter(each.name for each in outcome.violations)
    counts = Counter(f"{each.kind} {each.outcome}" for each in history.operations)
    executions = Counter((call.job_id, call.attempt) for call in history.calls)
    return {
        "title": _title(outcome),
        "verdict": "kept its word" if outcome.is_good else "broke its word",
        "seed": order.seed,
        "replay": _replay(outcome),
        "seconds": round((history.ended_at - outcome.begun_at) / 1000),
        "jobs": len(history.jobs),
        "statuses": dict(Counter(job.status for job in history.jobs.values())),
        "requests": dict(sorted(counts.items())),
        "calls": len(history.calls),
        "repeated_calls": sum(count - 1 for count in executions.values()),
        "webhooks": len(history.hooks),
        "repeated_webhooks": len(history.hooks) - len({each.job_id for each in history.hooks}),
        "ticks": len({call.job_id for call in history.calls if call.schedule_id}),
        "cancel_races": dict(
            Counter(each.status for each in history.operations if each.kind == "cancel" and each.status)
        ),
        "faults": len(made),
        "stalls_of_the_machine": len(history.faults) - len(made),
        "lateness": {
            "all": _spread([late for _, late, _ in firsts]),
            "outside_faults": _spread([late for at, late, _ in firsts if not _near(history, at, AFTER_MS)]),
            "after_healing": _spread([since for at, _, since in firsts if _near(history, at, AFTER_MS)]),
        },
        "recovery_s": _recoveries(made),
        "invariants": {name: seen[name] for name in INVARIANTS},
        "differences": len(outcome.differences),
        "wrong": outcome.wrong,
        "deaths": outcome.deaths,
        "sizes": outcome.sizes,
        "fault_log": [
            {
                "kind": f"{each.kind} {each.detail}".strip(),
                "at_s": round((each.at - outcome.begun_at) / 1000, 1),
                "held_s": round(((each.healed_at or each.until) - each.at) / 1000, 1),
                "recovered_s": round((each.until - (each.healed_at or each.until)) / 1000, 1),
            }
            for each in made
        ],
    }


def _near(history: History, at: float, after_ms: float) -> bool:
    return any(each.at <= at <= each.until + after_ms / 3 for each in history.faults)


def _recoveries(faults: list[Fault]) -> dict[str, Any]:
    by_kind: dict[str, list[float]] = defaultdict(list)
    for each in faults:
        by_kind[_kind(each)].append((each.until - (each.healed_at or each.until)) / 1000)
    return {kind: {"count": len(all_), "max": round(max(all_), 1)} for kind, all_ in sorted(by_kind.items())}


def _kind(fault: Fault) -> str:
    """The kind without whom it hit, which is the last word."""
    return fault.kind.rsplit(" ", 1)[0]


def _replay(outcome: Outcome) -> str:
    order = outcome.order
    text = f"make chaos TOPOLOGY={order.topology} SEED={order.seed} MINUTES={order.seconds / 60:g} RATE={order.per_s:g}"
    return text + (f" BROKERS={order.brokers}" if order.topology == "kafka" else "")


def _text(outcome: Outcome, figures: dict[str, Any]) -> str:
    lines = [
        f"# Chaos: {figures['title']}: Fliq {figures['verdict']}",
        "",
        f"{time.strftime('%Y-%m-%d')}. {figures['seconds']} s, {figures['jobs']} jobs, {figures['calls']} calls, "
        f"{figures['faults']} faults. Again with the same faults and the same load: `{figures['replay']}` "
        "(what the faults meet is not the same each time).",
        "",
        f"Calls repeated: {figures['repeated_calls']}. Webhooks: {figures['webhooks']}, repeated {figures['repeated_webhooks']}. "
        f"Ticks: {figures['ticks']}. Cancels answered: {figures['cancel_races']}. Jobs: {figures['statuses']}.",
        "",
        "| lateness of first calls | jobs | p50 ms | p99 ms | max ms |",
        "|---|---|---|---|---|",
    ]
    names = {
        "all": "all, outages included",
        "outside_faults": "asked for away from faults",
        "after_healing": "asked for in or near a fault, counted from its end",
    }
    for name, said in names.items():
        each = figures["lateness"][name]
        lines.append(f"| {said} | {each['count']} | {each['p50_ms']} | {each['p99_ms']} | {each['max_ms']} |")
    lines += ["", "| fault | times | longest recovery s |", "|---|---|---|"]
    lines += [f"| {kind} | {each['count']} | {each['max']} |" for kind, each in figures["recovery_s"].items()]
    before, after = outcome.sizes
    if after:
        lines += ["", "| process | MB, files at the beginning | MB, files at the end |", "|---|---|---|"]
        lines += [f"| {name} | {_size(before.get(name))} | {_size(after[name])} |" for name in sorted(after)]
    lines += ["", "![lateness](lateness.svg)", "", "| invariant | violations |", "|---|---|"]
    lines += [f"| {name}: {said} | {figures['invariants'][name]} |" for name, said in INVARIANTS.items()]
    lines += [f"| the tables are the fold of the log | {len(outcome.differences)} |", ""]
    by_name: dict[str, list[str]] = defaultdict(list)
    for violation in outcome.violations:
        by_name[violation.name].append(str(violation))
    for found in [*by_name.values(), outcome.differences, outcome.wrong, outcome.deaths]:
        lines += [f"- {each}" for each in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"- and {len(found) - SHOWN} more")
    lines += ["", "## Faults", "", "| at s | held s | recovered in s | |", "|---|---|---|---|"]
    lines += [f"| {e['at_s']} | {e['held_s']} | {e['recovered_s']} | {e['kind']} |" for e in figures["fault_log"]]
    return "\n".join(lines) + "\n"


def _size(size: tuple[int, int] | None) -> str:
    return "" if size is None else f"{size[0]}, {size[1]}"
