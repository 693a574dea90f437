-- expand
-- Which builds may serve a partition: those that know the protocol of its records (libs/events/protocol.py).

ALTER TABLE progress
    ADD COLUMN needs int4 NOT NULL DEFAULT 0,  -- the highest protocol of the records that were folded
    ADD COLUMN taken_with int4 NOT NULL DEFAULT 0;
ALTER TABLE role_lease
    ADD COLUMN taken_with int4 NOT NULL DEFAULT 0;  -- while a lease is taken: the protocol of the build that takes it
ALTER TABLE members
    ADD COLUMN protocol int4 NOT NULL DEFAULT 0;

-- Older builds do not ask. So the table itself refuses them: a lease that may not be taken is passed over, as one that is held.
CREATE FUNCTION refuse_older_builds() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    needed int4;
BEGIN
    IF TG_TABLE_NAME = 'progress' THEN
        needed := NEW.needs;
    ELSE
        EXECUTE format('SELECT needs FROM %I.progress WHERE part = $1', TG_TABLE_SCHEMA) INTO needed USING NEW.part;
    END IF;
    IF NEW.taken_with < coalesce(needed, 0) THEN
        RETURN NULL;
    END IF;
    NEW.taken_with := 0;
    RETURN NEW;
END $$;

CREATE TRIGGER refuse_older_builds BEFORE UPDATE OF lease_nonce ON progress
    FOR EACH ROW WHEN (NEW.lease_nonce IS NOT NULL AND NEW.lease_nonce IS DISTINCT FROM OLD.lease_nonce)
    EXECUTE FUNCTION refuse_older_builds();
CREATE TRIGGER refuse_older_builds BEFORE UPDATE OF nonce ON role_lease
    FOR EACH ROW WHEN (NEW.nonce IS NOT NULL AND NEW.nonce IS DISTINCT FROM OLD.nonce)
    EXECUTE FUNCTION refuse_older_builds();
