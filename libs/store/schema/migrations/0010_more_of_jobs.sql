-- expand
-- What a plain job does not have: its retry policy, its expiry, tries that were not charged, why it ended.

ALTER TABLE jobs ADD COLUMN more bytea;
