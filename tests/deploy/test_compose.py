"""deploy/compose.yaml is what Compose takes, and keeps our rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.runtime.lifecycle import DRAIN_TIMEOUT_S
from libs.runtime.roles import ROLES
from libs.runtime.settings.settings import Settings
from libs.runtime.settings.table import TABLE
from services import VERSION
from services.commands.registry import COMMANDS
from tests.deploy.dockerfile import ROOT, stages

FILE = ROOT / "deploy" / "compose.yaml"
EXAMPLE = ROOT / "deploy" / "compose.env.example"
FILLED_IN = "0123456789abcdef" * 3


def command() -> list[str]:
    """Return the command of Compose; it needs no engine to read a file."""
    tool = shutil.which("docker-compose", path=str(Path(sys.executable).parent)) or shutil.which("docker-compose")
    if tool is None:
        pytest.skip("docker-compose is not installed: make install")
    return [tool, "--file", str(FILE)]


def example(*, value: str) -> str:
    """Return compose.env.example with *value* for what has to be filled in."""
    head, _, rest = EXAMPLE.read_text("utf-8").partition("\n\n")
    return re.sub(r"=$", f"={value}", head, flags=re.MULTILINE) + "\n\n" + rest


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The file as Compose understands it: schema checked, variables filled in, anchors resolved."""
    env = tmp_path_factory.mktemp("compose") / "env"
    env.write_text(example(value=FILLED_IN), "utf-8")
    done = subprocess.run(
        [*command(), "--env-file", str(env), "config", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": str(env.parent), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def ours(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the services that run Fliq."""
    return {name: each for name, each in config["services"].items() if each["image"].startswith("fliq:")}


def test_an_unfilled_example_is_refused_in_words() -> None:
    """Whoever forgets to fill in a password is told which file it goes to."""
    done = subprocess.run(
        [*command(), "--env-file", str(EXAMPLE), "config", "--quiet"], capture_output=True, text=True, timeout=60
    )

    assert done.returncode != 0
    assert "POSTGRES_PASSWORD" in done.stderr
    assert "copy deploy/compose.env.example to deploy/.env" in done.stderr


def test_the_example_names_every_variable_of_the_file() -> None:
    """And no others; passwords stand in neither."""
    asked = set(re.findall(r"\$\{(\w+)", FILE.read_text("utf-8")))
    offered = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE))

    assert asked == offered.keys()
    assert {name: value for name, value in offered.items() if value} == {"FLIQ_LOG_LEVEL": "info"}
    assert ".env" in (ROOT / "deploy" / ".gitignore").read_text("utf-8").split()


def test_every_role_runs_after_the_migration(config: dict[str, Any]) -> None:
    """Four services and the command that brings the schema up, which the four wait for."""
    found = ours(config)

    assert found.keys() == {*ROLES, "migrate"}
    assert {name: each["command"] for name, each in found.items()} == {name: [name] for name in found}
    assert "migrate" in {each.NAME for each in COMMANDS}
    for role in ROLES:
        waits = {name: each["condition"] for name, each in found[role]["depends_on"].items()}
        assert waits == {
            "kafka": "service_healthy",
            "postgres": "service_healthy",
            "migrate": "service_completed_successfully",
        }


def test_every_image_is_pinned(config: dict[str, Any]) -> None:
    """Others' images by tag and digest, ours by its version and built from the Dockerfile."""
    for name, each in config["services"].items():
        if name in ours(config):
            assert each["image"] == f"fliq:{VERSION}"
            assert each["build"]["dockerfile"] == "deploy/Dockerfile"
        else:
            assert re.fullmatch(r"[a-z/]+:[\w.-]+\d[\w.-]*@sha256:[0-9a-f]{64}", each["image"]), name


