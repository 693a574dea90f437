-- expand
-- What was kept of the answers of targets (libs/domain/responses): written once, deleted with the job or by its own age.
-- The column `data` holds JSON, sealed under the data key `key` if there is one.

CREATE TABLE responses (
    part    int4   NOT NULL,
    job_id  uuid   NOT NULL,
    attempt int2   NOT NULL,
    at      int8   NOT NULL,
    key     text,
    data    bytea  NOT NULL,
    PRIMARY KEY (job_id, attempt)
);
CREATE INDEX responses_at ON responses (part, at);

ALTER TABLE history ADD COLUMN responses_before int8 NOT NULL DEFAULT 0;
