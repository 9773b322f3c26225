-- Webhooks, and what is on its way to them. A delivery is a row from the moment that its event was
-- read to long after its end; its body is kept as it was first written, so that every attempt sends
-- the same bytes whatever became of the job meanwhile.

CREATE TABLE webhooks (
  key INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  tenant INTEGER NOT NULL REFERENCES tenants(key),
  url TEXT NOT NULL,
  name TEXT NOT NULL,
  wants TEXT NOT NULL,
  concurrency INTEGER NOT NULL CHECK (concurrency >= 1),
  -- Which of its secrets is the present one; they are derived, none is stored.
  generation INTEGER NOT NULL DEFAULT 1 CHECK (generation >= 1),
  previous_until INTEGER,
  enabled INTEGER NOT NULL CHECK (enabled BETWEEN 0 AND 1),
  disabled_reason INTEGER CHECK (disabled_reason BETWEEN 1 AND 3),   -- 1 asked, 2 gone, 3 failing
  disabled_at INTEGER,
  failing_since INTEGER,
  -- Later events concern it.
  since_position INTEGER NOT NULL,
  -- Events that found too many pending, or were no longer kept: told as one message when there is room.
  gap_first INTEGER,
  gap_last INTEGER,
  gap_events INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  CHECK ((enabled = 0) = (disabled_at IS NOT NULL)),
  CHECK (deleted_at IS NULL OR enabled = 0),
  CHECK ((gap_first IS NULL) = (gap_last IS NULL) AND (gap_first IS NULL) = (gap_events IS NULL))
) STRICT;
CREATE INDEX webhooks_tenant ON webhooks (tenant, key);
CREATE INDEX webhooks_enabled ON webhooks (key) WHERE enabled = 1;

-- How far the reader of the log is; one row.
CREATE TABLE webhook_reader (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  position INTEGER NOT NULL
) STRICT;
INSERT INTO webhook_reader (only, position) VALUES (1, 0);

CREATE TABLE webhook_deliveries (
  key INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  webhook INTEGER NOT NULL REFERENCES webhooks(key),
  position INTEGER,                      -- of its event; tests and gaps have none
  type TEXT NOT NULL,
  body TEXT NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),   -- 0 pending, 1 delivered, 2 failed
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  next_at INTEGER,
  created_at INTEGER NOT NULL,
  touched_at INTEGER NOT NULL,
  ended_at INTEGER,
  status INTEGER,
  error TEXT,
  history TEXT NOT NULL,
  CHECK ((state = 0) = (next_at IS NOT NULL)),
  CHECK ((state = 0) = (ended_at IS NULL))
) STRICT;
-- One event goes to one webhook once.
CREATE UNIQUE INDEX webhook_deliveries_event ON webhook_deliveries (webhook, position) WHERE position IS NOT NULL;
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (webhook, key);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, next_at, created_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
