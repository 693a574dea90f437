"""
Nothing is forgotten: every case of the attack tables has a test that names it, every sentence of the contract one that shows it.

A case is named by a test's docstring (`P9`, `U1 to U44`) or by the id of one of its parameters (`H7`, `V3-nul`).
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# How many cases each table of attacks has: U addresses, R addresses that change afterwards, H headers and methods, B bodies,
# P protocol, A tokens, T other accounts, V what targets answer, C callers at once.
TABLES = {"U": 45, "R": 9, "H": 18, "B": 18, "P": 9, "A": 9, "T": 6, "V": 9, "C": 5}
REPORTED = 23  # inputs that other schedulers' users reported, and on which Fliq failed once
# Table X is not counted: X1 is tested for logs, metrics and answers (test_attack_secrets.py), X2 to X4 are about encryption
# at rest, which is not built.
OUT_OF_SCOPE: dict[str, str] = {}  # case -> why it has no test
# What the contract says -> the test that shows it. Quotations may be shortened, never changed. Without a test are: that requests
# are over HTTPS (TLS ends in front of Fliq), the host of the base URL (the operator's), the advice about client-side code, and the
# page that generates tokens (there is none; POST /v1/tokens does it).
SHOWN = {
    "Pass your API token in the Authorization header as a Bearer token": "contract/test_auth.py::test_malformed",
    "Request and response bodies are JSON": "contract/test_sentences.py::test_every_answer_is_json",
    "Create a job POST /v1/jobs": "contract/test_sentences.py::test_every_documented_field_is_taken",
    'optional — default "POST"': "contract/test_sentences.py::test_only_what_is_required_is_required",
    "required — ISO 8601 UTC": "contract/attacks/test_attack_requests.py::test_instants",
    "Response — 201 Created": "contract/test_jobs.py::test_created",
    "Returns the job object with current status and execution count": "contract/test_sentences.py::test_a_life",
    "current status": "contract/test_sentences.py::test_what_a_target_was_told_is_current",
    "status — filter by scheduled|success|failed|cancelled": "contract/lists/test_lists.py::test_status_filter",
    "limit — max results per page (default 20, max 100)": "contract/lists/test_lists.py::test_default_limit",
    "cursor — pagination cursor from previous response": "contract/lists/test_lists.py::test_pages",
    "Cancels a job that has not yet fired": "contract/test_jobs.py::test_cancel",
    "Returns 404 if the job doesn't exist": "contract/test_jobs.py::test_missing",
    "or 409 if it has already executed": "contract/test_sentences.py::test_a_life",
    "Create a schedule POST /v1/schedules": "contract/test_schedules.py::test_created",
    "5-part cron expression (UTC)": "contract/attacks/test_attack_requests.py::test_crons",
    "inherited by spawned jobs": "contract/test_schedules.py::test_spawned_jobs",
    "List schedules": "contract/test_schedules.py::test_get_and_list",
    "Stops all future executions immediately": "contract/attacks/test_attack_replicas.py::test_case_14_deletes_race_with_ticks",
    "Already-queued executions for the current interval may still fire": (
        "contract/attacks/test_attack_replicas.py::test_case_14_deletes_race_with_ticks"
    ),
    "Fliq POSTs a JSON payload to that URL when the job reaches a terminal state": (
        "contract/test_sentences.py::test_webhook_payload"
    ),
    "a webhook failure does not change the job's status": (
        "e2e/test_webhooks.py::test_a_webhook_that_fails_changes_nothing"
    ),
    "Webhook calls have a 10-second timeout": (
        "simulation/webhooks/test_webhooks.py::test_the_end_of_a_job_is_told_once_and_recorded"
    ),
    "Webhook calls do not consume credits": "contract/test_sentences.py::test_daily_limit",
    "Custom headers can be set via webhook_headers": "contract/test_sentences.py::test_webhook_payload",
    "every spawned job gets the same webhook config": "contract/test_schedules.py::test_spawned_jobs",
    "List executions for a job": "contract/test_sentences.py::test_a_life",
    "All error responses follow the same shape": "contract/test_sentences.py::test_errors_have_one_shape",
    "409 — conflict": "contract/test_sentences.py::test_running_until_its_end",
    "429 — daily execution limit reached": "contract/test_sentences.py::test_daily_limit",
    "500 — something went wrong on our end": "contract/outages/test_failures.py::test_a_defect_is_500",
    # Part 2
    "running (from the first fired attempt until terminal, retry waits included)": (
        "contract/test_sentences.py::test_running_until_its_end"
    ),
    "200–299. Everything else (3xx too: redirects are not followed) are failures": (
        "contract/test_sentences.py::test_only_2xx_is_success"
    ),
    "GET adds execution_count, headers, body, …": "contract/test_jobs.py::test_get_has_the_documented_fields",
    "List items are the same object without headers, body, webhook_headers": (
        "contract/test_jobs.py::test_list_shows_what_was_just_made"
    ),
    "one row per attempt that was admitted, also when its outcome is unknown": (
        "contract/test_attempts.py::test_executions"
    ),
    "stable while rows arrive: no gaps, no duplicates": "contract/lists/test_lists.py::test_stable_while_jobs_arrive",
    "limit outside 1–100 or not a number, an unknown status, a bad cursor: 400": (
        "contract/lists/test_lists.py::test_bad_parameters"
    ),
    "204 means that the job never fires": "contract/attacks/test_attack_replicas.py::test_a_thousand_cancels_race_with_firing",
    "Once the first attempt is admitted as due it is 409 for good": (
        "contract/test_jobs.py::test_cancel_after_the_first_attempt"
    ),
    "Cancelling a cancelled job: 204": "contract/test_jobs.py::test_cancel",
    "GET, DELETE and list straight after a 201 see the job": (
        "contract/attacks/test_attack_replicas.py::test_read_your_writes_on_the_other_process"
    ),
    "Same key and same request: 201 with the first job's body and Idempotent-Replayed: true": (
        "contract/test_idempotency.py::test_repeat"
    ),
    "or the Idempotency-Key header": "contract/test_idempotency.py::test_header",
    "Same key, other request: 409 idempotency_key_reused": "contract/test_idempotency.py::test_other_request",
    "Holds for concurrent posts on different replicas": (
        "contract/attacks/test_attack_replicas.py::test_one_key_on_two_processes"
    ),
    "normalised to UTC Z; millisecond precision, shown only where not zero": (
        "contract/test_sentences.py::test_instants_are_utc"
    ),
    "Not later than now + 10 years": "contract/test_sentences.py::test_instants_are_utc",
    "Five fields, Vixie semantics": "property/test_cron_differential.py::",
    "Never fires within 5 years: 400 invalid_cron": "contract/attacks/test_attack_requests.py::test_crons",
    "After an outage a schedule fires its latest missed tick once": (
        "e2e/test_schedules.py::test_after_an_outage_only_the_latest_missed_tick_fires"
    ),
    "max_retries integer 0–20 gives at most max_retries + 1 attempts": (
        "simulation/scheduler/test_scheduler_service.py::test_a_failed_job_is_retried_until_its_tries_are_used_up"
    ),
    "Delay 30 s × 2^(n−1), ±25 % jitter, cap 1 h": "unit/domain/test_retry_policy.py::test_delay_doubles_up_to_an_hour",
    "Retry-After on 429 and 503 is honoured up to 1 h": "contract/attacks/test_attack_targets.py::test_cases_8_and_9_retry_after",
    "30 s in all (timeout_seconds 1–3600 may be given)": "unit/api/test_requests.py::test_timeout",
    "One POST per terminal job": "e2e/test_webhooks.py::test_a_job_that_ends_reports_it_once",
    "Accepted jobs are never failed because of it": "e2e/test_limits.py::test_over_its_day_an_account_waits",
    "fliq_sk_ + 30 random base62 characters + 6": "contract/test_sentences.py::test_tokens_have_a_checksum",
    "A wrong checksum is 401 without a database read": "contract/test_auth.py::test_malformed",
    "Only a keyed hash is stored": "unit/api/test_tokens.py::",
    "wrong scope is 403": "contract/test_auth.py::test_scopes",
    "another account's id is 404, like a missing one": (
        "contract/attacks/test_attack_replicas.py::test_two_accounts_share_nothing_but_the_house"
    ),
    "the secret is shown once": "contract/test_auth.py::test_token_life",
    "Revocation holds on every replica within 5 s": (
        "contract/attacks/test_attack_replicas.py::test_revocation_holds_everywhere_within_five_seconds"
    ),
    "pause and /resume": "contract/test_schedules.py::test_pause_and_resume",
    "GET /v1/schedules/{id}/jobs": "contract/test_schedules.py::test_spawned_jobs",
    "POST /v1/jobs/{id}/replay (clones a failed job, replay_of)": "contract/test_sentences.py::test_replay",
    "GET /v1/jobs/{id}/events (its timeline from the log)": "e2e/test_timeline.py::test_the_timeline_tells_a_life",
    "POST /v1/jobs/batch": "contract/test_sentences.py::test_batch",
    "each item accepted or refused on its own": "contract/test_idempotency.py::test_batch",
    "GET /v1/openapi.json": "contract/test_auth.py::test_openapi_needs_no_token",
    "the last three on an admin port of their own": "contract/test_sentences.py::test_ports",
    "Every outgoing call carries X-Fliq-Timestamp, X-Fliq-Signature, and the three Standard Webhooks headers": (
        "contract/test_sentences.py::test_headers_to_targets"
    ),
    "old and new both sign for 24 h": "contract/test_sentences.py::test_rotation",
    "X-Fliq-Schedule-Id (spawned jobs)": "e2e/test_schedules.py::test_a_tick_fires_at_its_instant",
    "Idempotency-Key: <execution id> unless the job sets its own": (
        "contract/test_sentences.py::test_headers_to_targets"
    ),
    "The caller cannot set X-Fliq-*, webhook-* or hop-by-hop headers": "contract/attacks/test_attack_requests.py::test_headers",
    # The table of settings
    "Settings that every start honours": (
        "unit/runtime/test_settings.py::test_without_any_variable_every_default_of_the_contract_holds"
    ),
    "FLIQ_BOOTSTRAP_TOKENS": "e2e/process/test_first_start.py::test_from_the_first_start_to_the_second",
    "FLIQ_EGRESS_ALLOW": "contract/attacks/test_attack_targets.py::test_a_target_that_is_denied_when_it_fires",
    "FLIQ_RETRY_BASE_SECONDS": "e2e/test_retries.py::test_a_failing_target_is_tried_again_with_back_off",
    "FLIQ_KAFKA_BOOTSTRAP": "unit/runtime/test_settings.py::test_kafka_changes_the_number_of_partitions",
    "FLIQ_DAILY_EXECUTION_LIMIT": "contract/test_sentences.py::test_daily_limit",
    "FLIQ_LOG_LEVEL, FLIQ_LOG_FORMAT": "unit/runtime/test_logging.py::test_below_the_level_nothing_is_written",
}
_ONE_OR_MORE = re.compile(r"\b([A-Z])(\d{1,2})\b(?:(?: to |–)(?:\1)?(\d{1,2})\b)?")


@cache
def named_cases() -> set[str]:
    """Return the cases that a test's docstring or a parameter's id names."""
    named: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        if path == Path(__file__).resolve():
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                named |= _cases(ast.get_docstring(node) or "")
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"[A-Z]\d", node.value):
                named |= _cases(re.split(r"[ -]", node.value)[0])
    return named


def _cases(text: str) -> set[str]:
    return {
        f"{found[1]}{number}"
        for found in _ONE_OR_MORE.finditer(text)
        for number in range(int(found[2]), int(found[3] or found[2]) + 1)
    }


@pytest.mark.parametrize("table", TABLES)
def test_every_case_has_a_test(table: str) -> None:
    """No row of the attack tables is without a test that names it."""
    missing = {f"{table}{number}" for number in range(1, TABLES[table] + 1)} - named_cases() - set(OUT_OF_SCOPE)
    assert missing == set()


def test_every_reported_case_is_in_a_name() -> None:
    """The small inputs on which Fliq once failed: each number stands in the name of a test, or in the id of one of its rows."""
    text = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    numbers = re.findall(r"def test_\w*?cases?_(\d+(?:_(?:and_)?\d+)*)|\(\"case (\d+): ", text)
    named = {int(number) for found in numbers for number in re.findall(r"\d+", "".join(found))}

    assert named == set(range(1, REPORTED + 1))


@pytest.mark.parametrize("place", sorted(set(SHOWN.values())))
def test_what_shows_a_sentence_exists(place: str) -> None:
    """A test that was renamed or lost takes its sentence along, unless somebody says where it went."""
    path, _, name = place.partition("::")
    tree = ast.parse((TESTS / path).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in names or (not name and any(each.startswith("test_") for each in names))
