"""What the image is made of is listed, compared with known advisories, and deployed by digest."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from scripts import advisories, pin_image, sbom
from scripts.locks import CHECKOUT, ROOT, RUNTIME, packages
from services import VERSION
from tests.deploy.manifests import OVERLAYS, PLACE, WORKLOADS, containers, kind, rendered, renderer

DIGEST = "sha256:" + "5" * 64
PUSHED = {"containerimage.digest": DIGEST, "image.name": f"registry.example:5000/team/fliq:{VERSION}"}
PINNED = f"registry.example:5000/team/fliq@{DIGEST}"


def test_the_bill_has_every_package_of_the_lock(tmp_path: Path) -> None:
    """Name, version and hashes of each, as they stand in the lock; the same lock gives the same bytes."""
    for name in ("one.json", "two.json"):
        assert sbom.main([str(tmp_path / name)]) == 0
    bill = json.loads((tmp_path / "one.json").read_text())

    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    text = RUNTIME.read_text()
    assert len(bill["components"]) == len(re.findall(r"(?m)^[a-z]\S*==", text))
    assert sum(len(each["hashes"]) for each in bill["components"]) == text.count("--hash=")
    for each in bill["components"]:
        assert f"\n{each['name']}=={each['version']} " in f"\n{text}"
        assert each["purl"] == each["bom-ref"] == f"pkg:pypi/{each['name']}@{each['version']}"
    [own] = bill["dependencies"]
    assert own["ref"] == bill["metadata"]["component"]["bom-ref"] == f"pkg:generic/fliq@{VERSION}"
    assert own["dependsOn"] == [each["bom-ref"] for each in bill["components"]]


def test_the_bill_names_no_registry(tmp_path: Path) -> None:
    """It holds no address: where packages come from is the business of the one who installs them."""
    sbom.main([str(tmp_path / "bill.json")])

    assert re.findall(r"https?://|[\w-]+\.(?:org|com|io|net)\b", (tmp_path / "bill.json").read_text()) == []


def test_no_package_of_the_locks_is_affected(capsys: pytest.CaptureFixture[str]) -> None:
    """And the check says what it compared, and of which day its list is."""
    assert advisories.main() == 0
    assert re.search(
        r"checked requirements-runtime\.lock and requirements\.lock against the \d+ advisories known on 20\d\d-\d\d-\d\d"
        r": 0 affected; later advisories are not in the list",
        capsys.readouterr().out,
    )


def test_an_affected_package_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each advisory of the list is about a package of a lock, and finds a version that it is about."""
    lock = tmp_path / "requirements.lock"
    lock.write_text("h11==0.14.0 \\\n    --hash=sha256:" + "a" * 64 + "\nidna==3.20 \\\n    --hash=sha256:" + "b" * 64)

    assert advisories.main(locks=(lock,)) == advisories.FOUND
    assert "requirements.lock: h11 0.14.0: CVE-2025-43859" in capsys.readouterr().out
    known = advisories.tomllib.loads(advisories.LIST.read_text())["advisory"]
    assert {each["package"] for each in known} <= {each.name for each in packages(CHECKOUT)}


@pytest.mark.parametrize("text", [None, "", "as_of = 2026-01-01", "advisory = [", '[[advisory]]\nid = "x"'])
def test_a_check_that_cannot_run_says_so(text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a readable list nothing was checked, and that is not the same as nothing being found."""
    file = tmp_path / "advisories.toml"
    if text is not None:
        file.write_text(text)

    assert advisories.main(file) == advisories.NOT_RUN
    assert "NOT RUN, nothing was checked" in capsys.readouterr().err


def test_the_overlays_use_the_image_that_was_pushed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By name and digest, in every container as kustomize renders it; a second push replaces the first."""
    metadata, place = tmp_path / "image.json", tmp_path / "k8s"
    shutil.copytree(PLACE, place)
    for digest in ("sha256:" + "4" * 64, DIGEST):
        metadata.write_text(json.dumps(PUSHED | {"containerimage.digest": digest}))
        assert pin_image.main([str(metadata), str(place / "overlays")]) == 0

    assert capsys.readouterr().out.splitlines()[-1] == f"FLIQ_IMAGE={PINNED}"
    for overlay in OVERLAYS:
        text = (place / "overlays" / overlay / "kustomization.yaml").read_text()
        before = (PLACE / "overlays" / overlay / "kustomization.yaml").read_text()
        assert f"digest: {DIGEST}\n" in text
        assert "newTag" not in text
        assert text.partition("images:")[0] == before.partition("images:")[0]
        if renderer() is not None:
            workloads = kind(rendered(overlay, place), *WORKLOADS)
            assert {container["image"] for each in workloads for container in containers(each)} == {PINNED}


@pytest.mark.parametrize(
    "said", [{}, PUSHED | {"containerimage.digest": "sha256:5"}, {"containerimage.digest": DIGEST}, "no JSON"]
)
def test_an_image_without_a_digest_is_pinned_nowhere(
    said: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A build that was not pushed has none: one line says so, and the overlays stay as they are."""
    metadata = tmp_path / "image.json"
    metadata.write_text(said if isinstance(said, str) else json.dumps(said))
    shutil.copytree(PLACE / "overlays", tmp_path / "overlays")

    assert pin_image.main([str(metadata), str(tmp_path / "overlays")]) == 1
    assert capsys.readouterr().err.startswith("fliq: nothing is pinned: ")
    for overlay in OVERLAYS:
        file = f"overlays/{overlay}/kustomization.yaml"
        assert (tmp_path / file).read_text() == (PLACE / file).read_text()


def test_the_makefile_records_the_digest() -> None:
    """`make image` pushes, keeps what the build says of the image, and pins the overlays to it."""
    recipe = (ROOT / "Makefile").read_text().partition("\nimage:")[2].partition("\n\n")[0]

    assert "--push" in recipe
    assert "--metadata-file build/image.json" in recipe
    assert "scripts.pin_image build/image.json" in recipe
