-- expand
-- Which ended jobs are forgotten (libs/domain/history/floors.py), and what the janitor needs to find their rows.

CREATE TABLE history (
    part             int4 PRIMARY KEY,
    through          int8 NOT NULL,
    success_before   int8 NOT NULL,
    failed_before    int8 NOT NULL,
    heartbeat_before int8 NOT NULL
) WITH (fillfactor = 50);

-- The oldest ends of each kind; a job enters it once, at its end.
CREATE INDEX jobs_ended ON jobs (part, status, completed_at) WHERE status IN (4, 5, 6);
-- Whether another job has the spec of one that is forgotten. Most jobs have a spec of their own, and never enter it.
CREATE INDEX jobs_shared_spec ON jobs (shared_spec_id) WHERE shared_spec_id IS NOT NULL;
CREATE INDEX schedules_changed_spec ON schedules (changed_spec_id) WHERE changed_spec_id IS NOT NULL;
