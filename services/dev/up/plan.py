"""Plan: which processes are to run, and where they listen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from libs.runtime.roles import READERS
from libs.runtime.settings.settings import Settings, SettingsError
from services.api.greeting import address_of

ROLES: Final = ("api", *READERS)  # their admin ports are counted up in this order
PROCESSES_MAX: Final = 100  # admin ports are counted up from one; more than this is a typing error


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """
    One process to be.

    Args:
        name: its role and number, as in `scheduler-2`.
        role: what `fliq` is told.
        address: URL of the API, empty for other roles.
        admin_address: URL of its admin port.
        ports: what it listens on.
        settings: the variables that are its own.
        directory: its FLIQ_DATA_DIR.
        log_file: where its log lines go.
    """

    name: str
    role: str
    address: str
    admin_address: str
    ports: tuple[int, ...]
    settings: dict[str, str]
    directory: Path
    log_file: Path


def children(settings: Settings, counts: Mapping[str, int], own: Mapping[str, str]) -> list[Child]:
    """
    Return the processes to start: API ports count up from FLIQ_PORT, admin ports from FLIQ_ADMIN_PORT.

    Args:
        counts: how many of each role.
        own: variables that all of them get besides the environment.

    Raises:
        SettingsError: none or too many, or ports that meet.
    """
    if not 1 <= sum(counts.values()) <= PROCESSES_MAX:
        raise SettingsError(f"1 to {PROCESSES_MAX} processes, not {sum(counts.values())}")
    planned = list(_children(settings, counts, own))
    ports = [port for child in planned for port in child.ports]
    for port in ports:
        if ports.count(port) > 1 or port > 65_535:
            raise SettingsError(f"FLIQ_PORT, FLIQ_ADMIN_PORT: counted up they meet at {port}; set them further apart")
    return planned


def _children(settings: Settings, counts: Mapping[str, int], own: Mapping[str, str]) -> Iterator[Child]:
    place = settings.data_dir / "up"
    admin_port = settings.admin_port
    for role in ROLES:
        for number in range(1, counts.get(role, 0) + 1):
            name = f"{role}-{number}"
            # A service that is not the API still checks that its two ports differ.
            port = settings.port + (number - 1 if role == "api" else 0)
            settings_of_its_own = {
                "FLIQ_PORT": str(port),
                "FLIQ_ADMIN_PORT": str(admin_port),
                "FLIQ_DATA_DIR": str(place / name),
            }
            if settings.node is not None:
                settings_of_its_own["FLIQ_NODE"] = f"{settings.node}-{name}"
            yield Child(
                name=name,
                role=role,
                address=address_of(settings.host, port) if role == "api" else "",
                admin_address=address_of(settings.admin_host, admin_port),
                ports=(port, admin_port) if role == "api" else (admin_port,),
                settings={**own, **settings_of_its_own},
                directory=place / name,
                log_file=place / f"{name}.log",
            )
            admin_port += 1
