"""
Store: the tables. PostgreSQL answers questions about what the log says.

    schema/      the tables and their migrations, one database for each log
    projection/  from folded events to rows: what changed, how it stands in a row, the statement that saves it
    reads/       what the API shows of an account, and what owners and dispatchers read of a partition
    rebuild/     verify: the proof that the tables are the fold of the log; rebuild: the tables made again from the log
    leases/      which process serves which partition: this is about liveness, never about safety
    control/     what is not in the log: accounts, tokens, secrets, reservations of idempotency keys
    health/      what metrics, the doctor and the clock check look at
    pool         connections, with every wait bounded
    errors       what a caller sees when the database does not answer

All tables that are a fold of the log can be dropped and made again. Only what `control/` keeps exists nowhere else.
"""
