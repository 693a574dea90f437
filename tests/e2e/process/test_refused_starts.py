"""Starts that cannot be: one line that says what is wrong and where to mend it, soon, without a secret and a traceback."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from libs.runtime.settings.settings import TABLE
from services.__main__ import MEANINGS, build_parser
from tests.e2e.process.starting import FLIQ, environment, run
from tests.fakes.running.topologies import ROOT

PASSWORD = "swordfish"


def refused(command: str = "all", **settings: str) -> tuple[int, str]:
    """Run what ends by itself; return its exit code and its one line."""
    ended = run([*FLIQ, command], environment(**settings))
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert PASSWORD not in ended.stderr
    return ended.returncode, ended.stderr.rstrip()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FLIQ_PORT", "eighty", "'eighty' is not a port (1–65535)"),
        ("FLIQ_PROT", "80", "there is no such setting; did you mean FLIQ_PORT?"),
        ("FLIQ_DATABASE_URL", f"mysql://u:{PASSWORD}@h/d", "the value is not an address of the form postgresql://"),
        ("FLIQ_DATABASE_URL", f"postgresql://u:{PASSWORD}@h:port/d", "the value is not an address of the form"),
        ("FLIQ_BOOTSTRAP_TOKENS", f"default={PASSWORD}", "the token of account default (item 1) is malformed"),
        ("FLIQ_DATABASE_URL", "postgresql://u@h:99999/d", "the value is not an address of the form"),
        ("FLIQ_KAFKA_BOOTSTRAP", "kafka:99999", "'kafka:99999' is not a comma list of host:port"),
        ("FLIQ_EGRESS_ALLOW", "10.0.0.0/33", "'10.0.0.0/33' is not a network"),
        ("FLIQ_EGRESS_ALLOW", "10.0.0.1/8", "'10.0.0.1/8' is not a network: 10.0.0.1/8 has host bits set"),
        (
            "FLIQ_EGRESS_ALLOW",
            "*.example",
            "'*.example' is not a network, a name or a name ending (10.0.0.0/8, web, .example.com)",
        ),
        ("FLIQ_EGRESS_CA_FILE", __file__, f"cannot use {__file__}: it holds no PEM certificate"),
        ("FLIQ_LOG_LEVEL", "loud", "'loud' is not one of debug, info"),
        ("FLIQ_CRASH_AT", "no.such:1", "'no.such' is not a crash point"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, says: str) -> None:
    """Exit code 2, and the line begins with the variable."""
    code, line = refused(**{name: value})
    assert code == 2
    assert line.startswith(f"fliq: {name}: {says}")


def test_a_certificate_of_kafka_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Exit code 2, with the file: before, the line spoke of the brokers, and of `[X509] PEM lib`."""
    damaged = tmp_path / "ca.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with_tls = {"FLIQ_KAFKA_BOOTSTRAP": "127.0.0.1:1", "FLIQ_KAFKA_TLS": "on", "FLIQ_DATA_DIR": str(tmp_path / "data")}
    for name in ("FLIQ_KAFKA_CA_FILE", "FLIQ_KAFKA_CERT_FILE"):
        code, line = refused(**with_tls, **{name: str(damaged)}, FLIQ_DATABASE_URL="postgresql://127.0.0.1:1/d")
        assert (code, line) == (2, f"fliq: FLIQ_KAFKA_*: cannot use {damaged}: it holds no certificate in PEM")


def test_a_service_on_its_own_needs_a_database(tmp_path: Path) -> None:
    """Exit code 2: there is none that it could share; and nothing was made."""
    place = tmp_path / "none"
    code, line = refused("dispatcher", FLIQ_DATA_DIR=str(place))
    assert code == 2
    assert line.startswith("fliq: FLIQ_DATABASE_URL: ")
    assert not place.exists()


