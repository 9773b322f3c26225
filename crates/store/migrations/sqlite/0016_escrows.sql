-- Paid jobs: what is locked for each, and who earned what of it. The job's own row has the sums.

CREATE TABLE escrows (
  job INTEGER PRIMARY KEY REFERENCES jobs(key) ON DELETE CASCADE,
  amount TEXT NOT NULL CHECK (length(amount) = 39),
  fee_bps INTEGER NOT NULL CHECK (fee_bps BETWEEN 0 AND 1000),
  wall_ms INTEGER NOT NULL CHECK (wall_ms >= 0),       -- the longest run of one attempt that is paid
  payees TEXT NOT NULL,                                -- core::money::Payee, as JSON
  -- The deposit on Starknet that it is paid from; NULL where it is paid from the tenant's balance.
  client BLOB CHECK (client IS NULL OR length(client) = 32),
  salt BLOB CHECK (salt IS NULL OR length(salt) = 32),
  splits INTEGER CHECK (splits BETWEEN 0 AND 1),
  lost_at INTEGER,
  CHECK ((client IS NULL) = (salt IS NULL) AND (client IS NULL) = (splits IS NULL)),
  CHECK (lost_at IS NULL OR client IS NOT NULL)
) STRICT;
-- A deposit pays for one job.
CREATE UNIQUE INDEX escrows_deposit ON escrows (client, salt) WHERE client IS NOT NULL;

-- Which of its job's payees an attempt earns for; NULL where nobody pays.
ALTER TABLE attempts ADD COLUMN payee INTEGER CHECK (payee BETWEEN 0 AND 63);
