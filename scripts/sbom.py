"""
SBOM: the software bill of materials of the image's packages, in CycloneDX 1.6: `python -m scripts.sbom [FILE]`, or `make sbom`.

Made from requirements-runtime.lock alone, which is all that the image installs: the same lock gives the same bytes.
The hashes of a component are those of all its files that the lock allows, of which a platform installs one. What the base image
brings along is not in the lock and not in here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from scripts.locks import ROOT, RUNTIME, Package, packages
from services import VERSION

FILE: Final = ROOT / "build" / f"fliq-{VERSION}.cdx.json"


def document(found: list[Package]) -> dict[str, Any]:
    """Return the CycloneDX document of Fliq with the packages *found*."""
    own = f"pkg:generic/fliq@{VERSION}"
    components = [
        {
            "type": "library",
            "bom-ref": _purl(each),
            "name": each.name,
            "version": each.version,
            "purl": _purl(each),
            "hashes": [{"alg": "SHA-256", "content": content} for content in each.hashes],
        }
        for each in found
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, json.dumps([own, components]))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "fliq",
                "version": VERSION,
                "purl": own,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [_purl(each) for each in found]}],
    }


def _purl(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def main(words: list[str]) -> int:
    """Write the document; returns the exit code."""
    file = Path(words[0]) if words else FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    found = packages(RUNTIME)
    file.write_text(json.dumps(document(found), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"fliq: {len(found)} packages of {RUNTIME.name} in {file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
