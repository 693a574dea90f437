-- expand
-- Jobs at their end whose webhook has no outcome yet: what the webhooks service has to do, oldest first. A job without a webhook never
-- enters this index.

CREATE INDEX jobs_webhook ON jobs (part, account, completed_at, job_id)
    WHERE has_webhook AND webhook_at IS NULL AND status IN (4, 5, 6);
