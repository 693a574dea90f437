"""
Reserved names: what a caller's own name stands for, such as the key of a schedule.

A name is taken before the fact that makes the thing is appended, so that of callers at the same time all get the same thing. The
fact carries the name, so that every row can be found again in the log. The write waits for the disk.
"""

from typing import Any, Final

from libs.events.ids import from_int
from libs.store.errors import StoreUnavailable, answer_call
from libs.store.projection import rows

_TRIES: Final = 3

_RESERVE: Final = """
WITH mine AS (
    INSERT INTO names (account, kind, name, id) VALUES ($1, $2, $3, $4) ON CONFLICT (account, kind, name) DO NOTHING RETURNING id
)
SELECT id FROM mine UNION ALL SELECT id FROM names WHERE account = $1 AND kind = $2 AND name = $3
"""
_GIVE: Final = "UPDATE names SET id = $5 WHERE account = $1 AND kind = $2 AND name = $3 AND id = $4"
_HOLDER: Final = "SELECT id FROM names WHERE account = $1 AND kind = $2 AND name = $3"


class Names:
    """The names. Every method raises `StoreUnavailable` if the database does not answer in time."""

    def __init__(self, pool: Any) -> None:
        """Use *pool*, whose commits must be synchronous."""
        self._pool = pool

    @answer_call
    async def name_holder(self, account: str, kind: str, name: str, id_kind: str) -> str | None:
        """Return the id, of *id_kind*, that *name* stands for; None if it is free."""
        found = await self._pool.fetchval(_HOLDER, account, kind, name)
        return None if found is None else from_int(id_kind, found.int)

    @answer_call
    async def take_name(self, account: str, kind: str, name: str, new_id: str) -> str:
        """Take *name* for *new_id* if it is free; return the id that has it then. Of concurrent callers all get the same."""
        for _ in range(_TRIES):
            found = await self._pool.fetchval(_RESERVE, account, kind, name, rows.uuid_of(new_id))
            if found is not None:
                return from_int(new_id.partition("_")[0], found.int)
            # Another transaction took it after this statement began: the next statement sees it.
        raise StoreUnavailable("a name comes and goes")

    @answer_call
    async def pass_name_on(self, account: str, kind: str, name: str, old_id: str, new_id: str) -> str:
        """Give *name* from *old_id* to *new_id*, unless somebody else did something with it; return the id that has it then."""
        await self._pool.execute(_GIVE, account, kind, name, rows.uuid_of(old_id), rows.uuid_of(new_id))
        return from_int(new_id.partition("_")[0], (await self._pool.fetchval(_HOLDER, account, kind, name)).int)
