-- expand
-- What an operator wants to know of a process, and may ask of it.

ALTER TABLE members
    ADD COLUMN draining   bool NOT NULL DEFAULT false,  -- asked to hand its partitions over and to take none
    ADD COLUMN partitions int4,                         -- how many partitions it knows; fewer than there are: restart it
    ADD COLUMN version    text;                         -- its build
