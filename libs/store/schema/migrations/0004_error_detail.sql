-- expand
-- Why an answer could not be read, beside the word that says so.

ALTER TABLE executions ADD COLUMN error_detail text;
