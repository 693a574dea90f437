"""
Store: the tables. PostgreSQL as the place where the fold of the log can be asked questions.

    migrate, migrations/   the schema, made once by whoever starts first
    pool                   connections, with every wait bounded
    changes                what folding some records changed, gathered (pure)
    projector              those changes into the tables: rows and position in one statement, fenced by the lease
    tables                 what owners and dispatchers read back: positions, working sets, specs
    progress               waiting until the tables have caught up with a position of the log
    rows, flush_sql        how a value is written in a column, and the statement that writes a flush
    leases, lease_keeper   who serves which partition: liveness only, never safety
    shares                 how many partitions are one member's to hold
    left_partitions        those that are left to a newer build
    clock_check            this process's clock against the database's
    queries                what callers may see: jobs, schedules, executions, usage
    accounts, idempotency  what is not event-sourced: accounts, tokens, secrets, idempotency reservations
    log_identity           which log the tables are the fold of
    databases              one for each log, where a server has several
    vitals, holdings       what metrics and operators want to know
    condition              what the doctor looks at
    replay                 a partition folded from the log alone
    verify, difference     the proof that the tables are the fold of the log, and where they are not
    rebuild, rebuild_session, side_tables, side_rows, row_hash
                           the tables made again beside the old ones, compared, put in their place

Everything that is a fold of the log can be dropped and made again; only `accounts` and `idempotency` hold what exists nowhere else.
"""

from libs.store.errors import StoreUnavailable

__all__ = ["StoreUnavailable"]
