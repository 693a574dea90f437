"""
Fork server: starts `fliq` without importing it again, which would take longer than most of what the tests do with it.

    test process ──▶ server, which has everything imported and no thread ── fork ──▶ fliq

A started process has the environment, directory and files that the test gives it, and runs `main` as ever; only the interpreter and
the modules are there already. tests/e2e/process starts Fliq as an operator does.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final

_ROOT: Final = Path(__file__).resolve().parents[3]
_NUMBER: Final = struct.Struct("!i")
_LOOK_S: Final = 0.05  # between looks of a waiting thread: another one may have been told of the end


def start(
    words: Sequence[str], *, module: str = "services", env: dict[str, str], stdout: IO[Any], stderr: IO[Any]
) -> Forked | subprocess.Popen[bytes]:
    """Start `fliq` *words*; of another build, *module*, or with other libraries it begins with the interpreter."""
    if module == "services" and "LD_PRELOAD" not in env and hasattr(os, "pidfd_open"):
        return Forked(words, env=env, stdout=stdout, stderr=stderr)
    command = [sys.executable, "-m", module, *words]
    return subprocess.Popen(command, cwd=_ROOT, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)


class Forked:
    """As much of `subprocess.Popen` as the tests use."""

    def __init__(self, words: Sequence[str], *, env: dict[str, str], stdout: IO[Any], stderr: IO[Any]) -> None:
        """Start `fliq` *words*; its standard input is empty."""
        self.args = words
        self.returncode: int | None = None
        self._lock = Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            asked = {"words": words, "env": env, "nice": os.nice(0)}
            _server().start(asked, theirs, stdout, stderr)
        self.pid: int = _NUMBER.unpack(self._socket.recv(_NUMBER.size, socket.MSG_WAITALL))[0]

    def poll(self) -> int | None:
        """Return the exit code, None while it runs; a signal's number is negative."""
        with self._lock:
            if self.returncode is None and self._has_said(0):
                said = self._socket.recv(_NUMBER.size, socket.MSG_WAITALL)
                assert said, "the fork server ended"
                self.returncode = os.waitstatus_to_exitcode(_NUMBER.unpack(said)[0])
                self._socket.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when there is one; raises `TimeoutExpired` after *timeout* seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            try:
                self._has_said(_LOOK_S)
            except ValueError:
                pass  # closed meanwhile: another thread was told
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _has_said(self, within_s: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return bool(selector.select(within_s))

    def __del__(self) -> None:
        self._socket.close()


class _Server:
    """The server of this test process; it ends when the test process does."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fakes.running.fork_server", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # in our session: the system shares out the processor by sessions
            )

    def close(self) -> None:
        """End it, and whatever it started that still runs."""
        self._socket.close()
        self._process.wait(10)

    def start(self, asked: Any, told: socket.socket, stdout: IO[Any], stderr: IO[Any]) -> None:
        """Start a process; *told* is told its pid and its end."""
        text = json.dumps(asked).encode()
        with self._lock:
            files = [told.fileno(), stdout.fileno(), stderr.fileno()]
            socket.send_fds(self._socket, [_NUMBER.pack(len(text))], files)
            self._socket.sendall(text)


@cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


def _serve(control: socket.socket) -> int:
    """Start what is asked for until *control* is closed; returns, in each process that was started, its exit code."""
    from services.__main__ import main

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end what they started
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared
    watched = selectors.DefaultSelector()
    watched.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is not control:
                watched.unregister(key.fd)
                _tell_end(key.fd, *key.data)
                continue
            head, files, _, _ = socket.recv_fds(control, _NUMBER.size, 3)
            if not head:
                for other in watched.get_map().values():
                    if other.data is not None:
                        os.kill(other.data[0], signal.SIGKILL)  # the tests were killed, and could not end it
                return 0
            asked = json.loads(control.recv(_NUMBER.unpack(head)[0], socket.MSG_WAITALL))
            told, stdout, stderr = socket.socket(fileno=files[0]), *files[1:]
            if (pid := os.fork()) == 0:
                for file, target in ((stdout, 1), (stderr, 2)):
                    os.dup2(file, target)
                    os.close(file)
                told.close()
                _forget(watched)
                return main(_become(asked))
            os.close(stdout)
            os.close(stderr)
            _tell(told, pid)
            watched.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, told))


def _tell_end(pidfd: int, pid: int, told: socket.socket) -> None:
    os.close(pidfd)
    with told:
        _tell(told, os.waitpid(pid, 0)[1])


def _tell(told: socket.socket, number: int) -> None:
    try:
        told.sendall(_NUMBER.pack(number))
    except OSError:
        pass  # nobody asks any more


def _forget(watched: selectors.BaseSelector) -> None:
    """Close, in a new process, what only the server needs."""
    for key in list(watched.get_map().values()):
        if key.data is None:
            key.fileobj.close()  # type: ignore[union-attr] # the control socket
        else:
            os.close(key.fd)
            key.data[1].close()
    watched.close()


def _become(asked: Any) -> list[str]:
    """Give this process the environment that is *asked* for; return the words of its command line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.nice(max(0, asked["nice"] - os.nice(0)))
    os.environ.clear()
    os.environ.update(asked["env"])
    words: list[str] = asked["words"]
    sys.argv[1:] = words
    return words


if __name__ == "__main__":
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1]))))
