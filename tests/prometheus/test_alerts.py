"""Rules and alerts, by promtool: every alert fires when it should and alone, stays quiet when it need not, and clears."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.runtime.telemetry.metric_table import TABLE
from tests.prometheus.cases import CASES, GOOD, HEALTHY, STEP_S, Case
from tests.prometheus.source import Binaries

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((FOLDER / "fliq.rules.yaml").read_text())
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "fliq.alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
}
FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'


class Series:
    """One series, written in stretches; counters go on from where they were."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = 0.0
        self.steps = 0
        self.values: list[str] = []

    def go(self, way: str, steps: int) -> None:
        """Go on for *steps* values."""
        if way == "beats" or way == "stands":
            if way == "beats":
                self.at = self.steps * STEP_S
                self.values.append(f"{self.at:g}+{STEP_S}x{steps - 1}")
                self.at += STEP_S * (steps - 1)
            else:
                self.values.append(f"{self.at:g}x{steps - 1}")
        elif way == "_":
            self.values.append(f"_x{steps}")
        elif way.startswith("+"):
            rise = float(way)
            self.values.append(f"{self.at + rise:g}+{rise:g}x{steps - 1}")
            self.at += rise * steps
        else:
            self.values.append(f"{way}x{steps - 1}")
        self.steps += steps


def world(case: Case, change: dict[str, str]) -> list[dict[str, str]]:
    """Return the input series of a case: calm, *change*, calm."""
    written = []
    for name in {**HEALTHY, **change}:
        healthy = HEALTHY.get(name, "_")
        series = Series(name)
        series.go(healthy, GOOD)
        series.go(change.get(name, healthy), case.bad_steps)
        series.go(healthy, case.after_steps)
        written.append({"series": name, "values": " ".join(series.values)})
    return written


def firing(at_s: int, *alerts: str) -> dict[str, Any]:
    """Return promtool's question which alerts fire, and the answer expected."""
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts]
    return {"expr": FIRING, "eval_time": f"{at_s}s", "exp_samples": samples}


def questions_of(case: Case) -> list[dict[str, Any]]:
    wrong_s = GOOD * STEP_S
    well_s = (GOOD + case.bad_steps) * STEP_S
    found = [
        {
            "name": f"{case.alert} fires alone and clears",
            "interval": f"{STEP_S}s",
            "input_series": world(case, case.bad),
            "promql_expr_test": [
                firing(wrong_s - STEP_S),
                firing(well_s - STEP_S, case.alert),
                firing(well_s + case.calm_s),
                firing(well_s + (case.after_steps - 1) * STEP_S),
            ],
        }
    ]
    if case.slight:
        found.append(
            {
                "name": f"{case.alert} does not fire for little",
                "interval": f"{STEP_S}s",
                "input_series": world(case, case.slight),
                "promql_expr_test": [firing(well_s - STEP_S), firing(well_s + case.calm_s)],
            }
        )
    return found


@pytest.mark.parametrize("part", range(4))
def test_alerts_fire_alone_and_clear(part: int, promtool: Binaries, tmp_path: Path) -> None:
    """Each alert in its own bad time: that one and no other; none before, none after; none for something slight."""
    file = tmp_path / "tests.yaml"
    cases = CASES[part::4]
    document = {
        "rule_files": [str(FOLDER / "fliq.rules.yaml"), str(FOLDER / "fliq.alerts.yaml")],
        "evaluation_interval": f"{STEP_S}s",
        "tests": [test for case in cases for test in questions_of(case)],
    }
    file.write_text(yaml.safe_dump(document, sort_keys=False, width=10_000))
    done = subprocess.run([promtool.promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]


def test_the_files_are_well_formed(promtool: Binaries) -> None:
    """Promtool takes the configuration with its rules and alerts."""
    for arguments in (
        ["check", "rules", *map(str, FOLDER.glob("fliq.*.yaml"))],
        *(["check", "config", "--syntax-only", str(file)] for file in sorted(FOLDER.glob("prometheus*.yaml"))),
    ):
        done = subprocess.run([promtool.promtool, *arguments], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_case() -> None:
    """None is left untested."""
    assert {case.alert for case in CASES} == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do(name: str) -> None:
    """Severity, summary, description, and a section of the runbook that is named after it."""
    rule = ALERTS[name]
    assert re.fullmatch(r"Fliq[A-Z][A-Za-z]+", name)
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor == name.lower()
    assert re.search(rf"^### {name}$", (ROOT / page).read_text(), re.MULTILINE), f"{page} has no section {name}"


def test_rules_are_named_by_level_metric_and_operation() -> None:
    """`level:metric:operation`, as Prometheus' practices ask."""
    names = [rule["record"] for group in RULES["groups"] for rule in group["rules"]]
    assert [name for name in names if not re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", name)] == []


def test_rules_speak_of_metrics_that_exist() -> None:
    """Every fliq_… that a rule names is in the table, and every level:…:… is recorded."""
    text = (FOLDER / "fliq.rules.yaml").read_text() + (FOLDER / "fliq.alerts.yaml").read_text()
    expressions = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", "- record:")))
    known = {row.name for row in TABLE}
    histograms = {f"{row.name}_{end}" for row in TABLE if row.kind == "histogram" for end in ("bucket", "count", "sum")}
    used = set(re.findall(r"(?<![:\w])fliq_[a-z_]+(?![:\w])", expressions))
    assert used - known - histograms == set()
    recorded = {rule["record"] for group in RULES["groups"] for rule in group["rules"]}
    assert set(re.findall(r"\b[a-z_]+:[a-z_]+:[a-z0-9_]+\b", expressions)) - recorded == set()
