"""Settings: defaults, refusals in one line, and nothing secret in what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.runtime.roles import ALL, READERS, ROLES
from libs.runtime.settings.settings import (
    TABLE,
    Settings,
    SettingsError,
    help_text,
    page,
    unknown_names,
    unread_names,
    without_password,
)

TOKEN = "fliq_sk_" + "a" * 36


def refused(**environ: str) -> str:
    with pytest.raises(SettingsError) as error:
        Settings.from_env(environ)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_any_variable_every_default_of_the_contract_holds() -> None:
    """An empty environment gives the contract's table."""
    settings = Settings.from_env({})
    assert (settings.host, settings.port, settings.admin_port) == ("127.0.0.1", 8080, 9090)
    assert settings.data_dir == Path(".fliq")
    assert settings.database_url is None
    assert settings.kafka_bootstrap is None
    assert settings.bootstrap_tokens is None
    assert settings.egress_allow is None
    assert (settings.retry_base_s, settings.fire_lead_ms, settings.daily_execution_limit) == (30, 75, 0)
    assert (settings.dispatch_concurrency, settings.dispatch_per_host) == (1500, 200)
    assert (settings.webhook_concurrency, settings.webhook_per_endpoint) == (600, 64)
    assert (settings.log_level, settings.log_format) == ("info", None)
    assert settings.partition_count == 4
    assert (settings.history_days, settings.history_failed_days, settings.history_max_rows) == (30, 90, 0)
    assert (settings.log_days, settings.capture_days, settings.disk_min_free) == (8, 7, 10)
    assert (settings.capture, settings.capture_bytes, settings.capture_private) == ("on_failure", 8_192, False)


def test_the_table_and_the_fields_are_the_same_settings() -> None:
    """Every row fills a field, every field has a row, no name comes twice."""
    assert sorted(row.field for row in TABLE) == sorted(Settings.__struct_fields__)
    assert len({row.name for row in TABLE}) == len(TABLE)


def test_set_to_nothing_counts_as_unset() -> None:
    """An empty or blank value gives the default, as compose files write it."""
    assert Settings.from_env({"FLIQ_PORT": "", "FLIQ_DATABASE_URL": "  "}) == Settings.from_env({})


