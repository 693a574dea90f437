-- expand
-- By which zone data a scheduler decides; null of other roles, and of builds that do not report it.

ALTER TABLE members ADD COLUMN zone_data text;
