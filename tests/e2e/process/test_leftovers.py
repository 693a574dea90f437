"""What an earlier `make up` left behind, on real lock files: ended, gone by itself, or not ours to end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from libs.runtime.lockfile import LockFile
from services.dev.up.run import end_leftovers
from services.start_error import StartError


@pytest.fixture
def leftover(tmp_path: Path) -> LockFile:
    """The lock of a node that something holds, which is this very process."""
    place = tmp_path / "scheduler"
    place.mkdir()
    lock = LockFile(place / "node-0.lock")
    assert lock.try_acquire()
    return lock


async def test_one_that_ends_by_itself_meanwhile_is_no_trouble(
    leftover: LockFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It held its lock when that was tried, and is gone when it is to be ended."""

    def kill(number: int, _: int) -> None:
        assert number == os.getpid()
        leftover.release()
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    await end_leftovers(tmp_path)


async def test_its_node_is_free_afterwards(leftover: LockFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next process takes the same name: who waited for the lock does not keep it."""
    monkeypatch.setattr(os, "kill", lambda *_: leftover.release())
    await end_leftovers(tmp_path)

    assert leftover.try_acquire()
    leftover.release()


@pytest.mark.parametrize("refused", ["kill", "open"])
async def test_another_users_is_told_in_one_line(
    refused: str, leftover: LockFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its process nor its lock is ours to touch: the start ends, and says which one it is."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if refused == "kill":
        monkeypatch.setattr(os, "kill", refuse)
    else:
        monkeypatch.setattr(LockFile, "try_acquire", refuse)
    with pytest.raises(StartError, match=r"scheduler .*another user") as error:
        await end_leftovers(tmp_path)
    leftover.release()

    assert "\n" not in str(error.value)
