-- expand
-- Whether the request of an attempt was sent a second time, because its connection ended before a byte of the answer came.

ALTER TABLE executions ADD COLUMN resent boolean;
