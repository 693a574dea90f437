-- expand
-- The id under which the spec of a job is kept that has none of its own: a copy (replay) shares the spec of the job that it copies.

ALTER TABLE jobs ADD COLUMN shared_spec_id uuid;
