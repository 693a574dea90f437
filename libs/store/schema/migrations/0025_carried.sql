-- expand
-- What is carried over in the log, and how far the log is needed (libs/domain/history/floors.py).

ALTER TABLE history
    ADD COLUMN closed_before int8 NOT NULL DEFAULT 0,
    ADD COLUMN trim_to       int8 NOT NULL DEFAULT 0,
    ADD COLUMN carried_to    int8 NOT NULL DEFAULT 0,
    ADD COLUMN carried_at    int8 NOT NULL DEFAULT 0,
    ADD COLUMN prior_to      int8 NOT NULL DEFAULT 0,
    ADD COLUMN prior_at      int8 NOT NULL DEFAULT 0;

-- What waits for somebody to look at it: no other index finds that. There are few.
CREATE INDEX jobs_held ON jobs (part) WHERE held;
CREATE INDEX deliveries_held ON deliveries (part) WHERE held;
