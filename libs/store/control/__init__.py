"""Control plane: what exists in the tables alone and not in the log: accounts, tokens, secrets, reserved keys."""
