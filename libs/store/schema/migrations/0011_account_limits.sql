-- expand
-- Limits of single accounts, and what owners were granted of an account's day. Both exist nowhere else.

-- NULL: as the settings say; 0: no limit. Rows stay, so that a change is found by its time.
CREATE TABLE account_limits (
    account             text PRIMARY KEY REFERENCES accounts,
    requests_per_second int8,
    connections         int8,
    waiting_jobs        int8,
    stored_bytes        int8,
    calls_per_second    int8,
    executions_per_day  int8,
    changed_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX account_limits_changed ON account_limits (changed_at);

-- How many executions of a day the owner of a partition may decide in all; epoch: that of its claim.
CREATE TABLE daily_grants (
    account text NOT NULL,
    day     date NOT NULL,
    part    int4 NOT NULL,
    epoch   int8 NOT NULL,
    granted int8 NOT NULL,
    PRIMARY KEY (account, day, part)
) WITH (fillfactor = 50);

-- What an owner loads when it takes a partition over.
CREATE INDEX usage_daily_part ON usage_daily (part, day);
