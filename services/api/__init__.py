"""
API: takes requests, writes them to the log, and answers reads from the tables.

Reads:   the tables (jobs, executions, schedules, tokens, usage) after a read-index wait; the log, for a job's timeline
Writes:  the facts that callers ask for: job.scheduled, job.cancel_requested, job.stop_requested, schedule.created and its changes;
         idempotency reservations, tokens and signing secrets in the tables
Holds:   a few seconds of token look-ups; nothing else that a restart would lose
Never:   decides what becomes of a job; answers 201 before the fact is durable; answers 204 to a cancel that is not decided
"""
