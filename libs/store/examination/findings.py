"""
Findings: says in plain words what the facts mean, and what to do. Pure: examination.py and `fliq doctor` gather the facts.

    ok        as it should be
    warning   works, and may not go on doing so
    wrong     something does not work, or will be lost
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from libs.log.log_report import LogReport, name_partitions
from libs.runtime.roles import READERS
from libs.store.control.account_keys import KeyCount
from libs.store.control.stale_secrets import ClearCount
from libs.store.health.database_report import Server, Work
from libs.store.leases.lease_report import HeldLease, Member
from libs.store.schema.migrate import Schema, SchemaError

State = Literal["ok", "warning", "wrong"]
NAMES: Final = {role: "webhooks service" if role == "webhooks" else role for role in READERS}  # of the roles, in words
VERSION_MIN: Final = 150_000
SKEW_WARNING_MS: Final = 100
SKEW_WRONG_MS: Final = 1_000
OVERDUE_WARNING_MS: Final = 5_000
OVERDUE_WRONG_MS: Final = 60_000
CONNECTIONS_SHARE: Final = 0.8
DISK_SHARE: Final = 0.1  # of the disk that should be free


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the answer; *advice* says what to do, if there is something to do."""

    check: str
    state: State
    text: str
    advice: str | None = None


def ok(check: str, text: str) -> Finding:
    """Return that all is well with *check*."""
    return Finding(check=check, state="ok", text=text)


def warning(check: str, text: str, advice: str) -> Finding:
    """Return something that works, and may not go on doing so."""
    return Finding(check=check, state="warning", text=text, advice=advice)


def wrong(check: str, text: str, advice: str) -> Finding:
    """Return something that does not work."""
    return Finding(check=check, state="wrong", text=text, advice=advice)


def seconds(ms: float) -> str:
    """Return a duration in the unit that fits it."""
    if abs(ms) < 1_000:
        return f"{ms:.0f} ms"
    if abs(ms) < 120_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms / 60_000:.0f} min" if abs(ms) < 7_200_000 else f"{ms / 3_600_000:.0f} h"


def of_server(server: Server, connections_max: int) -> list[Finding]:
    """Judge the database server; a process of Fliq opens up to *connections_max* connections to it."""
    found = []
    if server.version < VERSION_MIN:
        found.append(wrong("database", f"PostgreSQL {server.version_text}", "Fliq needs PostgreSQL 15 or newer"))
    if server.is_replica:
        found.append(
            wrong(
                "database", "this server takes no writes", "let FLIQ_DATABASE_URL name the primary, or all hosts of it"
            )
        )
    for setting in server.unsafe:
        found.append(
            warning("database", f"{setting} is off", f"turn {setting} on: a power cut loses what was acknowledged")
        )
    if server.connections > CONNECTIONS_SHARE * server.connections_max:
        text = f"{server.connections} of {server.connections_max} connections are taken"
        found.append(
            warning("database", text, f"raise max_connections: a process of Fliq takes up to {connections_max}")
        )
    if not found:
        text = f"PostgreSQL {server.version_text}, {server.connections} of {server.connections_max} connections taken"
        found.append(ok("database", text))
    return found


def of_schema(schema: Schema) -> list[Finding]:
    """Judge the schema of the tables."""
    try:
        schema.check()
    except SchemaError as error:
        return [wrong("schema", str(error), "use the build that fits, or another database")]
    if schema.pending:
        names = ", ".join(step.name for step in schema.pending)
        return [
            wrong(
                "schema",
                f"at {schema.version}; missing: {names}",
                "run `fliq migrate`, or start a service of this build",
            )
        ]
    if schema.unknown:
        text = f"at {schema.version}, newer than this build, which can work on it"
        return [warning("schema", text, "finish the upgrade: start the newer build everywhere")]
    return [ok("schema", f"at {schema.version}")]


def of_log(log: LogReport) -> list[Finding]:
    """Judge the log by the report of its adapter."""
    found = [
        wrong("log", each.text, each.advice) if each.is_wrong else warning("log", each.text, each.advice)
        for each in log.problems
    ]
    return found if any(each.state == "wrong" for each in found) else [ok("log", log.said), *found]


