"""The Kubernetes files keep our rules: rights, limits, probes, pins, settings that exist, selectors that select."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from libs.runtime.lifecycle import DRAIN_TIMEOUT_S
from libs.runtime.roles import ROLES
from libs.runtime.settings.settings import Settings
from libs.runtime.settings.table import TABLE
from services import VERSION
from tests.deploy.dockerfile import stages
from tests.deploy.manifests import (
    OVERLAYS,
    PLACE,
    WORKLOADS,
    Document,
    containers,
    kind,
    kustomization,
    labels_of_pods,
    name_of,
    of_overlay,
    pod,
    selects,
    settings,
    sources,
)

pytestmark = pytest.mark.parametrize("overlay", OVERLAYS)
NAMES = {row.name for row in TABLE}
SECRETS = {row.name for row in TABLE if row.is_secret}
COMMON_LABELS = {
    "app.kubernetes.io/name": "fliq",
    "app.kubernetes.io/part-of": "fliq",
    "app.kubernetes.io/instance": "fliq",
}


def workloads(overlay: str) -> list[Document]:
    """Return what makes pods."""
    return kind(of_overlay(overlay), *WORKLOADS)


def services(overlay: str) -> list[Document]:
    """Return the Deployments: the pods that run on and on."""
    return kind(of_overlay(overlay), "Deployment")


def test_every_role_is_deployed(overlay: str) -> None:
    """`cluster` has a Deployment for each role, `single` one for all of them."""
    roles = sorted(container["args"][0] for each in services(overlay) for container in containers(each))

    assert roles == (["all"] if overlay == "single" else sorted(ROLES))


def test_no_pod_has_rights(overlay: str) -> None:
    """The restricted pod security standard and more: non-root, read-only, no capability, no token, no word of other services."""
    users = {stage.last("USER").rest for stage in stages().values() if stage.all("USER")}
    for each in workloads(overlay):
        spec = pod(each)["spec"]
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True, name_of(each)
        assert {f"{context['runAsUser']}:{context['runAsGroup']}"} == users, name_of(each)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name_of(each)
        assert spec["automountServiceAccountToken"] is False, name_of(each)
        assert spec["enableServiceLinks"] is False, name_of(each)
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name_of(each)
        for container in containers(each):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name_of(each)


def test_every_account_is_its_own_and_without_a_token(overlay: str) -> None:
    """Each workload has a ServiceAccount of its own name, which mounts no token."""
    accounts = {each["metadata"]["name"]: each for each in kind(of_overlay(overlay), "ServiceAccount")}

    assert {pod(each)["spec"]["serviceAccountName"] for each in workloads(overlay)} == accounts.keys()
    assert all(each["automountServiceAccountToken"] is False for each in accounts.values())
    assert all(pod(each)["spec"]["serviceAccountName"] == each["metadata"]["name"] for each in workloads(overlay))


def test_every_container_writes_to_bounded_volumes_only(overlay: str) -> None:
    """The data directory and /tmp are empty directories with a limit; nothing of the node is mounted."""
    for each in workloads(overlay):
        volumes = {volume["name"]: volume for volume in pod(each)["spec"]["volumes"]}
        assert all(volume.get("emptyDir", {}).get("sizeLimit") for volume in volumes.values()), name_of(each)
        for container in containers(each):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert {settings(overlay)["FLIQ_DATA_DIR"], "/tmp"} == mounts.keys(), name_of(each)
            assert set(mounts.values()) <= volumes.keys(), name_of(each)


def test_every_container_is_limited(overlay: str) -> None:
    """It asks for processor and memory, and has a limit for both."""
    for each in workloads(overlay):
        for container in containers(each):
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"} == resources["limits"].keys(), name_of(each)


def test_every_image_is_pinned_to_this_version(overlay: str) -> None:
    """No `latest`, no tag that is missing; the overlay's registry has the same tag."""
    image = kustomization(f"overlays/{overlay}")["images"][0]

    assert {container["image"] for each in workloads(overlay) for container in containers(each)} == {f"fliq:{VERSION}"}
    assert (image["name"], image["newTag"]) == ("fliq", VERSION)


