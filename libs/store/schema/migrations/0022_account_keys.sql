-- expand
-- The data keys of accounts, each wrapped by the master key, which is not in the database (libs/sealing). They cannot be made again
-- from the log. A key that was deleted keeps its row without the key, so that it is known that nothing opens what it sealed.

CREATE TABLE account_keys (
    key_id      text PRIMARY KEY,
    account     text NOT NULL,
    master_id   text NOT NULL,
    wrapped     bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    shredded_at timestamptz
);
CREATE INDEX account_keys_newest ON account_keys (account, created_at DESC);

-- The master key that wraps new data keys: one row, from the first start with a master key on.
CREATE TABLE master_key (
    only_row  bool PRIMARY KEY DEFAULT true CHECK (only_row),
    master_id text NOT NULL
);
