"""Services: the four roles, wired together in `services.process` and started by `services.__main__`."""

from typing import Final

VERSION: Final = "0.1.0"
