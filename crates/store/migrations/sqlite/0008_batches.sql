-- Bulk actions: one row says what is to be done to which jobs, how far it is, and what came of it. It
-- moves in the transaction that acts on the jobs, so that nothing is done twice, whatever happens.
CREATE TABLE batches (
  key INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  tenant INTEGER NOT NULL REFERENCES tenants(key),
  action INTEGER NOT NULL CHECK (action BETWEEN 1 AND 3),  -- 1 cancel, 2 cancel now, 3 retry
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),    -- 0 running, 1 completed, 2 stopped
  filter TEXT,                                             -- absent where jobs are named
  jobs BLOB CHECK (jobs IS NULL OR length(jobs) % 8 = 0),  -- keys of named jobs, ascending, big-endian
  high_water INTEGER NOT NULL,                             -- the last job that was there when it began
  cursor INTEGER NOT NULL,                                 -- jobs up to here are dealt with
  total INTEGER NOT NULL CHECK (total >= 0),               -- jobs that matched when it began
  done INTEGER NOT NULL DEFAULT 0,
  skipped INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  problem TEXT,                                            -- the first reason why something failed
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  ended_at INTEGER,
  CHECK ((filter IS NULL) <> (jobs IS NULL)),
  CHECK ((state = 0) = (ended_at IS NULL))
) STRICT;
CREATE INDEX batches_tenant ON batches (tenant, key);
CREATE INDEX batches_running ON batches (key) WHERE state = 0;
