-- expand
-- A page of a schedule's jobs in some statuses costs one short scan per status, as one of all jobs does: the few that failed of half a
-- million are found at once.

DROP INDEX jobs_schedule;
CREATE INDEX jobs_schedule ON jobs (schedule_id, status, job_id DESC) WHERE schedule_id IS NOT NULL;
