"""
Manifests: the Kubernetes files as Python data, read as they stand and as kustomize renders them.

The sources are always there; rendering needs `kubectl` or `kustomize`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.dockerfile import ROOT

PLACE = ROOT / "deploy" / "k8s"
OVERLAYS = ("single", "cluster")
COMPONENTS = ("keda", "monitoring")
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")

Document = dict[str, Any]


@cache
def sources(*folders: str) -> tuple[Document, ...]:
    """Return the resources that stand in folders of deploy/k8s, kustomize's own files left out."""
    found: list[Document] = []
    for folder in folders:
        files = [each for each in sorted((PLACE / folder).glob("*.yaml")) if each.name != "kustomization.yaml"]
        assert files, folder
        for file in files:
            found += [each for each in yaml.safe_load_all(file.read_text("utf-8")) if each is not None]
    return tuple(found)


def of_overlay(name: str) -> tuple[Document, ...]:
    """Return the resources that an overlay is made of, as they stand in the files."""
    used = [Path(each).name for each in kustomization(f"overlays/{name}").get("components", [])]
    return sources("base", f"overlays/{name}", *(f"components/{each}" for each in used))


def kustomization(folder: str) -> Document:
    """Return the kustomization.yaml of a folder of deploy/k8s."""
    loaded: Document = yaml.safe_load((PLACE / folder / "kustomization.yaml").read_text("utf-8"))
    return loaded


def settings(name: str) -> dict[str, str]:
    """Return the settings that an overlay's ConfigMap will hold."""
    found: dict[str, str] = {}
    for folder in ("base", f"overlays/{name}"):
        for line in (PLACE / folder / "settings.env").read_text("utf-8").splitlines():
            if line and not line.startswith("#"):
                key, _, value = line.partition("=")
                found[key] = value
    return found


def renderer() -> list[str] | None:
    """Return the command that renders a folder, or None where there is none."""
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    return ["kustomize", "build"] if shutil.which("kustomize") else None


@cache
def rendered(name: str, place: Path = PLACE) -> tuple[Document, ...]:
    """Return what an overlay of deploy/k8s, or of a copy of it at *place*, renders to."""
    command = renderer()
    assert command is not None
    done = subprocess.run([*command, str(place / "overlays" / name)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def name_of(document: Document) -> str:
    """Return kind and name, as messages show them."""
    return f"{document['kind']}/{document['metadata']['name']}"


def kind(documents: tuple[Document, ...], *kinds: str) -> list[Document]:
    """Return the documents of these kinds."""
    return [each for each in documents if each["kind"] in kinds]


def pod(document: Document) -> Document:
    """Return the pod template of a workload."""
    template: Document = document["spec"]["template"]
    return template


def containers(document: Document) -> Iterator[Document]:
    """Yield every container of a workload."""
    spec = pod(document)["spec"]
    yield from [*spec["containers"], *spec.get("initContainers", [])]


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Say whether a label selector (matchLabels, matchExpressions with In) selects a pod with these labels."""
    wanted = selector.get("matchLabels", {})
    if not all(labels.get(key) == value for key, value in wanted.items()):
        return False
    for each in selector.get("matchExpressions", []):
        assert each["operator"] == "In", "only In is known here"
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True


def labels_of_pods(documents: tuple[Document, ...]) -> list[dict[str, str]]:
    """Return the labels of the pods of every workload."""
    return [pod(each)["metadata"]["labels"] for each in kind(documents, *WORKLOADS)]