def test_every_service_is_probed(overlay: str) -> None:
    """Start and life ask the process alone, so that an outage of the database restarts nothing; readiness asks for progress."""
    for each in services(overlay):
        for container in containers(each):
            ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
            assert ports["admin"] == settings(overlay)["FLIQ_ADMIN_PORT"], name_of(each)
            assert ports.get("http", settings(overlay)["FLIQ_PORT"]) == settings(overlay)["FLIQ_PORT"], name_of(each)
            asked = {
                probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
            }
            assert asked == {
                "startupProbe": {"path": "/healthz", "port": "admin"},
                "livenessProbe": {"path": "/healthz", "port": "admin"},
                "readinessProbe": {"path": "/readyz", "port": "admin"},
            }, name_of(each)


def test_a_pod_gets_more_time_than_it_needs_to_drain(overlay: str) -> None:
    """From the preStop's first second on, the pod may take as long as the longest drain and some more."""
    for each in services(overlay):
        wait_s = 0
        for container in containers(each):
            wait_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            is_called = any(port["name"] == "http" for port in container["ports"])
            assert not is_called or wait_s >= 5, f"{name_of(each)}: requests come until the endpoints are changed"
        assert pod(each)["spec"]["terminationGracePeriodSeconds"] >= wait_s + DRAIN_TIMEOUT_S + 5, name_of(each)