def test_kafka_changes_the_number_of_partitions() -> None:
    """64 partitions with Kafka, unless the number is given."""
    environ = {"FLIQ_KAFKA_BOOTSTRAP": "a:9092, b:9092"}
    assert Settings.from_env(environ).kafka_bootstrap == "a:9092,b:9092"
    assert Settings.from_env(environ).partition_count == 64
    assert Settings.from_env({**environ, "FLIQ_PARTITIONS": "8"}).partition_count == 8


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FLIQ_PORT", "abc", "FLIQ_PORT: 'abc' is not a port (1–65535)"),
        ("FLIQ_PORT", "0", "FLIQ_PORT: '0' is not a port (1–65535)"),
        ("FLIQ_PORT", "65536", "FLIQ_PORT: '65536' is not a port (1–65535)"),
        ("FLIQ_PORT", "8_0", "FLIQ_PORT: '8_0' is not a port (1–65535)"),
        ("FLIQ_PORT", "٨٠٨٠", "FLIQ_PORT: '٨٠٨٠' is not a port (1–65535)"),
        ("FLIQ_PORT", "9" * 5000, "FLIQ_PORT: '" + "9" * 57 + "...' is not a port (1–65535)"),
        ("FLIQ_PORT", "tcp://10.0.0.1:80", "FLIQ_PORT: 'tcp://10.0.0.1:80' is not a port (1–65535)"),
        ("FLIQ_ADMIN_PORT", "8080", "FLIQ_ADMIN_PORT: 8080 is taken by FLIQ_PORT; each needs its own"),
        ("FLIQ_HOST", "a b", "FLIQ_HOST: 'a b' is not a host name or an address to listen on"),
        ("FLIQ_HOST", "a..b", "FLIQ_HOST: 'a..b' is not a host name or an address to listen on"),
        ("FLIQ_HOST", "a" * 64, "FLIQ_HOST: '" + "a" * 57 + "...' is not a host name or an address to listen on"),
        ("FLIQ_DATA_DIR", "~nobody-of-that-name/x", "FLIQ_DATA_DIR: '~nobody-of-that-name/x' is not a path"),
        ("FLIQ_KAFKA_CA_FILE", "~nobody-of-that-name", "FLIQ_KAFKA_CA_FILE: '~nobody-of-that-name' is not a path"),
        ("FLIQ_RETRY_BASE_SECONDS", "nan", "FLIQ_RETRY_BASE_SECONDS: 'nan' is not a number of seconds (0.001–3600)"),
        ("FLIQ_RETRY_BASE_SECONDS", "-1", "FLIQ_RETRY_BASE_SECONDS: '-1' is not a number of seconds (0.001–3600)"),
        (
            "FLIQ_RETRY_BASE_SECONDS",
            "1.2.3",
            "FLIQ_RETRY_BASE_SECONDS: '1.2.3' is not a number of seconds (0.001–3600)",
        ),
        ("FLIQ_FIRE_LEAD_MS", "1.5", "FLIQ_FIRE_LEAD_MS: '1.5' is not a number of milliseconds (0–10000)"),
        ("FLIQ_LOG_FORMAT", "xml", "FLIQ_LOG_FORMAT: 'xml' is not one of console, json"),
        ("FLIQ_KAFKA_BOOTSTRAP", "broker", "FLIQ_KAFKA_BOOTSTRAP: 'broker' is not a comma list of host:port"),
        ("FLIQ_KAFKA_BOOTSTRAP", "a..b:9092", "FLIQ_KAFKA_BOOTSTRAP: 'a..b:9092' is not a comma list of host:port"),
        ("FLIQ_EGRESS_DENY", "10.0.0.1/8", "FLIQ_EGRESS_DENY: '10.0.0.1/8' is not a comma list of networks"),
        ("FLIQ_NODE", "a/b", "FLIQ_NODE: 'a/b' is not a name (1–64 of letters, digits, _ . -)"),
        ("FLIQ_LOG_DAYS", "1", "FLIQ_LOG_DAYS: '1' is neither 0 nor a number of days from 2 to 36500"),
        ("FLIQ_CRASH_AT", "x", "FLIQ_CRASH_AT: 'x' is not a crash point (name:n, n from 1)"),
        ("FLIQ_CRASH_AT", "x.y:0", "FLIQ_CRASH_AT: 'x.y:0' is not a crash point (name:n, n from 1)"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(name: str, value: str, message: str) -> None:
    """The line names the variable, the value and what it should have been."""
    assert refused(**{name: value}).startswith(message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLIQ_DATABASE_URL", "mysql://root:hunter2@db/x"),
        ("FLIQ_DATABASE_URL", "postgresql://root:hunter2@a..b/x"),
        ("FLIQ_BOOTSTRAP_TOKENS", "hunter2"),
        ("FLIQ_BOOTSTRAP_TOKENS", "a=hunter2,b"),
        ("FLIQ_BOOTSTRAP_TOKENS", "a=hunter2,b=hunter2"),
        ("FLIQ_BOOTSTRAP_TOKENS", "a b=hunter2"),
        ("FLIQ_BOOTSTRAP_TOKENS", "a="),
        ("FLIQ_BOOTSTRAP_TOKENS", "_fliq=hunter2"),
        ("FLIQ_SECRET_KEY", "hunter2"),
    ],
)
def test_a_wrong_secret_is_refused_without_showing_it(name: str, value: str) -> None:
    """The line names the variable, not the value."""
    message = refused(**{name: value})
    assert message.startswith(f"{name}: the value ")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://u:12/hunter2@h/db",
        "postgresql://u:/hunter2@h/db",
        "postgresql://u:12#hunter2@h/db",
        "postgresql://u:12?hunter2@h/db",
        "postgresql://u:hunt/hunter2@h:5432/db",
        "postgresql://u:a@b/hunter2@h/db",
    ],
)
def test_a_password_that_ends_the_host_is_refused(value: str) -> None:
    """The driver would look for a host `u`, and what is left of the password would be shown as the path."""
    message = refused(FLIQ_DATABASE_URL=value)
    assert message.startswith("FLIQ_DATABASE_URL: the value has an @ after its host")
    assert "%2F" in message
    assert "hunt" not in message


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://u:12%2Fhunter2%40@h/db",
        "postgresql://u:p@ss@h/db",
        "postgresql://h/db?user=me@server&password=a@b",
        "postgresql:///db?host=/run/postgresql&user=me@server",
    ],
)
def test_an_at_sign_elsewhere_in_the_address_is_fine(value: str) -> None:
    """Encoded, doubled before the host, or in the value of a parameter."""
    assert Settings.from_env({"FLIQ_DATABASE_URL": value}).database_url == value


