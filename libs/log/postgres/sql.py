"""The statements of the PostgreSQL log. libs/log/postgres/__init__.py explains why they are safe."""

# A number that no other program uses: the letters "fliqlog" in ASCII.
CREATE_LOCK = 0x666C69716C6F67

EXISTS = "SELECT to_regclass('fliq_log.log_heads') IS NOT NULL AND to_regclass('fliq_log.log_events') IS NOT NULL"

# The fill factor leaves room on the page, so that a row is updated in place and the table stays one page.
# External storage: bodies are often encrypted or small, so compressing them saves little and costs the writer time.
CREATE = """
CREATE SCHEMA IF NOT EXISTS fliq_log;
CREATE TABLE IF NOT EXISTS fliq_log.log_heads (
    part int PRIMARY KEY,
    next_off int8 NOT NULL DEFAULT 0,
    begin_off int8 NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
CREATE TABLE IF NOT EXISTS fliq_log.log_events (
    part int NOT NULL,
    off int8 NOT NULL,
    at int8 NOT NULL,
    type text NOT NULL,
    version int2 NOT NULL,
    must_understand bool NOT NULL,
    claim text,
    key text NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (part, off)
);
ALTER TABLE fliq_log.log_events ALTER COLUMN value SET STORAGE EXTERNAL;
"""

ADD_PARTITIONS = (
    "INSERT INTO fliq_log.log_heads (part) SELECT generate_series($1::int, $2::int - 1) ON CONFLICT DO NOTHING"
)

# One row per partition: its bounds by log_heads, and its end by the newest record.
CHECK = """
SELECT h.part, h.begin_off, h.next_off,
       coalesce((SELECT max(e.off) + 1 FROM fliq_log.log_events e WHERE e.part = h.part), h.begin_off) AS found
FROM fliq_log.log_heads h ORDER BY h.part
"""

CHANNEL = "fliq_log"  # announcements; PostgreSQL delivers one when the records of the same transaction are visible

# One statement, so one round trip and one commit. `locked` locks the rows in order of partition, so that two writers
# never deadlock; under READ COMMITTED `moved` then sees what the writer before it wrote. $11: whether to announce it to others.
APPEND = """
WITH wanted AS (
    SELECT * FROM unnest($1::int[], $2::int[]) AS w (part, n)
), locked AS MATERIALIZED (
    SELECT h.part, w.n FROM fliq_log.log_heads h JOIN wanted w USING (part) ORDER BY h.part FOR UPDATE OF h
), moved AS (
    UPDATE fliq_log.log_heads h SET next_off = h.next_off + l.n FROM locked l WHERE h.part = l.part
    RETURNING h.part, h.next_off - l.n AS base, (extract(epoch FROM clock_timestamp()) * 1000)::int8 AS at
), written AS (
    INSERT INTO fliq_log.log_events (part, off, at, type, version, must_understand, claim, key, value)
    SELECT m.part, m.base + r.nth, m.at, r.type, r.version, r.must_understand, r.claim, r.key, r.value
    FROM unnest($3::int[], $4::int[], $5::text[], $6::int2[], $7::bool[], $8::text[], $9::text[], $10::bytea[])
         AS r (part, nth, type, version, must_understand, claim, key, value)
    JOIN moved m USING (part)
)
SELECT part, base, at, CASE WHEN $11 THEN pg_notify('fliq_log', '') END FROM moved
"""

# At most $4 bytes of values, but at least one record. Large values are stored outside the row, and their length is known
# without fetching them.
READ = """
SELECT off, at, type, version, must_understand, claim, key, value FROM (
    SELECT *, sum(octet_length(value)) OVER (ORDER BY off) - octet_length(value) AS bytes_before FROM (
        SELECT * FROM fliq_log.log_events WHERE part = $1 AND off >= $2 ORDER BY off LIMIT $3
    ) AS next
) AS bounded WHERE bytes_before < $4 ORDER BY off
"""

HEADS = "SELECT part, begin_off, next_off FROM fliq_log.log_heads"

# $2: the new begin. It goes first, by itself: appends wait for the row of log_heads, and the records are deleted without its lock.
MOVE_BEGIN = "UPDATE fliq_log.log_heads SET begin_off = $2 WHERE part = $1 AND begin_off < $2 AND next_off >= $2"
DELETE = """
DELETE FROM fliq_log.log_events e USING fliq_log.log_heads h WHERE e.part = $1 AND h.part = $1 AND e.off < least($2, h.begin_off)
"""

# Ends one backend, and returns whether it is gone; no row if it was gone already.
END_BACKEND = "SELECT pg_terminate_backend(pid, $3) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"
WHO_AM_I = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
