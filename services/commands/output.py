"""Output: lines on standard output, whose reader may go at any moment (`| head`), and whose disk may be full."""

import os
import select
import sys
from typing import Final

CLOSED_CODE: Final = 141  # exit code of a program whose output nobody reads any more, as the shell counts SIGPIPE


class OutputClosed(Exception):
    """Nobody reads any more; the command is done."""


class OutputFailed(Exception):
    """The answer cannot be written; the message is one line that says why."""


class Output:
    """Standard output, line by line, each there at once."""

    def write(self, line: bytes) -> None:
        """
        Write *line*.

        Raises:
            OutputClosed: nobody reads any more.
            OutputFailed: it cannot be written, say because the disk is full.
        """
        try:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self._leave()
            raise OutputClosed from None
        except OSError as error:
            self._leave()
            raise OutputFailed(f"the answer cannot be written: {error.strerror or error}") from None

    def check(self) -> None:
        """Raise `OutputClosed` when nobody reads any more, though there is nothing to write."""
        try:
            descriptor = sys.stdout.fileno()
        except OSError:  # a test's
            return
        poll = select.poll()
        poll.register(descriptor, 0)
        if any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0)):
            self._leave()
            raise OutputClosed

    def _leave(self) -> None:
        """Have what is still in the buffer go nowhere, so that the interpreter does not complain at its end."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def open_standard_files() -> None:
    """
    Open the standard files that the caller closed (`>&-`) on /dev/null.

    Otherwise the next file that is opened takes the number: a socket to the database would be standard output, and libuv aborts.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the process's life
