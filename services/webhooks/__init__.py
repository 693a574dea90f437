"""
Webhooks: tells callers how their jobs ended; makes the jobs that tell the endpoints of accounts (fan_out).

Reads:   fliq.log, the partitions it holds (ends and retries of jobs, ticks, what became of webhooks, claims); pending webhooks,
         deliveries that are due, specs, schedules and endpoints from the tables; signing secrets
Writes:  webhook.finished, webhook.attempted; one POST per terminal job with a webhook_url, and more if it has a webhook_retry;
         job.scheduled for endpoints, and how far that is done
Holds:   the POSTs under way and those that wait for a slot; nothing that cannot be found again in log and tables
Never:   gives a POST up that it has not made; makes a try before its instant; changes a job
"""
