"""Control plane: data that is in the tables only, not in the log: accounts, tokens, secrets, idempotency keys."""
