-- expand
-- Active schedules with a time zone other than UTC, for an owner that has newer zone data than their next runs were computed with.

CREATE INDEX schedules_zoned ON schedules (part, schedule_id)
    WHERE status = 0 AND position('"zone":'::bytea in more) > 0;