def test_no_service_has_rights(config: dict[str, Any]) -> None:
    """No capabilities, no way to more, bounded memory and processes, bounded logs, and a read-only root but for Kafka's."""
    for name, each in config["services"].items():
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert int(each["mem_limit"]) > 0, name
        assert each["pids_limit"] > 0, name
        assert each["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert "privileged" not in each, name
    assert [name for name, each in config["services"].items() if not each.get("read_only")] == ["kafka"]


def test_every_service_is_watched(config: dict[str, Any]) -> None:
    """Each has a health check; Fliq's own is in its image."""
    assert list(stages().values())[-1].all("HEALTHCHECK")
    for name, each in config["services"].items():
        if name in ROLES:
            assert "healthcheck" not in each
        elif name != "migrate":
            assert each["healthcheck"]["test"][0] == "CMD", name


def test_the_settings_exist_and_are_understood(config: dict[str, Any]) -> None:
    """Every FLIQ_ variable is a setting, and its value can be read."""
    known = {row.name for row in TABLE}
    for name, each in ours(config).items():
        given = {key: value for key, value in each["environment"].items() if value is not None}
        assert given.keys() <= known, name
        Settings.from_env(given)
        assert f"//fliq:{FILLED_IN}@postgres:5432/fliq" in given["FLIQ_DATABASE_URL"]


def test_a_role_gets_no_secret_that_it_does_not_read(config: dict[str, Any]) -> None:
    """The API alone gets the key of the tokens and the first tokens."""
    limited = {row.name: {*row.roles} for row in TABLE if row.roles}
    for name, each in ours(config).items():
        assert each["environment"].keys() & limited.keys() == {
            key for key, roles in limited.items() if name in roles
        }, name


def test_there_is_time_to_drain(config: dict[str, Any]) -> None:
    """Compose waits longer than the longest drain before it kills."""
    for name, each in ours(config).items():
        minutes = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", each["stop_grace_period"])
        assert minutes is not None
        assert int(minutes[1] or 0) * 60 + int(minutes[2] or 0) >= DRAIN_TIMEOUT_S + 5, name


def test_only_this_machine_and_only_what_is_meant_can_be_reached(config: dict[str, Any]) -> None:
    """Ports are published on loopback; the stores and admin ports have no way in or out; calls leave where they are made."""
    published = {name: each["ports"] for name, each in config["services"].items() if each.get("ports")}

    assert published.keys() == {"api", "prometheus", "grafana"}
    assert {port["host_ip"] for ports in published.values() for port in ports} == {"127.0.0.1"}
    assert {name for name, each in config["networks"].items() if each.get("internal")} == {"stores", "watch"}
    joined = {name: set(each["networks"]) for name, each in config["services"].items()}
    assert {name for name, networks in joined.items() if "out" in networks} == {"dispatcher", "webhooks"}
    assert joined["kafka"] == joined["postgres"] == joined["migrate"] == {"stores"}
    assert {name for name, networks in joined.items() if "stores" in networks} == {*ours(config), "kafka", "postgres"}


def test_every_file_that_is_mounted_is_there(config: dict[str, Any]) -> None:
    """A path that is missing would be made, as an empty directory; and what is mounted cannot be written."""
    binds = [
        mount for each in config["services"].values() for mount in each.get("volumes", []) if mount["type"] == "bind"
    ]

    assert binds
    assert [mount["source"] for mount in binds if not Path(mount["source"]).exists()] == []
    assert all(mount["read_only"] for mount in binds)


def test_prometheus_scrapes_every_process_of_every_role() -> None:
    """
    Each role is looked up by its service's name, so that a service that was scaled is scraped process by process (a fixed address
    would be now one and now another); the jobs are those that the alerts know, and all else is as in prometheus.yaml.
    """
    ours, others = (
        yaml.safe_load((ROOT / "deploy/prometheus" / name).read_text("utf-8"))
        for name in ("prometheus.compose.yaml", "prometheus.yaml")
    )
    port = int(next(row.default for row in TABLE if row.name == "FLIQ_ADMIN_PORT") or 0)

    assert {
        each["job_name"]: [(found["names"], found["type"], found["port"]) for found in each["dns_sd_configs"]]
        for each in ours["scrape_configs"]
    } == {f"fliq-{role}": [([role], "A", port)] for role in ROLES}
    assert ours | {"scrape_configs": None} == others | {"scrape_configs": None}


def test_the_sealed_file_gives_the_key_to_those_who_use_it() -> None:
    """The API, the dispatcher and webhooks get the file with the master key where their setting names it; nobody else does."""
    sealed = yaml.safe_load(FILE.with_name("compose.sealed.yaml").read_text("utf-8"))

    assert sealed["services"].keys() == {"api", "dispatcher", "webhooks"} <= set(ROLES)
    for service in sealed["services"].values():
        assert service["environment"]["FLIQ_MASTER_KEY_FILE"] == f"/run/secrets/{service['secrets'][0]}"
        assert service["secrets"][0] in sealed["secrets"]


def test_the_small_file_allows_the_app_that_it_has() -> None:
    """Compose takes it as it is, with nothing to fill in; what Fliq may call by name is the app beside it."""
    small = FILE.with_name("compose.small.yaml")
    done = subprocess.run(
        [*command()[:-1], str(small), "config", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": "/", "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    services = json.loads(done.stdout)["services"]
    base = next(
        line.split()[1]
        for line in (ROOT / "deploy" / "Dockerfile").read_text("utf-8").splitlines()
        if line.startswith("FROM python:")
    )

    name, _, port = services["fliq"]["environment"]["FLIQ_EGRESS_ALLOW"].partition(":")
    assert services.keys() == {"fliq", name}
    assert services[name]["command"][-1] == port
    assert services[name]["image"] == base
    assert services["fliq"]["read_only"] is True
