-- expand
-- Schedules whose owner owes them something at once, such as the job of a tick that waited for the end of a run: a new owner finds
-- them without reading all others.

CREATE INDEX schedules_open ON schedules (part) WHERE position('"owes_now":true'::bytea in more) > 0;
