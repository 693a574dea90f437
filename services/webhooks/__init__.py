"""
Webhooks: tells a job's caller, once, that the job reached its end.

Reads:   fliq.log, the partitions it holds (job.finished, job.cancelled and claims only); specs from the tables; signing secrets
Writes:  webhook.finished; one POST per terminal job with a webhook_url; its position in role_lease, each second
Holds:   the POSTs under way and those that wait for a slot
Never:   retries; changes a job; moves its position past a POST whose outcome is not in the log
"""