def test_pods_are_spread_and_never_all_taken(overlay: str) -> None:
    """Every service is spread over zones and nodes, and a budget lets one pod go at a time."""
    budgets = kind(of_overlay(overlay), "PodDisruptionBudget")
    for each in services(overlay):
        labels = pod(each)["metadata"]["labels"]
        spread = pod(each)["spec"]["topologySpreadConstraints"]
        assert {rule["topologyKey"] for rule in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert all(selects(rule["labelSelector"], labels) for rule in spread), name_of(each)
        own = [budget for budget in budgets if selects(budget["spec"]["selector"], labels)]
        assert [budget["spec"]["maxUnavailable"] for budget in own] == [1], name_of(each)
        assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, name_of(each)
    assert len(budgets) == len(services(overlay))


def test_every_selector_selects(overlay: str) -> None:
    """A Service, a policy, a budget or a monitor that selects nothing is a typing error; a Deployment selects its own pods."""
    documents = of_overlay(overlay)
    pods = labels_of_pods(documents)
    selectors: list[tuple[str, dict[str, Any], list[dict[str, str]]]] = []
    for each in documents:
        spec = each.get("spec", {})
        match each["kind"]:
            case "Service":
                selectors.append((name_of(each), {"matchLabels": spec["selector"]}, pods))
            case "NetworkPolicy":
                selectors.append((name_of(each), spec["podSelector"], pods))
            case "PodDisruptionBudget":
                selectors.append((name_of(each), spec["selector"], pods))
            case "ServiceMonitor":
                labels = [service["metadata"]["labels"] for service in kind(documents, "Service")]
                selectors.append((name_of(each), spec["selector"], labels))
            case "Deployment":
                selectors.append((name_of(each), spec["selector"], [pod(each)["metadata"]["labels"]]))

    assert [name for name, selector, among in selectors if not any(selects(selector, labels) for labels in among)] == []
    assert len(selectors) >= 8


def test_every_named_port_exists(overlay: str) -> None:
    """A Service, a policy or a monitor that names a port means one of the pods that it selects."""
    documents = of_overlay(overlay)
    for each in kind(documents, "Service"):
        ports = {
            port["name"]
            for workload in services(overlay)
            if selects({"matchLabels": each["spec"]["selector"]}, pod(workload)["metadata"]["labels"])
            for container in containers(workload)
            for port in container["ports"]
        }
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports, name_of(each)
    for each in kind(documents, "ServiceMonitor"):
        offered = {
            port["name"]
            for service in kind(documents, "Service")
            if selects(each["spec"]["selector"], service["metadata"]["labels"])
            for port in service["spec"]["ports"]
        }
        assert {endpoint["port"] for endpoint in each["spec"]["endpoints"]} == offered


def test_every_setting_exists_and_is_understood(overlay: str) -> None:
    """Each FLIQ_ variable of ConfigMap and containers is a setting, and the values of the ConfigMap can be read."""
    given = settings(overlay)
    named = {
        variable["name"]
        for each in workloads(overlay)
        for container in containers(each)
        for variable in container["env"]
    }

    assert (given.keys() | named) - NAMES == set()
    Settings.from_env(given)


def test_a_process_is_named_after_its_pod(overlay: str) -> None:
    """FLIQ_NODE is the pod's name, so leases and members can be told apart."""
    for each in services(overlay):
        for container in containers(each):
            named = {variable["name"]: variable for variable in container["env"]}
            assert named["FLIQ_NODE"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}, name_of(each)


def test_secrets_are_referred_to_and_never_written(overlay: str) -> None:
    """No Secret stands in the files, and a setting that is a secret comes from one."""
    assert kind(of_overlay(overlay), "Secret") == []
    assert settings(overlay).keys() & SECRETS == set()
    for each in workloads(overlay):
        for container in containers(each):
            for variable in container["env"]:
                if variable["name"] in SECRETS or variable["name"].endswith(("USERNAME", "PASSWORD")):
                    assert variable["valueFrom"].keys() == {"secretKeyRef"}, f"{name_of(each)}: {variable['name']}"
    text = "".join(file.read_text("utf-8") for file in PLACE.rglob("*") if file.is_file())
    assert re.search(r"://[^/\s]+:[^/\s]+@|fliq_sk_|BEGIN [A-Z ]*PRIVATE KEY", text) is None


def test_a_role_gets_no_secret_that_it_does_not_read(overlay: str) -> None:
    """The API alone gets the key of the tokens and the first tokens; a role that reads a secret gets it."""
    limited = {row.name: {*row.roles} for row in TABLE if row.roles}
    for each in workloads(overlay):
        for container in containers(each):
            [word] = container["args"]
            roles = {*ROLES} if word == "all" else {word}
            given = {variable["name"] for variable in container["env"]} & limited.keys()
            assert given == {name for name, readers in limited.items() if readers & roles}, name_of(each)


def test_everything_has_the_common_labels(overlay: str) -> None:
    """The recommended labels, from the files or from the overlay's `labels`; the version is Fliq's."""
    added = kustomization(f"overlays/{overlay}")["labels"][0]
    assert added["includeTemplates"] is True
    assert added["pairs"]["app.kubernetes.io/version"] == VERSION
    for each in of_overlay(overlay):
        labels = each["metadata"]["labels"] | added["pairs"]
        assert COMMON_LABELS.items() <= labels.items(), name_of(each)
        assert "app.kubernetes.io/component" in labels or each["kind"] in (
            "Namespace",
            "NetworkPolicy",
            "PrometheusRule",
        )
    for each in workloads(overlay):
        assert each["metadata"]["labels"] == pod(each)["metadata"]["labels"], name_of(each)


def test_a_scaler_scales_what_is_there_within_the_partitions(overlay: str) -> None:
    """Every autoscaler has a Deployment without `replicas`; no service gets more pods than there are partitions."""
    by_name = {each["metadata"]["name"]: each for each in services(overlay)}
    scalers = kind(of_overlay(overlay), "HorizontalPodAutoscaler", "ScaledObject")
    for each in scalers:
        target = by_name[each["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"], name_of(target)
        low = each["spec"].get("minReplicas") or each["spec"]["minReplicaCount"]
        assert low >= 2, name_of(each)
        if each["kind"] == "ScaledObject":
            assert each["spec"]["maxReplicaCount"] <= int(settings(overlay)["FLIQ_PARTITIONS"])
            assert [trigger["metadata"]["consumerGroup"] for trigger in each["spec"]["triggers"]] == [
                each["metadata"]["name"]
            ]
            asked = {value for key, value in each["spec"]["triggers"][0]["metadata"].items() if key.endswith("FromEnv")}
            assert asked == {"FLIQ_KAFKA_BOOTSTRAP", "FLIQ_KAFKA_TOPIC"} <= settings(overlay).keys()
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in scalers}
    assert scaled == (set() if overlay == "single" else {"fliq-api", "fliq-dispatcher", "fliq-webhooks"})
    assert all(by_name[name]["spec"]["replicas"] >= 2 for name in by_name.keys() - scaled)


def test_every_file_is_used(overlay: str) -> None:
    """A file that no kustomization names is applied by nobody."""
    folders = ["base", f"overlays/{overlay}", *(f"components/{each.name}" for each in (PLACE / "components").iterdir())]
    for folder in folders:
        there = {file.name for file in (PLACE / folder).iterdir()} - {"kustomization.yaml"}
        own = kustomization(folder)
        named = {Path(each).name for each in own.get("resources", []) if not each.startswith("..")}
        named |= {name for each in own.get("configMapGenerator", []) for name in each.get("envs", [])}
        assert there == named, folder


def test_the_namespace_enforces_the_restricted_standard(overlay: str) -> None:
    """The API server refuses a pod with more rights than ours."""
    labels = kind(sources("base"), "Namespace")[0]["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert kustomization(f"overlays/{overlay}")["namespace"] == "fliq"
