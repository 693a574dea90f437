"""Output: lines on standard output, which whoever reads them may close at any moment (`| head`)."""

import os
import select
import sys


class OutputClosed(Exception):
    """Nobody reads any more; the command is done."""


class Output:
    """Standard output, line by line, each there at once."""

    def write(self, line: bytes) -> None:
        """Write *line*; raises `OutputClosed` when nobody reads any more."""
        try:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self._leave()
            raise OutputClosed from None

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
