"""
Webhooks: tells a job's caller, once, that the job reached its end; makes the jobs that tell the account's endpoints (fan_out).

Reads:   fliq.log, the partitions it holds (job.finished, job.cancelled, job.retry_scheduled and claims only); pending webhooks,
         specs and endpoints from the tables; signing secrets
Writes:  webhook.finished; one POST per terminal job with a webhook_url; job.scheduled for endpoints, and how far that is done
Holds:   the POSTs under way and those that wait for a slot; nothing that cannot be found again in log and tables
Never:   gives a POST up that it has not made; retries; changes a job
"""
