"""A database with a log of two long partitions and the tables folded from it, and the commands run in this process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from libs.events import Envelope
from libs.log.postgres import PostgresLog
from libs.runtime.settings.settings import Settings
from libs.store.rebuild.rebuild import Rebuild
from libs.store.schema.migrate import migrate
from services.__main__ import build_parser
from services.commands.registry import COMMANDS
from tests.fakes.histories import history
from tests.fakes.running.postgres import Databases, database_of

PARTITIONS = 2
LIVES = 160
BATCH = 500

_template: dict[str, str] = {}


class Answer(NamedTuple):
    """What a command said."""

    code: int
    text: str
    errors: str

    @property
    def json(self) -> Any:
        """The answer as one document."""
        return json.loads(self.text)

    @property
    def lines(self) -> list[Any]:
        """The answer as lines of JSON."""
        return [json.loads(each) for each in self.text.splitlines()]


Fliq = Callable[..., Awaitable[Answer]]


def written() -> list[list[Envelope]]:
    """Return what stands in the log, by partition."""
    return [list(history(partition, lives=LIVES)) for partition in range(PARTITIONS)]


async def fill(dsn: str) -> None:
    """Write the log, and fold it into the tables."""
    log = PostgresLog(dsn, partitions=PARTITIONS)
    await log.start()
    try:
        for partition, records in enumerate(written()):
            for first in range(0, len(records), BATCH):
                await log.append(partition, records[first : first + BATCH])
        await migrate(dsn, PARTITIONS)
        await Rebuild(log, dsn).run()
    finally:
        await log.stop()


@pytest.fixture
async def filled_dsn(pg_dsn_of: Databases) -> Any:
    """The DSN of such a database, the test's own."""
    if pg_dsn_of.dsn not in _template:
        template = pg_dsn_of.create()
        await fill(template)
        _template[pg_dsn_of.dsn] = database_of(template)
    dsn = pg_dsn_of.create(template=_template[pg_dsn_of.dsn])
    yield dsn
    pg_dsn_of.drop(dsn)


@pytest.fixture
def fliq(filled_dsn: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fliq:
    """Run a command against that database; each has words and returns what was said."""
    # It would take the handlers of this process over.
    monkeypatch.setattr("libs.runtime.telemetry.logging.configure", lambda *_: None)
    settings = Settings.from_env({"FLIQ_DATABASE_URL": filled_dsn, "FLIQ_DATA_DIR": str(tmp_path)})

    async def run(*words: str) -> Answer:
        args = build_parser().parse_args(words)
        (command,) = [each for each in COMMANDS if args.command == each.NAME]
        capfd.readouterr()
        code = await command.run(args, settings)
        return Answer(code, *capfd.readouterr())

    return run