def of_clock(check: str, whose: str, skew_ms: float) -> Finding:
    """Judge how far this machine's clock is ahead of another (negative: behind)."""
    text = f"this machine is {seconds(abs(skew_ms))} {'ahead of' if skew_ms >= 0 else 'behind'} {whose}"
    if abs(skew_ms) >= SKEW_WRONG_MS:
        return wrong(check, text, "run NTP (chrony) on every machine: calls leave by the dispatcher's clock")
    if abs(skew_ms) >= SKEW_WARNING_MS:
        return warning(check, text, "look at NTP (chrony) on both: calls leave by the dispatcher's clock")
    return ok(check, text)


def of_members(members: Sequence[Member], partitions: int) -> list[Finding]:
    """Judge which processes are alive."""
    found = []
    live = [member for member in members if member.is_live]
    for role, name in NAMES.items():
        mine = [member for member in live if member.role == role]
        if not mine:
            found.append(wrong("members", f"no {name} is alive", f"start one: `fliq {role}`, or `fliq all`"))
        elif all(member.is_draining for member in mine):
            found.append(
                wrong("members", f"every {name} is draining", "start another, or `fliq drain --undo --node ...`")
            )
    for node in sorted({member.node for member in live if member.is_draining}):
        found.append(warning("members", f"{node} is draining", f"stop it, or `fliq drain --undo --node {node}`"))
    for member in live:
        if member.partitions is not None and member.partitions < partitions:
            text = f"{member.role} {member.node} works with {member.partitions} of {partitions} partitions"
            found.append(warning("members", text, "restart it: the log has grown"))
    versions = sorted({member.version or "?" for member in live})
    if len(versions) > 1:
        text = f"different builds are at work: {', '.join(versions)}"
        found.append(warning("members", text, "finish the upgrade, or the way back"))
    zone_data = sorted({member.zone_data for member in live if member.zone_data is not None})
    if len(zone_data) > 1:
        text = f"schedulers decide by different zone data: {', '.join(zone_data)}"
        found.append(
            warning("members", text, "install the same tzdata everywhere: a schedule runs by the one of its owner")
        )
    if not found:
        counts = ", ".join(f"{sum(member.role == role for member in live)} {role}" for role in READERS)
        found.append(ok("members", f"alive: {counts}"))
    return found


def of_leases(leases: Sequence[HeldLease]) -> list[Finding]:
    """Judge which partitions are served. A lease that has just run out is taken within seconds."""
    found = []
    for role, name in NAMES.items():
        free = [lease.partition for lease in leases if lease.role == role and not lease.is_held]
        if free:
            text = f"{name_partitions(free)}: no {name} serves {'it' if len(free) == 1 else 'them'}"
            advice = "is one alive (above)? what does its /readyz say?"
            found.append(wrong("leases", text, advice))
    return found or [ok("leases", f"every partition has its {', '.join(NAMES.values())}")]


SHOWN: Final = 5  # names in one finding


