-- expand
-- The labels of jobs, by which lists find them. Written once, at the job's creation, and deleted with the job. A scan backwards gives
-- the newest first. What a row says stands in the job's own row, too: the janitor that deletes a job reads there which rows to delete.

CREATE TABLE labels (
    account text NOT NULL,
    key     text NOT NULL,
    value   text NOT NULL,
    job_id  uuid NOT NULL,
    part    int4 NOT NULL,
    PRIMARY KEY (account, key, value, job_id)
);
