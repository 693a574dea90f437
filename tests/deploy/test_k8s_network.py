"""The network policies: nobody may leave but who makes calls, and who makes calls reaches public addresses only."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from libs.egress.address_rules import IPV4_DENIED, IPV6_ALLOWED, IPV6_DENIED
from libs.runtime.roles import ROLES
from tests.deploy.manifests import OVERLAYS, Document, kind, of_overlay, selects

CALLERS = {"single": {"all"}, "cluster": {"dispatcher", "webhooks"}}
METADATA = ("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254")
CLUSTER = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10")


def policies(overlay: str, component: str, direction: str) -> list[Document]:
    """Return the policies that bind the pods of *component* in a direction."""
    labels = {"app.kubernetes.io/name": "fliq", "app.kubernetes.io/component": component}
    found = kind(of_overlay(overlay), "NetworkPolicy")
    return [
        each
        for each in found
        if direction in each["spec"]["policyTypes"] and selects(each["spec"]["podSelector"], labels)
    ]


def components(overlay: str) -> set[str]:
    """Return the components of an overlay's pods."""
    return {"migrate"} | ({"all"} if overlay == "single" else set(ROLES))


def leaves_to(overlay: str, component: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return where the pods of *component* may go: peer, and ports."""
    rules = [rule for each in policies(overlay, component, "Egress") for rule in each["spec"].get("egress", [])]
    assert all(rule.get("to") and rule.get("ports") for rule in rules), (
        "a rule without `to` or `ports` allows everything"
    )
    return [(peer, rule["ports"]) for rule in rules for peer in rule["to"]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_denied_first(overlay: str) -> None:
    """A policy over the whole namespace allows nothing in either direction."""
    whole = [each["spec"] for each in kind(of_overlay(overlay), "NetworkPolicy") if each["spec"]["podSelector"] == {}]

    assert whole == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_who_makes_calls_may_leave(overlay: str) -> None:
    """API, scheduler and migration reach the stores and the name service, in namespaces that are named, and no address."""
    for component in components(overlay) - CALLERS[overlay]:
        reached = leaves_to(overlay, component)
        assert reached
        for peer, _ in reached:
            assert "ipBlock" not in peer, component
            assert peer["namespaceSelector"]["matchLabels"].keys() == {"kubernetes.io/metadata.name"}, component


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_calls_reach_no_address_of_the_cluster_or_of_a_metadata_service(overlay: str) -> None:
    """What Fliq's own list refuses, the network refuses as well: a name that is rebound finds two walls."""
    for component in CALLERS[overlay]:
        blocks = [peer["ipBlock"] for peer, _ in leaves_to(overlay, component) if "ipBlock" in peer]
        assert {ip_network(block["cidr"]) for block in blocks} == {ip_network("0.0.0.0/0"), IPV6_ALLOWED}
        denied = {4: set(IPV4_DENIED), 6: set(IPV6_DENIED)}
        for block in blocks:
            whole = ip_network(block["cidr"])
            without = [ip_network(each) for each in block["except"]]
            assert all(each.version == whole.version and each.subnet_of(whole) for each in without)  # type: ignore[arg-type]
            assert set(without) == denied[whole.version], "the list of libs/egress/address_rules.py has changed"
        for address in (*METADATA, *CLUSTER):
            assert not any(allows(block, address) for block in blocks), address
        assert any(allows(block, "93.184.215.14") for block in blocks)
        assert any(allows(block, "2606:4700::1111") for block in blocks)


def allows(block: dict[str, Any], address: str) -> bool:
    """Say whether an ipBlock lets an address through, or any part of a network."""
    wanted = ip_network(address)
    whole = ip_network(block["cidr"])
    if wanted.version != whole.version or not wanted.overlaps(whole):
        return False
    return not any(wanted.subnet_of(ip_network(each)) for each in block["except"])  # type: ignore[arg-type]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_reaches_its_database_and_names(overlay: str) -> None:
    """PostgreSQL and the name service for all; Kafka where the log is in Kafka."""
    for component in components(overlay):
        ports = {port["port"] for _, each in leaves_to(overlay, component) for port in each}
        assert {53, 5432} <= ports, component
        assert (9092 in ports) is (overlay == "cluster"), component


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_api_is_called(overlay: str) -> None:
    """Who takes requests may be reached at its port by whom the operator lets; the admin port by Prometheus alone."""
    for component in components(overlay):
        opened: dict[str, list[Any]] = {}
        for each in policies(overlay, component, "Ingress"):
            for rule in each["spec"].get("ingress", []):
                assert rule.get("from"), "a rule without `from` lets everybody in"
                for port in rule["ports"]:
                    opened.setdefault(port["port"], []).extend(rule["from"])
        assert opened.keys() == ({"admin", "http"} if component in ("api", "all") else {"admin"}), component
        assert opened["admin"] == [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        ]
