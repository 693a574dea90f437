-- expand
-- The id under which the spec of a schedule is kept since a change brought another one: jobs that it spawned before keep theirs.

ALTER TABLE schedules ADD COLUMN changed_spec_id uuid;

-- What a caller's own name stands for, by kind of name. Written before the fact that makes the thing; the fact carries the name.
CREATE TABLE names (
    account text NOT NULL,
    kind    text NOT NULL,
    name    text NOT NULL,
    id      uuid NOT NULL,
    PRIMARY KEY (account, kind, name)
);
