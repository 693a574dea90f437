"""The roles that a process can have; `fliq all` has all of them."""

from typing import Final

OWNER: Final = "scheduler"  # decides
FOLLOWERS: Final = ("dispatcher", "webhooks")  # act on what the owner decides
READERS: Final = (OWNER, *FOLLOWERS)  # follow the log; the processes of one role share its partitions
ROLES: Final = (*READERS, "api")  # started in this order, stopped in the reverse
CONSOLE: Final = "console"  # shows what the API says; needs no database
ALL: Final = (*ROLES, CONSOLE)  # what `fliq all` is
