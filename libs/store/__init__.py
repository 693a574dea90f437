"""
Store: the tables. PostgreSQL as the place where the fold of the log can be asked questions.

    migrate, migrations/   the schema, made once by whoever starts first
    pool                   connections, with every wait bounded
    changes                what folding some records changed, gathered (pure)
    projector              those changes into the tables: rows and position in one statement, fenced by the lease
    tables                 what owners and dispatchers read back: positions, working sets, specs
    progress               waiting until the tables have caught up with a position of the log
    leases, lease_keeper   who serves which partition: liveness only, never safety
    queries                what callers may see: jobs, schedules, executions, usage
    accounts               what is not event-sourced: accounts, tokens, secrets, idempotency reservations
    replay                 a partition folded from the log alone
    verify, difference     the proof that the tables are the fold of the log, and where they are not
    rebuild, side_tables, side_rows, row_hash    the tables made again beside the old ones, compared, put in their place

Everything that is a fold of the log can be dropped and made again; only `accounts` holds what exists nowhere else.
"""

from libs.store.errors import StoreUnavailable

__all__ = ["StoreUnavailable"]
