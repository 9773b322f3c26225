-- What the chain says of escrows: the newest blocks that were read, the contract's events, and what the
-- events of each escrow come to. Blocks that a reorganisation took away leave with their events, and the
-- escrows that those spoke of are counted again from the events that remain.

CREATE TABLE chain_blocks (
  number INTEGER PRIMARY KEY CHECK (number >= 0),
  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  parent BLOB NOT NULL CHECK (length(parent) = 32),
  at INTEGER NOT NULL                                       -- seconds since 1970, by the chain
) STRICT;

-- Which contract is followed from where on, and how far the chain was at the last look: one row.
CREATE TABLE chain_cursor (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  contract BLOB NOT NULL CHECK (length(contract) = 32),
  from_block INTEGER NOT NULL CHECK (from_block >= 0),
  head INTEGER NOT NULL CHECK (head >= 0),
  proved INTEGER                                            -- the newest block that is proved on Ethereum
) STRICT;

CREATE TABLE chain_events (
  key INTEGER PRIMARY KEY,
  block INTEGER NOT NULL CHECK (block >= 0),
  block_hash BLOB NOT NULL CHECK (length(block_hash) = 32),
  place INTEGER NOT NULL CHECK (place >= 0),                -- among the contract's events of its block
  tx BLOB NOT NULL CHECK (length(tx) = 32),
  at INTEGER NOT NULL,                                      -- of its block
  name TEXT NOT NULL,
  escrow BLOB CHECK (escrow IS NULL OR length(escrow) = 32),
  account BLOB CHECK (account IS NULL OR length(account) = 32),   -- whom it credits, and with how much
  amount TEXT CHECK (amount IS NULL OR length(amount) = 39),
  body TEXT NOT NULL,                                       -- its members, as JSON
  UNIQUE (block, place),
  CHECK ((account IS NULL) = (amount IS NULL))
) STRICT;
CREATE INDEX chain_events_at ON chain_events (at);
CREATE INDEX chain_events_account ON chain_events (account, at) WHERE account IS NOT NULL;
CREATE INDEX chain_events_escrow ON chain_events (escrow, block, place) WHERE escrow IS NOT NULL;

CREATE TABLE chain_escrows (
  id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),     -- Poseidon of client and salt
  client BLOB NOT NULL CHECK (length(client) = 32),
  salt BLOB NOT NULL CHECK (length(salt) = 32),
  amount TEXT NOT NULL CHECK (length(amount) = 39),
  spec_hash BLOB NOT NULL CHECK (length(spec_hash) = 32),
  fee_bps INTEGER NOT NULL CHECK (fee_bps BETWEEN 0 AND 1000),
  window_s INTEGER NOT NULL CHECK (window_s >= 0),
  expires_at INTEGER NOT NULL,                              -- seconds since 1970
  state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 8),     -- as the contract counts its states
  submitted_block INTEGER NOT NULL,
  state_block INTEGER NOT NULL,                             -- of the event that brought it where it is
  state_at INTEGER NOT NULL,                                -- of that block
  clock INTEGER,                                            -- when the client's, the arbiter's time is over
  payouts TEXT,                                             -- as they were reported, JSON
  result_hash BLOB CHECK (result_hash IS NULL OR length(result_hash) = 32),
  paid TEXT NOT NULL CHECK (length(paid) = 39),             -- to providers, without the fee
  fee TEXT NOT NULL CHECK (length(fee) = 39),
  refunded TEXT NOT NULL CHECK (length(refunded) = 39),
  skipped TEXT,                                             -- why the newest call about it was left out
  skipped_block INTEGER,
  CHECK ((skipped IS NULL) = (skipped_block IS NULL))
) STRICT;
CREATE INDEX chain_escrows_state ON chain_escrows (state, state_block);
CREATE INDEX chain_escrows_over ON chain_escrows (state_at) WHERE state >= 5;

-- An escrow of a job: how the chain names it, and when somebody should compare the job with the chain
-- again; NULL where nothing is to be done until one of the two changes. Whoever changes one of them sets
-- `look_at` and counts `wakes` up; whoever has looked changes `look_at` only while `wakes` is what it saw.
ALTER TABLE escrows ADD COLUMN escrow_id BLOB CHECK (escrow_id IS NULL OR length(escrow_id) = 32);
ALTER TABLE escrows ADD COLUMN look_at INTEGER;
ALTER TABLE escrows ADD COLUMN trouble TEXT;                            -- why the money does not move, for people
ALTER TABLE escrows ADD COLUMN wakes INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX escrows_id ON escrows (escrow_id) WHERE escrow_id IS NOT NULL;
CREATE INDEX escrows_look ON escrows (look_at) WHERE look_at IS NOT NULL;
-- What was asked of the chain about a job.
CREATE INDEX chain_intents_job ON chain_intents (job, kind, key) WHERE job IS NOT NULL;
