"""
The unprivileged user: the user that PostgreSQL runs as when Fliq runs as root, and how that user reaches its files.

PostgreSQL refuses to run as root. If Fliq runs as root, the server gets a user that already exists, and the right to pass through
(search, not list, not read) the directories above its files. If a directory refuses that user, as a home of mode 0700 does, one
access-control entry for that user is added. The directory's mode, which holds for everybody else, stays as it is.
"""

from __future__ import annotations

import errno
import os
import pwd
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

# Tried in this order: an account made for Fliq, PostgreSQL's own, the one that every system has.
CANDIDATES = ("fliq", "postgres", "nobody")

# linux/posix_acl_xattr.h: u32 version, then entries of (u16 tag, u16 permissions, u32 id), little endian.
_ACL_NAME = "system.posix_acl_access"
_ACL_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_SEARCH = 1


class UnprivilegedError(RuntimeError):
    """No user to drop to, or the user cannot reach a directory; the text is one line for the operator."""


class ServerUser(msgspec.Struct, frozen=True, kw_only=True):
    """The user that owns the server's files and runs its processes. *drops* is False if that is the user that Fliq runs as."""

    name: str
    uid: int
    gid: int
    drops: bool

    def popen_options(self) -> dict[str, Any]:
        """Return keyword arguments for subprocess: run the child as this user, in a neutral directory, with a clean environment."""
        options: dict[str, Any] = {"cwd": "/", "umask": 0o077, "env": minimal_environ(), "stdin": subprocess.DEVNULL}
        if self.drops:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def run(self, command: Sequence[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run *command* as this user until it ends, and return its status and what it printed."""
        return subprocess.run(  # noqa: S603 - our own commands and paths, no shell
            command, **self.popen_options(), capture_output=True, text=True, timeout=timeout_s, check=False
        )


def server_user(existing: Path) -> ServerUser:
    """
    Choose the user for the server.

    Args:
        existing: the data directory, which may exist already. If Fliq runs as root, its owner stays its owner.

    Raises:
        UnprivilegedError: our user has no account name, or Fliq runs as root and no candidate account exists.
    """
    if os.geteuid() != 0:
        try:
            us = pwd.getpwuid(os.geteuid())
        except KeyError:
            raise UnprivilegedError(
                f"user id {os.geteuid()} has no account name, which PostgreSQL needs: add it to /etc/passwd"
            ) from None
        return ServerUser(name=us.pw_name, uid=us.pw_uid, gid=us.pw_gid, drops=False)
    if existing.exists() and (owner_uid := existing.stat().st_uid) != 0:
        try:
            owner = pwd.getpwuid(owner_uid)
        except KeyError:
            raise UnprivilegedError(f"{existing} belongs to user id {owner_uid}, which has no account here") from None
        return ServerUser(name=owner.pw_name, uid=owner.pw_uid, gid=owner.pw_gid, drops=True)
    for name in CANDIDATES:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid != 0:
            return ServerUser(name=name, uid=found.pw_uid, gid=found.pw_gid, drops=True)
    raise UnprivilegedError(f"PostgreSQL cannot run as root and none of the users {', '.join(CANDIDATES)} exists")


def let_through(directory: Path, user: ServerUser, *, say: Callable[[str], None]) -> None:
    """
    Make sure that *user* can enter *directory*: each directory on the way that refuses gets one search entry for that user.

    Raises:
        UnprivilegedError: the file system has no access-control lists.
    """
    if not user.drops or _can_enter(directory, user):
        return
    for step in [*reversed(directory.parents), directory]:
        if _can_enter(step, user):
            continue
        say(f"letting the user {user.name} pass through {step} (search only)")
        try:
            _grant_search(step, user.uid)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES, errno.EROFS, errno.EOPNOTSUPP):
                break
            raise
    if not _can_enter(directory, user):
        raise UnprivilegedError(
            f"PostgreSQL's user {user.name} cannot enter {directory}, and no access-control entry could be set: "
            "allow search on the directories above it (chmod o+x), or set FLIQ_DATA_DIR to another place"
        )


def minimal_environ() -> Mapping[str, str]:
    """Return what a server process needs of our environment: no secrets, and none of the caller's PG* variables."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **kept}


def _can_enter(directory: Path, user: ServerUser) -> bool:
    # The kernel is asked, as that user: modes, lists, groups and mount options all count, and only the kernel knows them all.
    return user.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)], timeout_s=10).returncode == 0


def _grant_search(directory: Path, uid: int) -> None:
    if not hasattr(os, "setxattr"):
        raise OSError(errno.EOPNOTSUPP, "no access-control lists on this system", str(directory))
    entries = with_search(_read_acl(directory), uid)
    packed = struct.pack("<I", _ACL_VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(directory, _ACL_NAME, packed)


def _read_acl(directory: Path) -> list[tuple[int, int, int]]:
    try:
        raw = os.getxattr(directory, _ACL_NAME)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        mode = directory.stat().st_mode
        return [
            (_USER_OBJ, mode >> 6 & 7, _NO_ID),
            (_GROUP_OBJ, mode >> 3 & 7, _NO_ID),
            (_OTHER, mode & 7, _NO_ID),
        ]
    return [(tag, perm, who) for tag, perm, who in struct.iter_unpack("<HHI", raw[4:])]


def with_search(entries: list[tuple[int, int, int]], uid: int) -> list[tuple[int, int, int]]:
    """
    Add search for *uid* to a list of (tag, permissions, id); the effective permissions of everybody else stay the same.

    The mask limits all named entries. It has to be widened for the new entry, and that must not widen the others. So the others
    are first reduced to what the old mask left them.
    """
    old_mask = next((perm for tag, perm, _ in entries if tag == _MASK), 7)
    capped = [
        (tag, perm & old_mask if tag in (_USER, _GROUP_OBJ, _GROUP) else perm, who)
        for tag, perm, who in entries
        if tag != _MASK
    ]
    had = next((perm for tag, perm, who in capped if tag == _USER and who == uid), 0)
    rest = [entry for entry in capped if not (entry[0] == _USER and entry[2] == uid)]
    rest.append((_USER, had | _SEARCH, uid))
    mask = 0
    for tag, perm, _ in rest:
        if tag in (_USER, _GROUP_OBJ, _GROUP):
            mask |= perm
    rest.append((_MASK, mask, _NO_ID))
    # The kernel wants the entries by tag, then by id.
    return sorted(rest, key=lambda entry: (entry[0], entry[2]))
