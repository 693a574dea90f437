"""The house: cards, sizes and names."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from libs.runtime.telemetry.redaction import ALLOWED
from scripts.docs import PAGES

ROOT = Path(__file__).parents[2]
FILE_LINES_MAX = 400
GENERATED = "clients/python/src/fliq_client/contract/"  # as long as the API's tables; nobody edits it
FOLDER_MODULES_MAX = 14
FUNCTION_LINES_MAX = 70
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "base", "misc"}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGERS = {"_log", "self._logger"}  # of a module, and of a class whose role gives the name
SERVICES = ("api", "console", "dispatcher", "scheduler", "webhooks")


def modules(*folders: str) -> list[Path]:
    """Return the modules below *folders*."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def place(path: Path) -> str:
    """Return a path as the messages name it."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_its_card(name: str) -> None:
    """Its docstring says what it turns into what, what it reads, writes and holds, and what it never does."""
    module = ast.parse((ROOT / "services" / name / "__init__.py").read_text(encoding="utf-8"))
    card = ast.get_docstring(module) or ""

    assert re.match(r"\w+: \w+", card), "the first line names the service and its one task"
    assert [line.partition(":")[0] for line in card.splitlines() if re.match(r"[A-Z]\w+: {2,}\S", line)] == [
        "Reads",
        "Writes",
        "Holds",
        "Never",
    ]


def test_every_service_is_known() -> None:
    """A new service gets a card, and a line here."""
    found = {path.parent.name for path in (ROOT / "services").glob("*/service.py")}

    assert found == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_its_loop(name: str) -> None:
    """`service.py` is where its loop is."""
    assert (ROOT / "services" / name / "service.py").is_file()


def test_no_file_is_too_long() -> None:
    """A file beyond this length holds more than one idea; but one that `make docs` writes is as long as its table."""
    paths = [path for path in modules("clients", "libs", "services", "tests") if place(path) not in PAGES]
    sizes = {place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}

    assert {n: size for n, size in sizes.items() if size > FILE_LINES_MAX and not n.startswith(GENERATED)} == {}


def test_no_folder_is_too_full() -> None:
    """A folder with more modules than this has to be divided: nobody finds a file in it by its name."""
    counts = Counter(place(path.parent) for path in modules("clients", "libs", "services", "tests"))

    assert {name: count for name, count in counts.items() if count > FOLDER_MODULES_MAX} == {}


def test_no_function_is_too_long() -> None:
    """Beyond this a function cannot be read in one go."""
    found = {}
    for path in modules("clients", "libs", "services", "tests"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    found[f"{place(path)}:{node.lineno} {node.name}"] = length

    assert found == {}


def test_no_module_is_a_drawer() -> None:
    """A name that could hold anything will."""
    paths = [*modules("clients", "libs", "services", "tests")]
    words = {place(path): {*re.split(r"[_.]", path.stem), path.parent.name} for path in paths}

    assert {name: found for name, each in words.items() if (found := each & FORBIDDEN_NAMES)} == {}


def test_every_module_says_what_it_is() -> None:
    """A docstring at the top of every module of the product."""
    silent = [
        place(path)
        for path in modules("clients", "libs", "services")
        if (text := path.read_text(encoding="utf-8")) and not ast.get_docstring(ast.parse(text))
    ]

    assert silent == []


def test_no_home_of_a_developer_is_in_the_tree() -> None:
    """Nothing that is shipped names a path of the machine that it was written on."""
    pattern = re.compile(r"/(?:home|root|Users)/")
    pages = [path for folder in ("deploy", "docs", "scripts") for path in (ROOT / folder).rglob("*") if path.is_file()]
    shipped = [*modules("clients", "libs", "services"), *ROOT.glob("*.md"), ROOT / "Makefile", *pages]
    named = [
        place(path)
        for path in shipped
        if path.suffix not in (".pyc", ".png") and pattern.search(path.read_text(encoding="utf-8"))
    ]

    assert named == []


def test_every_field_of_a_log_line_leaves() -> None:
    """A line whose fields are not on the list of what may leave says that something happened, and not what."""
    withheld = [
        f"{place(path)}:{call.lineno}: {keyword.arg}"
        for path in modules("libs", "services")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in LEVELS
        and ast.unparse(call.func.value) in LOGGERS
        for keyword in call.keywords
        if keyword.arg is not None and keyword.arg != "exc_info" and keyword.arg not in ALLOWED
    ]

    assert withheld == []


def test_each_migration_has_a_number_of_its_own() -> None:
    """From 1 on, without gaps: a database notes the numbers of those that it has had."""
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "libs/store/schema/migrations").glob("*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_api_appends_in_one_place() -> None:
    """Every fact of a request takes of its account's share of what is not folded yet, so none can go past it."""
    appends = [
        f"{place(path)}:{node.name}"
        for path in modules("services/api")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncFunctionDef)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("log.append")
    ]

    assert appends == ["services/api/handlers/context.py:_append"]
