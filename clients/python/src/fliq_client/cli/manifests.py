"""Manifests: `fliq apply | diff | export`: schedules as code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from fliq_client.cli.exits import CONFLICT, DIFFERENT, OK, UsageError
from fliq_client.cli.manifest import OWNER_LABEL, SIZE_MAX, Manifest, Wanted, differences, exported, loaded, read
from fliq_client.cli.parsing import Commands, word
from fliq_client.cli.session import Session, plain
from fliq_client.contract.error_codes import NotFound

TEXT: Final = """\
  fliq: 1
  owner: billing
  variables: [APP_URL]
  defaults: {timezone: Europe/Berlin, max_retries: 5}
  schedules:
    digest: {cron: "0 8 * * 1-5", url: "${APP_URL}/digest"}

A name below `schedules` is the key of a schedule. Its fields are those of the API. ${NAME} is read from the environment if
`variables` names it. Every schedule gets the label fliq.owner. --prune deletes schedules of this owner that are in no file.
"""
APPLY_TEXT: Final = f"""\
A schedule is changed only at the version that was compared. If somebody else changed it meanwhile, the exit code is 3, and their
change stays. The same file applied again changes nothing.

{TEXT}"""
DIFF_TEXT: Final = f"""\
Nothing is changed. Exit code: 0 if there is no difference, 2 if there is one.

