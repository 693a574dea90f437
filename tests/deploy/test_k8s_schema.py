"""The Kubernetes files are what the API server takes, by the schemas of Kubernetes and by ours of what others add to it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.deploy.dockerfile import ROOT
from tests.deploy.manifests import (
    COMPONENTS,
    OVERLAYS,
    PLACE,
    WORKLOADS,
    Document,
    containers,
    kustomization,
    name_of,
    rendered,
    renderer,
    sources,
)

# The oldest release that knows every field we use (preStop sleep), and the newest that the schemas know.
RELEASES = ("1.30", "1.37")
CUSTOM = {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in Path(__file__).parent.glob("schemas/*.yaml")}


def check(document: Document) -> None:
    """Check one resource; raises what its schema has to say."""
    if document["kind"] in CUSTOM:
        jsonschema.Draft202012Validator(CUSTOM[document["kind"]]).validate(document)
        return
    for release in RELEASES:
        kubernetes_validate.validate(document, release, strict=True)


@pytest.mark.parametrize("kind", sorted(CUSTOM))
def test_our_schemas_are_schemas(kind: str) -> None:
    """A slip in one of them does not let everything through."""
    jsonschema.Draft202012Validator.check_schema(CUSTOM[kind])


@pytest.mark.parametrize(
    "folder", ["base", *(f"overlays/{each}" for each in OVERLAYS), *(f"components/{each}" for each in COMPONENTS)]
)
def test_every_file_is_valid(folder: str) -> None:
    """As it stands, without unknown fields, in the oldest and the newest release."""
    for document in sources(folder):
        check(document)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_rendered_is_valid(overlay: str) -> None:
    """kustomize puts the overlay together, and every resource of the result is valid, with a namespace where one belongs."""
    if renderer() is None:
        pytest.skip("rendering needs kubectl or kustomize")
    for document in rendered(overlay):
        check(document)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "fliq", name_of(document)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_rendered_belongs_together(overlay: str) -> None:
    """Every name that a resource refers to is rendered as well; images get the registry; settings are merged."""
    if renderer() is None:
        pytest.skip("rendering needs kubectl or kustomize")
    documents = rendered(overlay)
    named = {name_of(each) for each in documents}
    image = kustomization(f"overlays/{overlay}")["images"][0]
    configs = {each["metadata"]["name"] for each in documents if each["kind"] == "ConfigMap"}
    for document in documents:
        if document["kind"] not in ("Deployment", "Job"):
            continue
        spec = document["spec"]["template"]["spec"]
        assert f"ServiceAccount/{spec['serviceAccountName']}" in named
        for container in spec["containers"]:
            assert container["image"] == f"{image['newName']}:{image['newTag']}"
            assert [each["configMapRef"]["name"] in configs for each in container["envFrom"]] == [True]
    assert configs
    assert all(name.startswith("fliq-settings-") for name in configs), "a changed setting must roll the pods"


def test_an_unknown_field_is_found() -> None:
    """The checks above have teeth: a field that no schema knows is refused, in our own kinds and in others'."""
    deployment = next(each for each in sources("overlays/cluster") if each["kind"] == "Deployment")
    scaled = next(each for each in sources("components/keda") if each["kind"] == "ScaledObject")

    with pytest.raises(kubernetes_validate.ValidationError):
        check(deployment | {"spec": deployment["spec"] | {"replica": 2}})
    with pytest.raises(jsonschema.ValidationError, match="maxReplicas"):
        check(scaled | {"spec": scaled["spec"] | {"maxReplicas": 2}})


def test_tls_to_the_brokers_is_a_line_away(tmp_path: Path) -> None:
    """With the commented component every pod gets the authority of the Secret, and the settings to use it; all stays valid."""
    if renderer() is None:
        pytest.skip("rendering needs kubectl or kustomize")
    place = tmp_path / "k8s"
    shutil.copytree(PLACE, place)
    file = place / "overlays" / "cluster" / "kustomization.yaml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("# - ../../components/kafka-tls #", "- ../../components/kafka-tls #"), "utf-8")

    documents = rendered("cluster", place)
    config = next(each["data"] for each in documents if each["kind"] == "ConfigMap")
    for document in documents:
        check(document)
        if document["kind"] in WORKLOADS:
            mounts = {each["name"]: each["mountPath"] for each in next(containers(document))["volumeMounts"]}
            assert config["FLIQ_KAFKA_CA_FILE"] == f"{mounts['kafka-ca']}/ca.crt", name_of(document)
    assert config["FLIQ_KAFKA_TLS"] == "on"


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_checked_certificate_of_postgresql_is_a_line_away(name: str, tmp_path: Path) -> None:
    """With the commented component every pod finds the authority where the address in the operator's page says."""
    if renderer() is None:
        pytest.skip("rendering needs kubectl or kustomize")
    place = tmp_path / "k8s"
    shutil.copytree(PLACE, place)
    file = place / "overlays" / name / "kustomization.yaml"
    text = file.read_text("utf-8")
    assert "# - ../../components/postgres-tls #" in text
    file.write_text(text.replace("# - ../../components/postgres-tls #", "- ../../components/postgres-tls #"), "utf-8")

    asked = re.search(r"sslmode=verify-full&sslrootcert=(\S+?)'", (ROOT / "docs" / "operations.md").read_text("utf-8"))
    assert asked is not None
    for document in rendered(name, place):
        check(document)
        if document["kind"] in WORKLOADS:
            mounts = {each["name"]: each["mountPath"] for each in next(containers(document))["volumeMounts"]}
            assert asked[1] == f"{mounts['postgres-ca']}/ca.crt", name_of(document)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_master_key_is_a_line_away(name: str) -> None:
    """With the commented component every service finds the key where its setting says, readable by its own group alone."""
    text = (PLACE / "overlays" / name / "kustomization.yaml").read_text("utf-8")
    assert "# - ../../components/sealing #" in text
    component = yaml.safe_load((PLACE / "components" / "sealing" / "kustomization.yaml").read_text("utf-8"))
    (patch,) = component["patches"]
    volume, mount, setting = (each["value"] for each in yaml.safe_load(patch["patch"]))

    assert patch["target"] == {"kind": "Deployment"}
    assert volume["secret"]["defaultMode"] == 0o440
    assert setting == {
        "name": "FLIQ_MASTER_KEY_FILE",
        "value": f"{mount['mountPath']}/{volume['secret']['items'][0]['path']}",
    }


def test_a_login_for_each_service_is_a_line_away(tmp_path: Path) -> None:
    """With the commented component each service has its own address of the database; the owner's is the migration's alone."""
    if renderer() is None:
        pytest.skip("rendering needs kubectl or kustomize")
    place = tmp_path / "k8s"
    shutil.copytree(PLACE, place)
    file = place / "overlays" / "cluster" / "kustomization.yaml"
    text = file.read_text("utf-8")
    assert "# - ../../components/database-roles #" in text
    file.write_text(
        text.replace("# - ../../components/database-roles #", "- ../../components/database-roles #"), "utf-8"
    )

    keys = {}
    for document in rendered("cluster", place):
        check(document)
        if document["kind"] in WORKLOADS:
            container = next(containers(document))
            variables = {
                each["name"]: each["valueFrom"]["secretKeyRef"]["key"]
                for each in container["env"]
                if "secret" in str(each)
            }
            keys[" ".join(container["args"])] = variables["FLIQ_DATABASE_URL"]
    services = {role: f"url-{role}" for role in ("api", "scheduler", "dispatcher", "webhooks")}
    assert keys == {"migrate --roles": "url", **services}
