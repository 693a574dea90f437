"""
Dispatcher: turns due events into HTTP calls, and calls into outcomes.

Reads:   fliq.log, the partitions it holds (attempt.due, ends of stopped jobs, claims); specs and running jobs from the tables;
         signing secrets, data keys
Writes:  attempt.finished, with what is kept of the answer; the HTTP calls themselves; the health of webhook endpoints
Holds:   the attempts under way, until their outcome is in the log; nothing that cannot be found again in log and tables
Never:   calls before an instant or without an admitted due event; starts an attempt twice in one run; decides about a job
"""