{TEXT}"""
_MARKS: Final = {"create": "+", "update": "~", "delete": "-", "keep": "?", "conflict": "!"}
_HIDDEN: Final = frozenset({"headers", "webhook_headers", "body"})  # fields whose values may be secrets


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """
    What is to be done about one schedule.

    Args:
        action: `create`, `update`, `delete`, `none`, `keep` (no file has it, and --prune was not given), or `conflict`
            (it is another owner's).
        version: what was looked at.
        details: the differences, for people.
    """

    key: str
    action: str
    schedule_id: str = ""
    version: int = 0
    wanted: Wanted | None = None
    details: tuple[str, ...] = ()


def add(commands: Commands) -> None:
    """Describe `fliq apply`, `fliq diff` and `fliq export`."""
    apply = word(commands, "apply", _apply, "make and change schedules until they are as files say", APPLY_TEXT)
    diff = word(commands, "diff", _diff, "show what apply would change", DIFF_TEXT)
    for each in (apply, diff):
        each.add_argument(
            "-f",
            "--file",
            action="append",
            required=True,
            metavar="FILE",
            help="YAML or JSON; may be repeated; - is standard input",
        )
        each.add_argument("--prune", action="store_true", help="delete schedules of this owner that no file has")
    apply.add_argument("--dry-run", action="store_true", help="only say what would be done")
    apply.add_argument("-y", "--yes", action="store_true", help="do not ask before schedules are deleted")
    export = word(
        commands,
        "export",
        _export,
        "write schedules of this Fliq as a file for apply",
        "Values of headers that look like secrets are left out; variables stand for them.",
    )
    export.add_argument("--owner", required=True, metavar="NAME", help="whose schedules; the owner of the manifest")
    export.add_argument(
        "keys", nargs="*", metavar="KEY", help="these schedules instead, whoever owns them, to take them over"
    )


def _diff(args: argparse.Namespace, session: Session) -> int:
    steps = _plan(_manifest(args.file), session, prune=args.prune)
    _show(steps, session)
    return DIFFERENT if any(map(_differs, steps)) else OK


def _apply(args: argparse.Namespace, session: Session) -> int:
    manifest = _manifest(args.file)
    steps = _plan(manifest, session, prune=args.prune)
    _show(steps, session)
    if args.dry_run:
        return OK
    if theirs := [step.key for step in steps if step.action == "conflict"]:
        session.note(f"nothing was done: {', '.join(theirs)} is another owner's")
        return CONFLICT
    deleted = [step for step in steps if step.action == "delete"]
    if deleted:
        session.confirm(f"Delete {len(deleted)} of {manifest.owner}'s schedules?", is_sure=args.yes)
    schedules = session.fliq.schedules
    for step in steps:  # an error ends it: what was done stays, and a repeat goes on from there
        if step.wanted is not None and step.action == "create":
            schedules.put(step.key, **step.wanted.fields, if_none_match="*")
        elif step.wanted is not None and step.action == "update":
            schedules.put(step.key, **step.wanted.fields, if_match=f'"v{step.version}"')
    for step in deleted:
        if schedules.get(step.schedule_id).version != step.version:
            session.note(f"{step.key} was changed meanwhile, and is not deleted")
            return CONFLICT
        schedules.delete(step.schedule_id)
    if not session.as_json and any(map(_differs, steps)):
        session.say("applied")
    return OK


def _export(args: argparse.Namespace, session: Session) -> int:
    schedules = session.fliq.schedules
    if args.keys:
        found = [schedules.get_by_key(key) for key in args.keys]
    else:
        listed = schedules.list(labels={OWNER_LABEL: args.owner})
        found = [schedules.get(each.id) for each in listed if each.key is not None]
    document = exported(args.owner, [msgspec.to_builtins(plain(each)) for each in found])
    if not session.as_json:
        try:
            import yaml
        except ImportError:
            raise UsageError("YAML needs a package: pip install 'fliq-client[cli]'; or say --json") from None
        session.say(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120).rstrip())
    else:
        session.say(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    return OK


def _manifest(files: Sequence[str]) -> Manifest:
    documents = []
    for name in files:
        try:
            if name == "-":
                text = sys.stdin.buffer.read(SIZE_MAX + 1)
            else:
                with Path(name).open("rb") as file:
                    text = file.read(SIZE_MAX + 1)
        except OSError as error:
            raise UsageError(f"cannot read {name}: {error.strerror}") from None
        documents.append((name, loaded(text, name)))
    return read(documents, os.environ)


def _plan(manifest: Manifest, session: Session, *, prune: bool) -> list[Step]:
    """Ask Fliq, for each schedule, what would change."""
    schedules = session.fliq.schedules
    steps = [_step_of(wanted, manifest.owner, session) for wanted in manifest.schedules]
    there = {wanted.key for wanted in manifest.schedules}
    for each in schedules.list(labels={OWNER_LABEL: manifest.owner}):
        if each.key is not None and each.key not in there:
            action = "delete" if prune else "keep"
            steps.append(Step(key=each.key, action=action, schedule_id=each.id, version=each.version))
    return steps


def _step_of(wanted: Wanted, owner: str, session: Session) -> Step:
    try:
        current = session.fliq.schedules.put(wanted.key, **wanted.fields, dry_run=True)
    except NotFound:
        return Step(key=wanted.key, action="create", wanted=wanted)
    whole = msgspec.to_builtins(plain(current))
    holder = (whole.get("labels") or {}).get(OWNER_LABEL)
    if holder not in (None, owner):
        return Step(key=wanted.key, action="conflict", details=(f"it is {holder}'s",))
    action = "none" if current.change == "unchanged" else "update"
    details = () if action == "none" else tuple(_details(wanted, whole))
    return Step(
        key=wanted.key, action=action, schedule_id=current.id, version=current.version, wanted=wanted, details=details
    )


def _details(wanted: Wanted, current: dict[str, Any]) -> list[str]:
    return [
        f"{name} changes" if name in _HIDDEN or name in wanted.hidden else f"{name}: {_shown(has)} → {_shown(wants)}"
        for name, (has, wants) in differences(wanted, current).items()
    ]


def _shown(value: Any) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()


def _show(steps: Sequence[Step], session: Session) -> None:
    if session.as_json:
        told = [{"key": step.key, "action": step.action, "details": list(step.details)} for step in steps]
        session.say(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return
    for step in steps:
        if step.action == "none":
            continue
        kept = "  (no file has it; --prune deletes it)" if step.action == "keep" else ""
        session.say(f"{_MARKS[step.action]} {step.key}{kept}")
        for line in step.details:
            session.say(f"    {line}")
    session.say(f"{sum(map(_differs, steps))} of {len(steps)} schedules differ from the file")


def _differs(step: Step) -> bool:
    return step.action not in ("none", "keep")
