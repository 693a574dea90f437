"""KafkaAccess: how to reach a Kafka cluster: addresses, TLS and credentials."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


class KafkaAccess(msgspec.Struct, frozen=True, kw_only=True):
    """
    How to reach one cluster.

    Args:
        bootstrap: comma list of `host:port`; one that answers is enough.
        tls: use TLS; certificates are checked against *ca_file*, or against the system's authorities.
        ca_file: certificate authorities in PEM.
        cert_file, key_file: our own certificate, for clusters that ask for one.
        username, password: SASL credentials; without them SASL is not used.
        mechanism: the SASL mechanism.

    Raises:
        ValueError: the password would be sent unencrypted, or one half of a pair is missing.
    """

    bootstrap: str
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str | None = None
    password: str | None = None
    mechanism: Mechanism = "SCRAM-SHA-512"

    def __post_init__(self) -> None:
        if (self.username is None) != (self.password is None):
            raise ValueError("SASL needs both a user name and a password")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("a key without a certificate is of no use")
        if not self.tls and (self.ca_file is not None or self.cert_file is not None):
            raise ValueError("certificates are given, but TLS is off")
        if self.mechanism == "PLAIN" and self.username is not None and not self.tls:
            raise ValueError("SASL PLAIN without TLS would send the password in the clear")

    def __repr__(self) -> str:
        """Return a text without the password."""
        return f"KafkaAccess({self.bootstrap}, tls={self.tls}, username={self.username})"

    def options(self, *, client_id: str, timeout_s: float) -> dict[str, Any]:
        """
        Return the options of every aiokafka client; *timeout_s* bounds connecting and each request.

        Raises:
            OSError: a certificate file cannot be used, as `tls_context`.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap.split(","),
            "client_id": client_id,
            "request_timeout_ms": int(timeout_s * 1000),
            "metadata_max_age_ms": 60_000,
            "security_protocol": ("SASL_" if self.username is not None else "") + ("SSL" if self.tls else "PLAINTEXT"),
        }
        if self.username is not None:
            options["sasl_mechanism"] = self.mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self.password
        if self.tls:
            options["ssl_context"] = self.tls_context()
        return options

    def tls_context(self) -> ssl.SSLContext:
        """
        Return what checks the brokers' certificates, and shows ours.

        Raises:
            OSError: a certificate file cannot be used; the text names the file.
        """
        with _named(self.ca_file):
            context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
        if self.cert_file is not None:
            with _named(self.cert_file):
                context.load_cert_chain(self.cert_file, self.key_file)
        return context


@contextmanager
def _named(file: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # an SSLError is one
        why = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise OSError(f"cannot use {file}: {why}") from error