def test_a_misspelt_name_is_refused_with_the_right_one() -> None:
    """A misspelt variable must not be silently ignored."""
    assert refused(FLIQ_PROT="1") == "FLIQ_PROT: there is no such setting; did you mean FLIQ_PORT?"


def test_a_name_unlike_any_setting_is_ignored_and_told() -> None:
    """A client's own variables may stand in the same environment; they are listed, for a warning."""
    Settings.from_env({"FLIQ_TOKEN": "x"})

    assert unknown_names({"FLIQ_TOKEN": "x", "FLIQ_PORT": "1", "FLIQ_TEST_KAFKA": "y"}) == ["FLIQ_TOKEN"]


def test_what_kubernetes_and_our_tests_set_is_no_typing_error() -> None:
    """Service links of a service called fliq-api, and FLIQ_TEST_*, are left alone; so is every other variable."""
    links = {
        "FLIQ_API_SERVICE_HOST": "10.0.0.1",
        "FLIQ_API_SERVICE_PORT_HTTP": "80",
        "FLIQ_API_PORT": "tcp://10.0.0.1:80",
        "FLIQ_API_PORT_80_TCP_ADDR": "10.0.0.1",
        "FLIQ_TEST_KAFKA": "x",
        "HOME": "/",
    }
    assert Settings.from_env(links) == Settings.from_env({})


def test_bootstrap_tokens_are_pairs_and_their_checksum_is_asked_for() -> None:
    """Several tokens for one account are fine; a token that the caller calls malformed is not."""
    environ = {"FLIQ_BOOTSTRAP_TOKENS": f"a={TOKEN}1, a={TOKEN}2,b.c={TOKEN}3"}
    settings = Settings.from_env(environ, is_token=lambda token: token.startswith("fliq_sk_"))
    assert settings.bootstrap_tokens == (("a", TOKEN + "1"), ("a", TOKEN + "2"), ("b.c", TOKEN + "3"))
    with pytest.raises(SettingsError, match=r"FLIQ_BOOTSTRAP_TOKENS: the token of account a \(item 1\) is malformed"):
        Settings.from_env(environ, is_token=lambda _: False)


@pytest.mark.parametrize("name", ["FLIQ_SECRET_KEY", "FLIQ_BOOTSTRAP_TOKENS"])
def test_a_role_reads_no_secret_of_another(name: str) -> None:
    """Only the API reads the key and the first tokens: elsewhere even a malformed one counts as unset, and is told."""
    field = next(row.field for row in TABLE if row.name == name)
    environ = {name: "malformed"}

    for role in READERS:
        assert getattr(Settings.from_env(environ, roles=(role,)), field) is None
        assert unread_names(environ, (role,)) == [name]
    for roles in (("api",), ROLES, None):
        with pytest.raises(SettingsError, match=name):
            Settings.from_env(environ, roles=roles)
    assert unread_names(environ, ROLES) == []


def test_only_secrets_are_kept_from_roles() -> None:
    """Every role of the table is one, and what is no secret may stand in a file that all processes share."""
    assert {role for row in TABLE for role in row.roles} <= {*ALL}
    assert [row.name for row in TABLE if row.roles and not row.is_secret] == []


def test_nothing_secret_is_shown() -> None:
    """Neither repr nor the masked view holds a password, token or key; that they are set is seen."""
    settings = Settings.from_env(
        {
            "FLIQ_DATABASE_URL": "postgresql://u:hunter2@db:5432/f?password=hunter2",
            "FLIQ_BOOTSTRAP_TOKENS": "a=hunter2",
            "FLIQ_SECRET_KEY": "hunter2" * 5,
        }
    )
    shown = repr(settings) + str(settings) + str(settings.masked()) + str(list(settings.__rich_repr__()))
    assert "hunter2" not in shown
    assert settings.masked()["FLIQ_DATABASE_URL"] == "postgresql://u:***@db:5432/f?***"
    assert settings.masked()["FLIQ_SECRET_KEY"] == "***"
    assert without_password("postgresql:///f?host=/run") == "postgresql:///f?***"


def test_help_and_page_name_every_setting() -> None:
    """What is parsed is what is documented."""
    for row in TABLE:
        assert f"  {row.name} " in help_text()
        assert f"| `{row.name}` |" in page()
