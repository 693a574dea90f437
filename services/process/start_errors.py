"""Start errors: what the log, the tables and the embedded PostgreSQL raise, as one line that names the variable to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from libs.domain.ledger import GapInLog, MustUnderstand
from libs.log.port import LogError
from libs.runtime.embedded_postgres.binaries import EmbeddedPostgresError
from libs.runtime.node import NodeError
from libs.runtime.settings.settings import Settings, without_password
from libs.store.errors import StoreUnavailable
from libs.store.schema.log_identity import WrongLog
from libs.store.schema.migrate import SchemaError
from services.start_error import StartError


@contextmanager
def start_errors(settings: Settings) -> Iterator[None]:
    """Raise the errors of log, tables and embedded PostgreSQL as a `StartError`, whose line names the variable to change."""
    try:
        yield
    except (EmbeddedPostgresError, NodeError, SchemaError, WrongLog) as error:
        raise StartError(str(error)) from error
    except StoreUnavailable as error:
        raise StartError(_of_database(settings, error)) from error
    except LogError as error:
        raise StartError(of_log(settings, error)) from error
    except (GapInLog, MustUnderstand) as error:
        raise StartError(f"the log cannot be folded: {type(error).__name__}: {error}") from error


def of_log(settings: Settings, error: object) -> str:
    """Return *error* as the line that says which variable an operator changes if the log is in trouble."""
    return f"FLIQ_KAFKA_BOOTSTRAP: {error}" if is_log_apart(settings) else _of_database(settings, error)


def _of_database(settings: Settings, error: object) -> str:
    if settings.database_url is None:
        return str(error)
    return f"FLIQ_DATABASE_URL: {error} ({without_password(settings.database_url)})"


def is_log_apart(settings: Settings) -> bool:
    """Whether the log is not in the database of the tables, so that it can be read without that database."""
    return settings.kafka_bootstrap is not None
