"""Schedules: `fliq schedules list | get | put | change | pause | resume | run | backfill | preview | delete`."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import Any, Final

from fliq_client.cli import options
from fliq_client.cli.exits import OK, UsageError
from fliq_client.cli.parsing import Commands, add_call_options, add_label_option, add_set_option, group, word
from fliq_client.cli.session import Session
from fliq_client.contract.models import ComingRun, Preview, Schedule

STATUSES: Final = ("active", "paused", "finished")

TEXT: Final = """\
A schedule makes a job at each instant of its rule. It is named by its id or by its key, a name of your own.

  fliq schedules put digest https://example.com/digest --cron '0 8 * * 1-5' --timezone Europe/Berlin
  fliq schedules preview --cron '30 2 * * *' --timezone Europe/Berlin --after 2027-03-26T00:00:00Z -n 5
  fliq schedules change digest --cron '30 8 * * 1-5'
  fliq schedules pause digest --note 'until the mail server is back' --until 2027-01-31T09:00:00Z
  fliq schedules backfill digest --since 2027-01-07T00:00:00Z --before 2027-01-08T00:00:00Z
"""


def add(commands: Commands) -> None:
    """Describe `fliq schedules`."""
    schedules = group(
        commands, "schedules", "calls that are made again and again: put, change, pause, run, backfill, preview", TEXT
    )
    listed = word(schedules, "list", _list, "list schedules, newest first")
    listed.add_argument("--status", choices=STATUSES, help="only those with this status")
    add_label_option(listed)
    listed.add_argument("-n", "--limit", type=int, default=50, metavar="COUNT", help="at most so many (50)")
    _named(word(schedules, "get", _get, "show a schedule"))
    put = word(
        schedules,
        "put",
        _put,
        "make the schedule of a key, or replace it",
        "A field that is not given takes its default. The same command again changes nothing.",
    )
    put.add_argument("key", metavar="KEY", help="a name of your own")
    put.add_argument("url", help="what is called")
    _rule(put)
    add_call_options(put)
    put.add_argument("--if-version", type=int, metavar="N", help="only if it is at this version; else exit code 3")
    change = word(
        schedules,
        "change",
        _change,
        "change some fields of a schedule",
        "What is not named here stays as it is. `--set FIELD=null` takes the field's default.",
    )
    _named(change)
    change.add_argument("--url", help="what is called")
    _rule(change, required=False)
    add_call_options(change)
    change.add_argument("--if-version", type=int, metavar="N", help="only if it is at this version; else exit code 3")
    pause = word(schedules, "pause", _pause, "make no jobs until it is resumed")
    _named(pause)
    pause.add_argument("--note", help="why, for people")
    pause.add_argument("--until", metavar="INSTANT", help="resume by itself at this instant")
    resume = word(schedules, "resume", _resume, "go on after a pause")
    _named(resume)
    resume.add_argument("--catch-up", action="store_true", help="make up for the runs of the pause")
    run = word(schedules, "run", _run, "run a schedule now, whatever its rule says")
    _named(run)
    run.add_argument("--body", metavar="TEXT", help="instead of the schedule's")
    backfill = word(
        schedules,
        "backfill",
        _backfill,
        "make up for runs that have gone by; it asks first",
        "A run that has its job already gets no other one. The calls leave one after the other, at once.",
    )
    _named(backfill)
    backfill.add_argument("--since", required=True, metavar="INSTANT", help="from this instant on")
    backfill.add_argument("--before", required=True, metavar="INSTANT", help="and before this one")
    backfill.add_argument("--dry-run", action="store_true", help="only say how many jobs there would be")
    add_set_option(backfill)
    backfill.add_argument("-y", "--yes", action="store_true", help="do not ask")
    preview = word(schedules, "preview", _preview, "show the coming runs of a schedule, or of a rule that is not saved")
    preview.add_argument("name", nargs="?", metavar="ID-OR-KEY", help="the schedule; or give --cron or --every")
    _rule(preview, required=False)
    add_set_option(preview)
    preview.add_argument("--after", metavar="INSTANT", help="runs after this instant; without it, from now on")
    preview.add_argument("-n", "--count", type=int, metavar="COUNT", help="how many")
    delete = word(schedules, "delete", _delete, "delete a schedule; it asks first")
    _named(delete)
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="ID-OR-KEY", help="the schedule")


def _rule(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    rule = parser.add_mutually_exclusive_group(required=required)
    rule.add_argument("--cron", metavar="RULE", help="five fields, or @daily and the like")
    rule.add_argument("--every", metavar="DURATION", help="90s, 15m, 2h, 7d")
    parser.add_argument(
        "--timezone", metavar="ZONE", help="time zone of the cron, such as Europe/Berlin; UTC if not given"
    )


def _rule_of(args: argparse.Namespace) -> dict[str, Any]:
    every = None if args.every is None else {"seconds": round(options.seconds(args.every))}
    return options.given(cron=args.cron, every=every, timezone=args.timezone)


def _found(name: str, session: Session) -> Schedule:
    if name.startswith("sched_"):
        return session.fliq.schedules.get(name)
    return session.fliq.schedules.get_by_key(name)


def _id_of(name: str, session: Session) -> str:
    return name if name.startswith("sched_") else _found(name, session).id


def _list(args: argparse.Namespace, session: Session) -> int:
    if args.limit < 1:
        raise UsageError("--limit is at least 1")
    found = list(islice(session.fliq.schedules.list(status=args.status, labels=options.labels(args.label)), args.limit))
    session.table(
        (
            {
                "id": each.id,
                "key": each.key,
                "status": each.status,
                "rule": _rule_text(each.cron, each.every.seconds if each.every else None, each.timezone),
                "next run": options.shown_instant(each.next_run_at),
                "url": each.url,
            }
            for each in found
        ),
        found,
        empty="no schedules; make one with: fliq schedules put KEY URL --cron '0 8 * * *'",
    )
    return OK


def _get(args: argparse.Namespace, session: Session) -> int:
    return _show(_found(args.name, session), session)


def _show(schedule: Schedule, session: Session) -> int:
    if session.as_json:
        session.show(schedule, "")
        return OK
    facts = {
        "id": schedule.id,
        "key": schedule.key,
        "status": schedule.status,
        "note": schedule.note,
        "rule": _rule_text(schedule.cron, schedule.every.seconds if schedule.every else None, schedule.timezone),
        "call": f"{schedule.http_method} {schedule.url}",
        "next run": options.shown_instant(schedule.next_run_at),
        "last run": options.shown_instant(schedule.last_run_at),
        "paused until": options.shown_instant(schedule.paused_until),
        "labels": options.shown_labels(schedule.labels),
        "version": schedule.version,
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            session.say(f"{name.ljust(width)}  {value}")
    return OK


def _rule_text(cron: str | None, every_s: int | None, zone: str | None) -> str:
    return f"every {every_s} s" if cron is None else f"{cron} ({zone or 'UTC'})"


def _put(args: argparse.Namespace, session: Session) -> int:
    return _show(session.fliq.schedules.put(args.key, args.url, **_fields_of(args), **_version_of(args)), session)


def _change(args: argparse.Namespace, session: Session) -> int:
    fields = _fields_of(args) | options.given(url=args.url)
    if not fields:
        raise UsageError("name what to change, such as --cron '0 8 * * *' or --set max_retries=3")
    return _show(session.fliq.schedules.update(_id_of(args.name, session), **fields, **_version_of(args)), session)


def _fields_of(args: argparse.Namespace) -> dict[str, Any]:
    fields = _rule_of(args) | options.given(
        http_method=args.method,
        headers=options.headers(args.header) or None,
        max_retries=args.max_retries,
        webhook_url=args.webhook,
    )
    return fields | options.body(args.body, args.json_body) | options.settings(args.set)


def _version_of(args: argparse.Namespace) -> dict[str, Any]:
    return {} if args.if_version is None else {"if_match": f'"v{args.if_version}"'}


def _pause(args: argparse.Namespace, session: Session) -> int:
    until = None if args.until is None else options.instant(args.until)
    fields = options.given(note=args.note, until=until)
    return _show(session.fliq.schedules.pause(_id_of(args.name, session), **fields), session)


def _resume(args: argparse.Namespace, session: Session) -> int:
    fields = {"catch_up": True} if args.catch_up else {}
    return _show(session.fliq.schedules.resume(_id_of(args.name, session), **fields), session)


def _run(args: argparse.Namespace, session: Session) -> int:
    run = session.fliq.schedules.run(_id_of(args.name, session), **options.given(body=args.body))
    session.show(run, f"{run.id}  {run.status}")
    return OK


def _backfill(args: argparse.Namespace, session: Session) -> int:
    schedule = _found(args.name, session)
    asked = options.settings(args.set) | {"since": options.instant(args.since), "before": options.instant(args.before)}
    found = session.fliq.schedules.backfill(schedule.id, **{**asked, "dry_run": True})
    if not args.dry_run:
        named = schedule.key or schedule.id
        session.confirm(f"Make {_counted(found.jobs)} for {named}, which calls {schedule.url}?", is_sure=args.yes)
        found = session.fliq.schedules.backfill(schedule.id, **asked)
    would = "would be made" if args.dry_run else "made"
    session.show(
        found, f"{_counted(found.jobs)} {would}; runs in this time: {found.ticks}, with a job already: {found.ran}"
    )
    return OK


def _counted(jobs: int) -> str:
    return "1 job" if jobs == 1 else f"{jobs} jobs"


def _preview(args: argparse.Namespace, session: Session) -> int:
    rule = _rule_of(args) | options.settings(args.set)
    if (args.name is None) == (not rule):
        raise UsageError("name a schedule, or give a rule with --cron or --every")
    after = None if args.after is None else options.instant(args.after)
    if args.name is not None:
        found: Preview = session.fliq.schedules.preview(_id_of(args.name, session), count=args.count, after=after)
    else:
        found = session.fliq.schedules.preview_rule(**rule, **options.given(count=args.count, after=after))
    if session.as_json:
        session.show(found, "")
        return OK
    session.say(found.text)
    for run in found.runs:
        session.say("  ".join(filter(None, (options.shown_instant(run.at), run.local, _why(run)))))
    if not found.runs:
        session.say("no runs are to come")
    for warning in found.warnings:
        session.note(warning)
    return OK


def _why(run: ComingRun) -> str | None:
    """Say why *run* is not, or not only, at the time that its rule names."""
    named = run.nominal_local.partition("T")[2]
    said = {"gap": f"gap: clocks skip {named}", "fold": f"fold: clocks show {named} twice"}
    return None if run.note is None else said.get(run.note, run.note)


def _delete(args: argparse.Namespace, session: Session) -> int:
    schedule = _found(args.name, session)
    session.confirm(f"Delete {schedule.key or schedule.id}, which calls {schedule.url}?", is_sure=args.yes)
    session.fliq.schedules.delete(schedule.id)
    if not session.as_json:
        session.say(f"{schedule.id}  deleted")
    return OK
