"""
PostgreSQL log: the embedded log. Two tables of any PostgreSQL 15+, gap-free positions, group commit.

Theory of operation

    log_heads    one row per partition: next_off (the end), begin_off
    log_events   one row per record, primary key (part, off)

    append -> AppendQueue -> Writer -- one statement --> log_heads, log_events
                                |                             |
                              RecentRecords <---- Heads, LogQueries ------+
                                |
    read  <---------------------+

Writing. One writer task, one connection, one statement at a time. Appends that arrive while a commit is under way form the next
group, over all partitions; a group is one statement: it moves the heads and inserts the rows behind them, and is committed with
synchronous_commit = on (G1). No timers: the slower the disk, the larger the groups.

Why nothing appears behind a reader (G3). A transaction draws positions by updating the partition's head and holds that row's lock
until it has ended; the next transaction, of whatever process, waits for the lock and so draws, and becomes visible, later. Whoever
sees a record therefore sees every record before it, and gaps cannot arise: a transaction that rolls back takes its move of the head
with it. A sequence would give both up. PostgreSQL makes a commit visible only after it is durable.

Failure (G6). An error that the server reports while it stays in touch means that the statement was rolled back: `LogUnavailable`.
Anything else after the statement was sent (connection lost, no answer in time, backend ended) is `AppendFailed`. A group is never
sent twice. The writer then opens another connection, has the server end the old backend, and makes sure that it is gone before it
sends the next group: what the old statement wrote stands before the next group, or nowhere (G2).

Reading. Fresh records come from the partition's `RecentRecords` in this process, others from a SELECT. Records of other
processes are noticed by one poller per process that reads the heads while somebody waits: every 5 ms while other processes
wrote in the last second, then ever slower up to 25 ms. `end` shares one query among callers, sent after the call of each of
them began.

Cost: a commit is one round trip and one flush of the WAL for the whole group. A transaction that is held open for long (a dump)
keeps every version of the heads, and a commit walks through them: about 0.1 ms more per commit for each second that it was held
under full load, until it ends.

Not safe: a connection pooler in transaction mode between this process and the server (sessions and prepared statements are needed);
fsync = off; a replica that is promoted without having had every commit (synchronous_standby_names decides).

Source: PostgreSQL manual, "Read Committed Isolation Level".
"""

from libs.log.postgres.adapter import PostgresLog

__all__ = ["PostgresLog"]
