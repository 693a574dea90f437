"""The Helm chart says what the files for kustomize say: it is made of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.helm_chart import CHART, LAYOUTS, SOURCES, name_of
from tests.deploy.manifests import Document, settings, sources
from tests.deploy.test_k8s_schema import check

ROOT = Path(__file__).parents[2]
HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
CONTROL = re.compile(r"^\{\{-? (?:if|else|end)\b.*\}\}\n", re.MULTILINE)
WORDS = {
    '{{ include "fliq.image" . | quote }}': "fliq:0",
    ', {{ include "fliq.labels" . }}': "",
    '{{ include "fliq.settings" . | sha256sum | quote }}': '"sum"',
    "{{ .Values.replicas }}": "2",
    "{{ .Release.Revision }}": "1",
    '{{ "{{" }}': "{{",
}


def documents(text: str) -> list[Document]:
    return [each for each in yaml.safe_load_all(text) if each is not None]


def stripped(document: Document) -> Document:
    """Return *document* without what Helm and kustomize add to it, each in its own way."""
    found: Any = yaml.safe_load(yaml.safe_dump(document))
    for each in (found, found.get("spec", {}).get("template", {})):
        if "metadata" not in each:
            continue
        labels = each["metadata"].get("labels", {})
        own = ("app.kubernetes.io/name", "app.kubernetes.io/component")
        each["metadata"]["labels"] = {name: labels[name] for name in own if name in labels}
        each["metadata"].pop("annotations", None)
        for container in each.get("spec", {}).get("containers", []) if isinstance(each.get("spec"), dict) else []:
            container["image"] = "fliq"
    if found["kind"] == "Job":
        found["metadata"]["name"] = "fliq-migrate"
    if found["kind"] == "Deployment":
        found["spec"].pop("replicas", None)  # what scales is a value of the chart
    return dict(found)


def by_name(found: Any) -> dict[tuple[str, str], Document]:
    named = {(each["kind"], each["metadata"]["name"]): stripped(each) for each in found}
    return {("Job", "fliq-migrate") if kind == "Job" else (kind, name): each for (kind, name), each in named.items()}


def wanted(layout: str) -> dict[tuple[str, str], Document]:
    """Return what the chart has to install, with all that may be switched on."""
    components = ("components/monitoring", *(("components/keda",) if layout == "cluster" else ()))
    found = by_name(sources("base", f"overlays/{layout}", *components))
    return {key: each for key, each in found.items() if key[0] != "Namespace"}  # helm install --create-namespace


@pytest.mark.parametrize("source", SOURCES)
def test_a_template_is_its_source(source: str) -> None:
    """Without the words of Helm it is the same documents, and valid; no other word of Helm is in it."""
    text = (ROOT / CHART / "templates" / name_of(source)).read_text("utf-8")
    text = CONTROL.sub("", text)
    for word, said in WORDS.items():
        text = text.replace(word, said)

    assert "{{ include" not in text
    folder, _, file = source.rpartition("/")
    mine = documents((ROOT / "deploy/k8s" / folder / file).read_text("utf-8"))
    assert by_name(documents(text)) == by_name(mine)
    for document in documents(text):
        check(document)


def test_every_source_is_in_the_chart() -> None:
    """A file that is added to deploy/k8s becomes a template, or a word of values.yaml; namespaces are Helm's own business."""
    files = {
        file.relative_to(ROOT / "deploy/k8s").as_posix()
        for folder in ("base", "overlays/single", "overlays/cluster", "components/keda", "components/monitoring")
        for file in (ROOT / "deploy/k8s" / folder).glob("*.yaml")
    }
    assert {name for name in files if not name.endswith("kustomization.yaml")} - {"base/namespace.yaml"} == set(SOURCES)


def test_every_value_that_is_asked_for_is_there() -> None:
    """And every value is asked for."""
    values = yaml.safe_load((ROOT / CHART / "values.yaml").read_text("utf-8"))
    texts = [path.read_text("utf-8") for path in (ROOT / CHART / "templates").iterdir()]
    asked = {name for text in texts for name in re.findall(r"\.Values\.([a-z]+)", text)}
    assert asked == set(values)


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program: from PATH, or built from its Go module."""
    if (found := shutil.which("helm")) is not None:
        return found
    place = tmp_path_factory.mktemp("helm")
    subprocess.run(["go", "install", HELM], env={**os.environ, "GOBIN": str(place)}, check=True, timeout=1_500)
    return str(place / "helm")


@pytest.mark.nightly
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_helm_installs_what_kustomize_does(helm: str, layout: str) -> None:
    """Helm itself renders the chart: the same resources, valid, with the settings of the layout below those of the values."""
    given = ["--set", f"layout={layout},keda=true,monitoring=true", "--set", "settings.FLIQ_LOG_LEVEL=debug"]
    subprocess.run([helm, "lint", "--strict", str(ROOT / CHART), *given], check=True, timeout=120)
    done = subprocess.run(
        [helm, "template", "mine", str(ROOT / CHART), "--namespace", "jobs", "--kube-version", "1.34.0", *given],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = documents(done.stdout)
    for document in found:
        check(document)
    (config,) = [each for each in found if each["kind"] == "ConfigMap"]
    assert config["data"] == settings(layout) | {"FLIQ_LOG_LEVEL": "debug"}
    assert by_name(each for each in found if each is not config) == wanted(layout)
    images = set(re.findall(r"image: (\S+)", done.stdout))
    assert len(images) == 1
    assert all(each["metadata"]["labels"]["app.kubernetes.io/instance"] == "mine" for each in found)
