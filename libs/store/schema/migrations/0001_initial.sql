-- The tables of Fliq. What stands between the two rules is a fold of the log and can be made again from it.
-- Instants are bigint, milliseconds since 1970 UTC; *_at of type timestamptz belong to the control plane.

-- ---- progress and leases -------------------------------------------------------------------------------------------

-- One row per partition: how far the fold is (position, and the claim admitted there) and who may write it (the lease).
-- The row changes up to 100 times a second: a page with room lets every change be a heap-only one.
CREATE TABLE progress (
    part        int4 PRIMARY KEY,
    position    int8 NOT NULL DEFAULT -1,
    claim_epoch int8,
    claim_nonce text,
    lease_epoch int8 NOT NULL DEFAULT 0,
    lease_nonce text,
    lease_node  text,
    lease_until timestamptz,
    applied_at  timestamptz
) WITH (fillfactor = 10);

-- The same for the roles that only read the log: 'dispatcher' and 'webhooks'.
CREATE TABLE role_lease (
    role        text NOT NULL,
    part        int4 NOT NULL,
    epoch       int8 NOT NULL DEFAULT 0,
    nonce       text,
    node        text,
    lease_until timestamptz,
    position    int8 NOT NULL DEFAULT -1,
    claim_epoch int8,
    claim_nonce text,
    PRIMARY KEY (role, part)
) WITH (fillfactor = 10);

CREATE TABLE members (
    node    text NOT NULL,
    role    text NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (role, node)
) WITH (fillfactor = 50);

-- ---- the fold ------------------------------------------------------------------------------------------------------

-- What to call: the JSON bytes of libs.events.Spec, under the id of the job or schedule that brought it.
CREATE TABLE specs (
    spec_id uuid PRIMARY KEY,
    part    int4 NOT NULL,
    spec    bytea NOT NULL
);

CREATE TABLE jobs (
    job_id           uuid PRIMARY KEY,
    scheduled_at     int8 NOT NULL,
    fire_at          int8 NOT NULL,
    created_at       int8 NOT NULL,
    timeout_ms       int8 NOT NULL,
    part             int4 NOT NULL,
    status           int2 NOT NULL,
    attempt          int2 NOT NULL,
    max_retries      int2 NOT NULL,
    has_webhook      bool NOT NULL,
    cancel_requested bool NOT NULL,
    held             bool NOT NULL,
    account          text NOT NULL,
    offsets          bytea NOT NULL,  -- positions of the job's events, 8 bytes each, big-endian
    schedule_id      uuid,
    started_at       int8,
    completed_at     int8,
    last_ok          bool,
    last_status_code int4,
    last_error       text,
    retry_after_ms   int8,
    idempotency_key  text,
    replay_of        uuid,
    webhook_at       int8
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- The timer store: what waits for its instant.
CREATE INDEX jobs_timer ON jobs (part, fire_at) WHERE status IN (0, 3) AND NOT held;
-- What an owner must know at take-over.
CREATE INDEX jobs_open ON jobs (part) WHERE status IN (1, 2) OR cancel_requested;
-- Lists, newest first. A list over all statuses merges one scan per status, which saves a second index.
CREATE INDEX jobs_list ON jobs (account, status, job_id DESC);
CREATE INDEX jobs_schedule ON jobs (schedule_id, job_id DESC) WHERE schedule_id IS NOT NULL;

CREATE TABLE executions (
    job_id      uuid NOT NULL,
    executed_at int8 NOT NULL,
    part        int4 NOT NULL,
    attempt     int2 NOT NULL,
    ok          bool,
    status_code int4,
    duration_ms int8,
    error       text,
    PRIMARY KEY (job_id, attempt)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE schedules (
    schedule_id uuid PRIMARY KEY,
    part        int4 NOT NULL,
    account     text NOT NULL,
    status      int2 NOT NULL,
    cron        text NOT NULL,
    max_retries int2 NOT NULL,
    timeout_ms  int8 NOT NULL,
    has_webhook bool NOT NULL,
    held        bool NOT NULL,
    created_at  int8 NOT NULL,
    next_run_at int8,
    last_run_at int8,
    changed_at  int8 NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX schedules_timer ON schedules (part, next_run_at) WHERE status = 0 AND NOT held AND next_run_at IS NOT NULL;
CREATE INDEX schedules_list ON schedules (account, schedule_id DESC) WHERE status <> 2;

-- Attempts admitted as due, per account and UTC day. By partition, so that owners never wait for each other's row,
-- and so that one partition can be made again without the others.
CREATE TABLE usage_daily (
    account    text NOT NULL,
    day        date NOT NULL,
    part       int4 NOT NULL,
    executions int8 NOT NULL,
    PRIMARY KEY (account, day, part)
) WITH (fillfactor = 50);

-- ---- what exists nowhere else --------------------------------------------------------------------------------------

CREATE TABLE idempotency (
    account      text NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    job_id       uuid NOT NULL,
    created_at   int8 NOT NULL,
    PRIMARY KEY (account, key)
);

CREATE TABLE accounts (
    account    text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE signing_secrets (
    account    text NOT NULL REFERENCES accounts,
    secret     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (account, secret)
);
-- At most one secret without an end: the current one.
CREATE UNIQUE INDEX signing_secrets_current ON signing_secrets (account) WHERE expires_at IS NULL;

CREATE TABLE api_tokens (
    token_id     text PRIMARY KEY,
    account      text NOT NULL REFERENCES accounts,
    name         text NOT NULL,
    token_hash   bytea NOT NULL UNIQUE,
    scopes       text[] NOT NULL,
    last_four    text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_tokens_list ON api_tokens (account, created_at DESC);

-- Secrets of this installation, made once when the operator gave none: the token pepper, the cursor key.
CREATE TABLE instance (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);
