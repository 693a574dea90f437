"""How long the machine stood still: what a test that looks at the clock must not hold against Fliq."""

from __future__ import annotations

import threading
import time

LOOK_S = 0.002


class Stalls:
    """How long this machine let a thread wait that wanted to run: what no scheduler on it could have done better."""

    def __init__(self) -> None:
        self._longest_ms = 0.0
        self._looked_at = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def longest_ms(self) -> float:
        """The longest so far; one that has hardly ended counts, though its watcher may not have run since."""
        return max(self._longest_ms, self._waited_ms())

    def _waited_ms(self) -> float:
        return (time.monotonic() - self._looked_at - LOOK_S) * 1000

    def _watch(self) -> None:
        while not self._done.is_set():
            self._looked_at = time.monotonic()
            time.sleep(LOOK_S)
            self._longest_ms = max(self._longest_ms, self._waited_ms())

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(5)
