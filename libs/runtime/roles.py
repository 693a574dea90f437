"""The roles that a process can have; `fliq all` has all of them."""

from typing import Final

FOLLOWERS: Final = ("dispatcher", "webhooks")  # act on what the scheduler decides
READERS: Final = ("scheduler", *FOLLOWERS)  # follow the log; the processes of one role share its partitions
POSITIONED: Final = ("scheduler", "webhooks")  # note in the tables how far they have read
ROLES: Final = (*READERS, "api")  # started in this order, stopped in the reverse
