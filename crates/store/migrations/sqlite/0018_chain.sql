-- What is to happen on the chain, and the transactions that make it happen. An intent is written once for
-- its dedupe key; it goes into the transactions of one nonce of an account at a time, and leaves that nonce
-- only when nothing that carries it can land there any more. Bytes are stored before they are sent.

CREATE TABLE chain_intents (
  key INTEGER PRIMARY KEY,
  dedupe TEXT NOT NULL UNIQUE CHECK (length(dedupe) BETWEEN 1 AND 200),
  kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 50),
  job INTEGER,                                              -- outlived by the intent
  calls TEXT NOT NULL,                                      -- JSON; they stay together
  felts INTEGER NOT NULL CHECK (felts > 0),                 -- of calldata
  l2_gas INTEGER NOT NULL CHECK (l2_gas >= 0),              -- as known from others of its kind
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),     -- 0 waiting, 1 under way, 2 done, 3 failed
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  not_before INTEGER,
  error TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  ended_at INTEGER,
  CHECK ((state = 0) = (not_before IS NOT NULL)),
  CHECK ((state >= 2) = (ended_at IS NOT NULL))
) STRICT;
CREATE INDEX chain_intents_due ON chain_intents (not_before, key) WHERE not_before IS NOT NULL;
CREATE INDEX chain_intents_failed ON chain_intents (key) WHERE state = 3;
CREATE INDEX chain_intents_ended ON chain_intents (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE chain_nonces (
  key INTEGER PRIMARY KEY,
  account BLOB NOT NULL CHECK (length(account) = 32),
  nonce INTEGER NOT NULL CHECK (nonce >= 0),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),     -- 0 open, 1 done, 2 its intents were given back
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  UNIQUE (account, nonce),
  CHECK ((state = 0) = (ended_at IS NULL))
) STRICT;
CREATE INDEX chain_nonces_open ON chain_nonces (account, nonce) WHERE ended_at IS NULL;
CREATE INDEX chain_nonces_created ON chain_nonces (created_at);

CREATE TABLE chain_links (
  nonce INTEGER NOT NULL REFERENCES chain_nonces(key),
  place INTEGER NOT NULL CHECK (place >= 0),
  intent INTEGER NOT NULL REFERENCES chain_intents(key),
  PRIMARY KEY (nonce, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX chain_links_intent ON chain_links (intent);

CREATE TABLE chain_transactions (
  key INTEGER PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  nonce INTEGER NOT NULL REFERENCES chain_nonces(key),
  signed TEXT NOT NULL CHECK (length(signed) > 0),          -- JSON with the very bytes that are sent
  max_fee TEXT NOT NULL CHECK (length(max_fee) = 39),
  state TEXT NOT NULL CHECK (state IN ('signed', 'broadcast', 'pre_confirmed', 'l2', 'l1_final', 'reverted',
                                       'replaced', 'dropped')),
  sends INTEGER NOT NULL DEFAULT 0 CHECK (sends >= 0),
  sent_at INTEGER,
  block INTEGER,
  block_hash BLOB CHECK (block_hash IS NULL OR length(block_hash) = 32),
  fee TEXT CHECK (fee IS NULL OR length(fee) = 39),
  reverted TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  CHECK ((sends = 0) = (sent_at IS NULL))
) STRICT;
CREATE INDEX chain_transactions_nonce ON chain_transactions (nonce);
