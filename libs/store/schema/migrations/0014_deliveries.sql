-- expand
-- Webhooks that are repeated if they fail: one row each, made by the outcome of the first try.

CREATE TABLE deliveries (
    delivery_id      uuid PRIMARY KEY,
    job_id           uuid NOT NULL,
    created_at       int8 NOT NULL,
    last_at          int8 NOT NULL,
    next_at          int8,
    part             int4 NOT NULL,
    last_status_code int4,
    status           int2 NOT NULL,
    attempt          int2 NOT NULL,
    charged          int2 NOT NULL,
    free_count       int2 NOT NULL,
    snooze_count     int2 NOT NULL,
    held             bool NOT NULL,
    account          text NOT NULL,
    event            text NOT NULL,
    offsets          bytea NOT NULL,
    last_error       text,
    policy           bytea NOT NULL,
    spec_id          text,
    last_request_id  text
) WITH (fillfactor = 80);

CREATE INDEX deliveries_timer ON deliveries (part, next_at) WHERE next_at IS NOT NULL AND NOT held;
-- Those whose instant has come, oldest first, account by account.
CREATE INDEX deliveries_due ON deliveries (part, account, next_at, delivery_id) WHERE next_at IS NOT NULL AND NOT held;
-- Lists, newest first, by status as lists of jobs are.
CREATE INDEX deliveries_list ON deliveries (account, status, delivery_id DESC);
CREATE INDEX deliveries_job ON deliveries (job_id);
