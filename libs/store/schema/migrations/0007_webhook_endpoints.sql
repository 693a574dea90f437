-- expand
-- Endpoints: URLs of an account that are told of events of its jobs. They are in these tables only, not in the log.

CREATE TABLE webhook_endpoints (
    endpoint_id     text PRIMARY KEY,
    account         text NOT NULL REFERENCES accounts,
    config          json NOT NULL,
    version         int8 NOT NULL,
    disabled_reason text,
    created_at      int8 NOT NULL,
    changed_at      int8 NOT NULL
);
CREATE INDEX webhook_endpoints_list ON webhook_endpoints (account, endpoint_id DESC);

CREATE TABLE endpoint_secrets (
    endpoint_id text NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    secret      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    PRIMARY KEY (endpoint_id, secret)
);
-- At most one secret without an end: the current one.
CREATE UNIQUE INDEX endpoint_secrets_current ON endpoint_secrets (endpoint_id) WHERE expires_at IS NULL;

-- The run of failures of an endpoint that takes nothing (libs/domain/endpoints/health.py).
CREATE TABLE endpoint_health (
    endpoint_id      text PRIMARY KEY REFERENCES webhook_endpoints ON DELETE CASCADE,
    first_failure_at int8 NOT NULL,
    last_failure_at  int8 NOT NULL
);

-- Counts the changes of all endpoints: who keeps a copy of them reads one row to see that it is still right.
CREATE TABLE endpoint_changes (
    only_row bool PRIMARY KEY DEFAULT true CHECK (only_row),
    count    int8 NOT NULL
);
INSERT INTO endpoint_changes (count) VALUES (0);
