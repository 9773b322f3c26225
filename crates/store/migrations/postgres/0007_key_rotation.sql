-- The key whose place this one takes, and when a key was last shown: written now and then, so it may be
-- a minute old.
ALTER TABLE api_keys ADD COLUMN replaces BYTEA CHECK (replaces IS NULL OR length(replaces) = 16);
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;
