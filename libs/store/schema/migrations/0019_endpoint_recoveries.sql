-- expand
-- The last recovery of each webhook endpoint: sending again what it was told in vain, from an instant on.

CREATE TABLE endpoint_recoveries (
    endpoint_id     text PRIMARY KEY REFERENCES webhook_endpoints ON DELETE CASCADE,
    request_id      text NOT NULL,
    since           int8 NOT NULL,
    until           int8 NOT NULL,
    reached         text NOT NULL,
    recovered_count int8 NOT NULL,
    status          text NOT NULL,
    created_at      int8 NOT NULL,
    ended_at        int8
);
CREATE INDEX endpoint_recoveries_open ON endpoint_recoveries (endpoint_id) WHERE ended_at IS NULL;
