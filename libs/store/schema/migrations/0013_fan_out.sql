-- expand
-- Up to which position the events of a partition are fanned out to webhook endpoints, and the claim admitted there. Before this
-- migration there were no endpoints, so everything that the tables know counts as fanned out.

CREATE TABLE fan_out (
    part        int4 PRIMARY KEY,
    position    int8 NOT NULL,
    claim_epoch int8,
    claim_nonce text
) WITH (fillfactor = 10);
INSERT INTO fan_out (part, position, claim_epoch, claim_nonce) SELECT part, position, claim_epoch, claim_nonce FROM progress;

-- Whether other endpoints were told that Fliq has disabled this one.
ALTER TABLE webhook_endpoints ADD COLUMN announced bool NOT NULL DEFAULT true;
