-- expand
-- The token that made a token; a token is revoked with the one that made it.

ALTER TABLE api_tokens ADD COLUMN parent text;
CREATE INDEX api_tokens_parent ON api_tokens (parent) WHERE parent IS NOT NULL;
