"""
Write the generated pages of docs/ and of deploy/, and the generated modules of the client: `python -m scripts.docs`.

A page is a function that returns its text; of docs/api.md only the tables between markers are generated. tests/architecture
compares each page with its file and fails if the file is stale.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from libs.runtime.settings import settings as config
from libs.runtime.telemetry import metric_table
from scripts import api_page, client_modules, dashboards, event_page, helm_chart, lifecycle_page, prometheus_rule

ROOT = Path(__file__).resolve().parents[1]

PAGES: dict[str, Callable[[], str]] = {
    "docs/api.md": api_page.page,
    "docs/retries.md": partial(api_page.page, api_page.RETRIES),
    "docs/settings.md": config.page,
    "docs/metrics.md": metric_table.page,
    "docs/events.md": event_page.page,
    "docs/job-lifecycle.md": lifecycle_page.page,
    **{f"deploy/grafana/dashboards/{uid}.json": partial(dashboards.page, uid) for uid in dashboards.DASHBOARDS},
    "deploy/k8s/components/monitoring/prometheusrule.yaml": prometheus_rule.page,
    **helm_chart.pages(),
    f"{client_modules.FOLDER}/error_codes.py": client_modules.error_codes,
    f"{client_modules.FOLDER}/models.py": client_modules.models,
    f"{client_modules.FOLDER}/request_fields.py": client_modules.request_fields,
}


def write_all(root: Path = ROOT) -> list[str]:
    """Write every page that differs; return their names."""
    changed: list[str] = []
    for name, page in PAGES.items():
        file = root / name
        text = page()
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed


if __name__ == "__main__":
    for written in write_all():
        print(written)  # noqa: T201 - a command's output
