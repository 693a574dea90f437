"""
Pin image: has the Kubernetes overlays use an image by its digest: `python -m scripts.pin_image METADATA [OVERLAYS]`.

A tag can be moved to another image; a digest cannot. It is known only after the image is pushed, so the build records it:
`make image IMAGE=registry.example/fliq` pushes the image, keeps BuildKit's metadata in build/image.json, and calls this. The entry
`images` of each overlay then has `digest` in the place of `newTag`. For compose, the last line is a variable for deploy/.env.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Final

from scripts.locks import ROOT

OVERLAYS: Final = ROOT / "deploy" / "k8s" / "overlays"
_ENTRY: Final = re.compile(r"(?m)^  - name: fliq\n    newName: \S+(?P<remark>.*)\n    (?:newTag|digest): .*$")


def image_of(metadata: Path) -> tuple[str, str]:
    """Return name and digest of the image that a build pushed; raises ValueError if its *metadata* does not say them."""
    said = json.loads(metadata.read_text(encoding="utf-8"))
    name, digest = str(said.get("image.name", "")).split(",")[0], str(said.get("containerimage.digest", ""))
    before, slash, last = name.rpartition("/")
    if re.fullmatch(r"sha256:[0-9a-f]{64}", digest) is None or not last:
        raise ValueError(f"{metadata} names no image with a digest: was it pushed?")
    return before + slash + last.partition(":")[0], digest


def pin(kustomization: Path, name: str, digest: str) -> None:
    """Write *name* and *digest* into the entry `images`; raises ValueError if *kustomization* has none of fliq."""
    text, count = _ENTRY.subn(
        lambda entry: f"  - name: fliq\n    newName: {name}{entry['remark']}\n    digest: {digest}",
        kustomization.read_text(encoding="utf-8"),
    )
    if count != 1:
        raise ValueError(f"{kustomization} has no entry `images` of fliq")
    kustomization.write_text(text, encoding="utf-8")


def main(words: list[str]) -> int:
    """Pin; returns the exit code."""
    try:
        name, digest = image_of(Path(words[0]))
        for file in sorted((Path(words[1]) if len(words) > 1 else OVERLAYS).glob("*/kustomization.yaml")):
            pin(file, name, digest)
            sys.stdout.write(f"fliq: {file.parent.name} uses {name}@{digest}\n")
    except (OSError, ValueError, IndexError) as error:
        sys.stderr.write(f"fliq: nothing is pinned: {error}\n")
        return 1
    sys.stdout.write(f"FLIQ_IMAGE={name}@{digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
