"""
What a job's retry policy says, written a second time and from the documentation alone: seconds, no states, no events.

`life` plays a target's answers and returns when the calls leave and why the job ends. Each call takes a second. Jitter is the
middle of its window.
"""

from __future__ import annotations

from typing import Any

MIDDLE = {"none": 1.0, "full": 0.5, "equal": 0.75, "proportional": 1.0}


def life(asked: dict[str, Any], answers: list[dict[str, Any]], base: float = 30.0) -> tuple[list[float], str]:
    """Return the instants of the calls, counted from the job's own, and the reason for its end."""
    retry, budget = asked.get("retry"), asked.get("max_retries", 0)
    rules = retry or {}
    at, calls, failures, free, snoozes = 0.0, [], 0, 0, 0
    while True:
        bounds = {"expired": asked.get("expires_in_seconds"), "max_elapsed": None}
        if calls and "max_elapsed_seconds" in rules:
            bounds["max_elapsed"] = calls[0] + rules["max_elapsed_seconds"] + 0.001
        broken = {why: end for why, end in bounds.items() if end is not None and at >= end}
        if broken:
            known = {why: end for why, end in bounds.items() if end is not None}
            return calls, min(known, key=lambda why: (known[why], why != "expired"))
        calls.append(at)
        answer = answers[min(len(calls), len(answers)) - 1]
        status, wait, now = answer.get("status"), answer.get("retry_after"), at + 1
        word = str(status) if status else answer["error"]
        good = asked.get("success_on", ["2xx"])
        is_good = status is not None and (word in good or f"{word[0]}xx" in good)
        if status and answer.get("stop") and not is_good:
            return calls, "stopped_by_target"
        if status and "snooze" in answer and not answer.get("stop"):
            snoozes += 1
            if snoozes <= 100:
                at = now + answer["snooze"]
                continue
            is_good = False
            wait = None
        elif is_good:
            return calls, "success"
        elif retry is not None:
            listed = rules.get("retry_on")
            if word == "410" and word not in (listed or []):
                return calls, "stopped_by_target"
            names = (
                {word, f"{word[0]}xx"}
                if status
                else {"timeout": {word}, "dns": {word, "network"}}.get(word, {"network"})
            )
            if listed is not None and not names & set(listed):
                return calls, "not_retryable"
        after = {"honour": True, "max_seconds": 3600, "free": True} | rules.get("retry_after", {})
        if word not in ("429", "503") or not after["honour"]:
            wait = None
        if wait is not None and retry is not None and after["free"] and free < 1000:
            free += 1
        else:
            failures += 1
            if failures > budget:
                return calls, "exhausted"
        step, n = rules.get("delay_seconds", base), max(failures, 1)
        kinds = {"fixed": step, "linear": step * n, "exponential": step * rules.get("factor", 2) ** (n - 1)}
        longest = rules.get("max_delay_seconds", 3600)
        listed_delays = rules.get("delays_seconds", [0])
        kinds["list"] = listed_delays[min(n, len(listed_delays)) - 1]
        jitter, backoff = rules.get("jitter", "proportional"), min(kinds[rules.get("backoff", "exponential")], longest)
        delay = backoff * MIDDLE[jitter]
        if jitter == "proportional":
            delay = (backoff * 0.75 + min(backoff * 1.25, longest)) / 2
        if wait is not None:
            delay = min(wait, 3600) if retry is None else max(min(wait, after["max_seconds"]), delay)
        at = now + delay
