"""
PostgreSQL log: the embedded log. Two tables of any PostgreSQL 15+, gap-free positions, group commit.

Theory of operation

    log_heads    one row per partition: next_off (the end), begin_off
    log_events   one row per record, primary key (part, off)

    append -> AppendQueue -> Writer -- one statement --> log_heads, log_events
                                |                             |
                             RecentRecords <-- PartitionBounds, LogQueries
                                |
    read  <---------------------+

Writing. One writer task has one connection and sends one statement at a time. Appends that arrive while a commit is under way
form the next group, over all partitions. A group is one statement: it advances the rows of log_heads, inserts the records, and
commits with synchronous_commit = on (G1). There are no timers: the slower the disk, the larger the groups. Columns are sent as
arrays (libs/runtime/postgres/array_columns.py).

Why nothing appears behind a reader (G3). A transaction gets its positions by updating the partition's row in log_heads, and
holds the lock on that row until it ends. The next transaction, in whatever process, waits for that lock. So it gets later
positions and becomes visible later. A reader that sees a record therefore sees every record before it. There are no gaps
either: if a transaction rolls back, its update of log_heads rolls back too. A sequence would guarantee neither. PostgreSQL
makes a commit visible only after it is durable.

Failure (G6). If the server reports an error and the connection stays open, the statement was rolled back: `LogUnavailable`. Any
other failure after the statement was sent (connection lost, no answer in time, backend ended) is `AppendFailed`. A group is
never sent twice. The writer then opens another connection, has the server end the old backend, and makes sure that it is gone
before it sends the next group. So the records of the old statement stand before the next group, or nowhere (G2).

Reading. New records come from the partition's `RecentRecords` in this process, others from a SELECT. To notice records of other
processes, one poller per process reads log_heads while a reader waits: every 5 ms if other processes wrote within the last
second, every 25 ms while they may write. Concurrent callers of `end` share one query, which is sent after each of them called.

Announcing. A process in which nobody else's records arrive looks about once a second, so that it sleeps when there is nothing to
do. Another process that writes announces it, with a NOTIFY in the transaction of its group, at most once a second: committing a
NOTIFY takes a lock of the whole server. Who hears one looks at once, and for `HEARD_S` after it: longer than the second that goes
by without another one and the longest commit of a group in that second. So between announcements nothing is seen later. An older
build announces nothing. Once a record of one was found, the poller looks every 25 ms for ten minutes.

Cost: a commit is one round trip and one flush of the WAL for the whole group. A transaction that stays open for long (a dump)
keeps every old version of the rows in log_heads, and each commit walks through them: about 0.1 ms more per commit for each
second that the transaction was open under full load, until it ends.

Not safe: a connection pooler in transaction mode between this process and the server (sessions and prepared statements are
needed); fsync = off; promoting a replica that did not receive every commit (synchronous_standby_names decides that).

Source: PostgreSQL manual, "Read Committed Isolation Level".
"""

from libs.log.postgres.adapter import PostgresLog

__all__ = ["PostgresLog"]
