"""
Webhooks: tells a job's caller, once, that the job reached its end.

Reads:   fliq.log, the partitions it holds (job.finished, job.cancelled and claims only); pending webhooks and specs from
         the tables; signing secrets
Writes:  webhook.finished; one POST per terminal job with a webhook_url
Holds:   the POSTs under way and those that wait for a slot; nothing that cannot be found again in log and tables
Never:   gives a POST up that it has not made; retries; changes a job
"""
