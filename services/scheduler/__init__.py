"""
Scheduler: turns the passing of time into decisions.

Reads:   fliq.log, the partitions it owns; jobs and schedules that are due soon
Writes:  attempt.due, job.retry_scheduled, job.cancelled, job.finished, schedule.ticked; the tables
Holds:   one decider per owned partition: the states needed soon and a timer wheel, rebuilt from tables and log at take-over
Never:   makes HTTP calls; never decides before it has read back its own claim
"""
