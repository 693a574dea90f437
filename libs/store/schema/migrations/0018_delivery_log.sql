-- expand
-- Jobs that tell webhook endpoints have endpoints as their accounts; no other job enters these indexes.

-- What was told of a job.
CREATE INDEX jobs_told ON jobs (idempotency_key) WHERE left(account, 4) = 'whe_' AND idempotency_key IS NOT NULL;
-- Redeliveries of a delivery.
CREATE INDEX jobs_again ON jobs (replay_of) WHERE left(account, 4) = 'whe_' AND replay_of IS NOT NULL;
