"""The machine's clock, put forward."""

from libs.runtime.clock import SystemClock


class ShiftedClock(SystemClock):
    """The machine's clock, which a test can put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ms = 0

    def now(self) -> int:
        return super().now() + self.ahead_ms
