-- expand
-- What was asked for of a schedule besides five fields in UTC: its rule, its version, its counters, as JSON. Null for all others.

ALTER TABLE schedules ADD COLUMN more bytea;