def of_work(work: Work, now: int) -> list[Finding]:
    """Judge which jobs and calls wait longer than they should."""
    found = []
    late_ms = 0 if work.oldest_due_at is None else now - work.oldest_due_at
    if late_ms >= OVERDUE_WARNING_MS:
        text = f"the oldest job that waits is overdue by {seconds(late_ms)}"
        advice = (
            "look above for a scheduler that is missing or behind; else the account's or partition's share is used up"
        )
        found.append(wrong("work", text, advice) if late_ms >= OVERDUE_WRONG_MS else warning("work", text, advice))
    waits_ms = 0 if work.oldest_webhook_at is None else now - work.oldest_webhook_at
    if waits_ms >= OVERDUE_WRONG_MS:
        text = f"{work.webhook_count} webhooks are pending, the oldest for {seconds(waits_ms)}"
        advice = 'look above for a webhooks service that is missing; docs/operations.md, "FliqWebhookBacklog"'
        found.append(warning("work", text, advice))
    if work.over_day:
        names = ", ".join(work.over_day[:SHOWN]) + (", …" if len(work.over_day) > SHOWN else "")
        text = f"{len(work.over_day)} accounts have used up their executions of this UTC day ({names}): their due jobs wait"
        advice = "`fliq accounts limits NAME --executions-per-day N` gives one of them more"
        found.append(warning("work", text, advice))
    if work.disabled_endpoints:
        names = ", ".join(work.disabled_endpoints[:SHOWN]) + (", …" if len(work.disabled_endpoints) > SHOWN else "")
        text = f"{len(work.disabled_endpoints)} webhook endpoints are disabled, because they took nothing ({names})"
        found.append(warning("work", text, "their accounts enable them again with PATCH, once they are repaired"))
    if work.stuck_count:
        text = f"{work.stuck_count} calls are under way for longer than they may be"
        found.append(wrong("work", text, "look above for a dispatcher that is missing; else restart the dispatchers"))
    return found or [ok("work", "nothing is overdue")]


def of_sealing(
    file: str | None, used_id: str | None, keys: KeyCount, clear_count: int, clear: ClearCount
) -> list[Finding]:
    """Judge whether what callers entrust is sealed, and how much of what was made before is not: specs, and what stays for ever."""
    if file is None:
        if used_id is not None:
            text = f"what jobs carry is sealed under the master key {used_id}, and FLIQ_MASTER_KEY_FILE is not set"
            return [wrong("sealing", text, "set it to the file with that key: services do not start without it")]
        text = "FLIQ_MASTER_KEY_FILE is not set: bodies, headers, queries and secrets stand readable in log, tables and backups"
        return [warning("sealing", text, "docs/sealing.md says how to turn sealing on")]
    text = f"{keys.keys} data keys of {keys.accounts} accounts, under the master key {used_id or 'of ' + file}"
    left = f"; {clear_count} specs from before are not sealed, and go when they are forgotten" if clear_count else ""
    found = [ok("sealing", text + left)]
    if any(clear):
        text = f"{clear.endpoints} webhook endpoints and {clear.secrets} signing secrets from before are not sealed"
        found.append(warning("sealing", text, "once every process runs this build: `fliq keys seal`"))
    return found


def of_lag(before: Mapping[int, HeldLease], after: Sequence[HeldLease], ends: Mapping[int, int]) -> list[Finding]:
    """
    Judge how far the tables are behind the log.

    Args:
        before: the leases of the schedulers some time ago, by partition.
        after: the same leases now.
        ends: the log's ends, taken at the time of *before*.
    """
    found = []
    lags = {lease.partition: ends.get(lease.partition, 0) - 1 - lease.position for lease in after}
    ahead = [part for part, lag in lags.items() if lag < 0 and before[part].position >= ends.get(part, 0)]
    stands = [part for part, lag in lags.items() if lag > 0 and before[part].position == _at(after, part)]
    if ahead:
        text = f"{name_partitions(ahead)}: the tables are ahead of the log, which lost records or is another one"
        found.append(wrong("lag", text, 'stop the services; docs/operations.md, "The log lost records"'))
    if stands:
        text = f"{name_partitions(stands)}: the tables stand still behind the log ({max(lags[part] for part in stands)} records)"
        found.append(wrong("lag", text, "is a scheduler alive and ready? what does its /readyz say?"))
    total = sum(lag for lag in lags.values() if lag > 0)
    return found or [ok("lag", f"the tables {'follow the log' if total == 0 else f'catch up: {total} records behind'}")]


def _at(leases: Sequence[HeldLease], partition: int) -> int:
    return next(lease.position for lease in leases if lease.partition == partition)


def of_disk(place: str, free: int, total: int) -> Finding:
    """Judge the free space of a disk, in bytes."""
    text = f"{place}: {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if free < DISK_SHARE * total:
        return warning("disk", text, "make room: a full disk stops the database, and with it everything")
    return ok("disk", text)