def test_a_database_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    """Exit code 1; the password is not shown."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        closed_port = closed.getsockname()[1]
        url = f"postgresql://u:{PASSWORD}@127.0.0.1:{closed_port}/d"
        code, line = refused(FLIQ_DATABASE_URL=url, FLIQ_DATA_DIR=str(tmp_path))
    assert code == 1
    assert line.startswith("fliq: FLIQ_DATABASE_URL: the log's database cannot be reached: ")
    assert line.endswith(f" (postgresql://u:***@127.0.0.1:{closed_port}/d)")


def test_a_database_that_does_not_answer_is_waited_for_some_seconds(tmp_path: Path) -> None:
    """A server that takes the connection and says nothing: exit code 1 within the time that a connection may take."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/d?sslmode=disable"
        code, line = refused(FLIQ_DATABASE_URL=url, FLIQ_DATA_DIR=str(tmp_path))
        place = f"127.0.0.1:{silent.getsockname()[1]}"
    assert code == 1
    assert line == (
        f"fliq: FLIQ_DATABASE_URL: the log's database does not answer within 5 s (postgresql://u:***@{place}/d?***)"
    )


def test_wrong_credentials_are_told(pg_dsn: str, tmp_path: Path) -> None:
    """Exit code 1, in PostgreSQL's words."""
    user, _, rest = pg_dsn.removeprefix("postgresql://").partition(":")
    url = f"postgresql://{user}:{PASSWORD}@{rest.partition('@')[2]}"
    code, line = refused(FLIQ_DATABASE_URL=url, FLIQ_DATA_DIR=str(tmp_path))
    assert code == 1
    assert line.startswith("fliq: FLIQ_DATABASE_URL: ")
    assert "password authentication failed" in line


def test_a_data_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Exit code 1, with the path and the reason."""
    (tmp_path / "file").write_text("")
    code, line = refused(FLIQ_DATA_DIR=str(tmp_path / "file"))
    assert code == 1
    assert line == f"fliq: FLIQ_DATA_DIR: cannot use {tmp_path / 'file'}: it is not a directory"


@pytest.mark.parametrize("name", ["FLIQ_PORT", "FLIQ_ADMIN_PORT"])
def test_case_21_a_port_that_is_taken_is_named(name: str, pg_dsn: str, tmp_path: Path) -> None:
    """Exit code 1; nothing was made, so the next start shows the first token; the reason is the last line, in words."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = environment(FLIQ_DATABASE_URL=pg_dsn, FLIQ_DATA_DIR=str(tmp_path)) | {name: str(port)}
        ended = run([*FLIQ, "all"], settings)
    assert ended.returncode == 1
    *lines, last = ended.stderr.splitlines()
    (told,) = [line for line in lines if '"level":"critical"' in line]
    reason = f"{name}: 127.0.0.1:{port} is taken by another process; set it to another one"
    assert f'"error":"{reason}"' in told
    assert last == f"fliq: {reason}"
    assert "Fliq is ready" not in ended.stdout
    assert "API token" not in ended.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [("FLIQ_HOST", "no-such-host.invalid"), ("FLIQ_HOST", "1.5x"), ("FLIQ_ADMIN_HOST", "203.0.113.5")],
)
def test_an_address_that_is_not_of_this_machine_is_named(name: str, value: str) -> None:
    """Exit code 1; the line speaks of the address, not of the port."""
    ended = run([*FLIQ, "console"], environment(**{name: value}))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        f"fliq: {name}: {value} is no address of this machine; set it to 127.0.0.1, to :: (all), or to one of its addresses"
    )


def test_help_names_every_command_and_setting() -> None:
    """`fliq --help` is the whole of it, and each command has more to say."""
    shown = run([*FLIQ, "--help"], environment())
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all(f"    {name}" in shown.stdout for name in MEANINGS)
    assert all(f"  {setting.name} " in shown.stdout for setting in TABLE)


@pytest.mark.parametrize("name", MEANINGS)
def test_every_command_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A service shows its card."""
    with pytest.raises(SystemExit, match=r"^0$"):
        build_parser().parse_args([name, "--help"])
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: fliq {name}")
    assert name in ("all", "dev", "verify") or all(
        f"\n{word}: " in shown for word in ("Reads", "Writes", "Holds", "Never")
    )


def test_without_a_command_the_usage_is_shown() -> None:
    """Exit code 2."""
    ended = run(FLIQ, environment())
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: fliq")


def test_an_older_python_is_told_in_one_line(tmp_path: Path) -> None:
    """What `make` asks for a Python says what is missing and how to name one."""
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")  # as every check on the version ends
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    ended = run(["sh", "scripts/find-python"], environment(PYTHON3=str(old)))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "no Python 3.11 or later" in ended.stderr
    assert (ROOT / "Makefile").read_text().count("scripts/find-python") >= 1
