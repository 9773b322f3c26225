-- The spine: tenants and their keys, workers and sessions, jobs, tasks, attempts, events,
-- artifacts. Integer keys inside; public ids are 16-byte UUIDs, unique in their own table only.
-- Amounts are zero-padded TEXT(39); NULL while no money is involved.

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
  key INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  name TEXT NOT NULL UNIQUE,
  weight INTEGER NOT NULL DEFAULT 1 CHECK (weight >= 1),
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
  key INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  tenant INTEGER NOT NULL REFERENCES tenants(key),
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT;
CREATE INDEX api_keys_tenant ON api_keys (tenant, key);

CREATE TABLE workers (
  key INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  tenant INTEGER NOT NULL REFERENCES tenants(key),
  name TEXT NOT NULL,
  public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) = 32),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
  capabilities TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  removed_at INTEGER
) STRICT;
CREATE INDEX workers_tenant ON workers (tenant, key);

CREATE TABLE sessions (
  key INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  worker INTEGER NOT NULL REFERENCES workers(key),
  token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),
  opened_at INTEGER NOT NULL,
  ended_at INTEGER
) STRICT;
CREATE UNIQUE INDEX sessions_live ON sessions (worker) WHERE ended_at IS NULL;

-- Requirements are interned: ready tasks are grouped by them.
CREATE TABLE classes (
  key INTEGER PRIMARY KEY,
  requirement TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE jobs (
  key INTEGER PRIMARY KEY,
  uid BLOB NOT NULL UNIQUE CHECK (length(uid) = 16),
  tenant INTEGER NOT NULL REFERENCES tenants(key),
  rev INTEGER NOT NULL CHECK (rev >= 1),
  seq INTEGER NOT NULL CHECK (seq >= 1),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 7),
  stop_cause INTEGER CHECK (stop_cause BETWEEN 1 AND 4),
  stop_revoke_at INTEGER,
  holds INTEGER NOT NULL CHECK (holds BETWEEN 0 AND 15),
  kind TEXT NOT NULL,
  priority INTEGER NOT NULL CHECK (priority BETWEEN 1 AND 10),
  class INTEGER NOT NULL REFERENCES classes(key),
  retry_max INTEGER NOT NULL,
  retry_flags INTEGER NOT NULL,          -- 1 on_user, 2 on_timeout
  on_failure INTEGER NOT NULL,           -- -1 fail_fast, -2 keep_going, n >= 0 max_failed
  tasks_total INTEGER NOT NULL CHECK (tasks_total >= 0),
  open_tasks INTEGER NOT NULL CHECK (open_tasks BETWEEN 0 AND tasks_total),
  completed_tasks INTEGER NOT NULL CHECK (completed_tasks BETWEEN 0 AND tasks_total),
  failed_tasks INTEGER NOT NULL CHECK (failed_tasks BETWEEN 0 AND tasks_total),
  has_reducer INTEGER NOT NULL CHECK (has_reducer BETWEEN 0 AND 1),
  labels TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  next_deadline INTEGER,
  expires_at INTEGER NOT NULL,
  hard_deadline INTEGER NOT NULL CHECK (hard_deadline BETWEEN 0 AND 1),
  failure TEXT,
  retry_of BLOB CHECK (retry_of IS NULL OR length(retry_of) = 16),
  settlement INTEGER NOT NULL DEFAULT 0 CHECK (settlement BETWEEN 0 AND 5),
  escrowed TEXT CHECK (escrowed IS NULL OR length(escrowed) = 39),
  paid TEXT CHECK (paid IS NULL OR length(paid) = 39),
  fee TEXT CHECK (fee IS NULL OR length(fee) = 39),
  refunded TEXT CHECK (refunded IS NULL OR length(refunded) = 39),
  held TEXT CHECK (held IS NULL OR length(held) = 39),
  CHECK ((state >= 4) = (next_deadline IS NULL)),
  CHECK ((state >= 4) = (ended_at IS NOT NULL)),
  CHECK ((stop_cause IS NULL) = (stop_revoke_at IS NULL))
) STRICT;
CREATE INDEX jobs_tenant ON jobs (tenant, key);
CREATE INDEX jobs_due ON jobs (next_deadline) WHERE next_deadline IS NOT NULL;
-- States that few jobs are in: a hot job never touches these.
CREATE INDEX jobs_preparing ON jobs (key) WHERE state = 1;
CREATE INDEX jobs_rare ON jobs (tenant, state, key) WHERE state NOT BETWEEN 2 AND 4;

-- Jobs by tenant, kind and state, kept in the transaction of every move: figures never scan.
CREATE TABLE job_counts (
  tenant INTEGER NOT NULL,
  kind TEXT NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 7),
  jobs INTEGER NOT NULL CHECK (jobs >= 0),
  PRIMARY KEY (tenant, kind, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_specs (
  job INTEGER PRIMARY KEY REFERENCES jobs(key) ON DELETE CASCADE,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  spec TEXT NOT NULL
) STRICT;

CREATE TABLE tasks (
  job INTEGER NOT NULL REFERENCES jobs(key) ON DELETE CASCADE,
  no INTEGER NOT NULL CHECK (no >= 0),
  rev INTEGER NOT NULL CHECK (rev >= 1),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 5),
  slots INTEGER NOT NULL CHECK (slots >= 1),
  fence INTEGER NOT NULL CHECK (fence >= 0),
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  grants INTEGER NOT NULL CHECK (grants BETWEEN 0 AND 16),
  crashes INTEGER NOT NULL CHECK (crashes >= 0),
  memory_doublings INTEGER NOT NULL CHECK (memory_doublings >= 0),
  accepted INTEGER,
  not_before INTEGER NOT NULL,
  next_deadline INTEGER,
  input_artifact BLOB CHECK (input_artifact IS NULL OR length(input_artifact) = 32),
  input_offset INTEGER,
  input_length INTEGER,
  input_hash BLOB CHECK (input_hash IS NULL OR length(input_hash) = 32),
  failure INTEGER CHECK (failure BETWEEN 1 AND 6),
  PRIMARY KEY (job, no),
  CHECK ((state >= 3) = (next_deadline IS NULL)),
  CHECK ((state = 3) = (accepted IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
  job INTEGER NOT NULL,
  no INTEGER NOT NULL,
  fence INTEGER NOT NULL CHECK (fence >= 1),
  slot INTEGER NOT NULL CHECK (slot >= 0),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 10),
  worker INTEGER NOT NULL REFERENCES workers(key),
  session INTEGER NOT NULL,
  gpus TEXT,
  granted_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  class TEXT,
  message TEXT,
  exit_code INTEGER,
  manifest_hash BLOB CHECK (manifest_hash IS NULL OR length(manifest_hash) = 32),
  manifest TEXT,
  wall_ms INTEGER,
  cpu_ms INTEGER,
  peak_memory_bytes INTEGER,
  PRIMARY KEY (job, no, fence),
  FOREIGN KEY (job, no) REFERENCES tasks (job, no) ON DELETE CASCADE,
  CHECK ((state >= 3) = (ended_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX attempts_live ON attempts (job, no, slot) WHERE ended_at IS NULL;

CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL,
  job INTEGER,
  seq INTEGER CHECK (seq IS NULL OR seq >= 1),
  worker INTEGER,
  kind INTEGER NOT NULL,
  at INTEGER NOT NULL,
  body TEXT NOT NULL,
  CHECK ((job IS NULL) = (seq IS NULL)),
  CHECK (job IS NOT NULL OR worker IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX events_job ON events (job, seq) WHERE job IS NOT NULL;

-- What a repeated creating call is answered with: status and ids, never bodies.
CREATE TABLE idempotency (
  tenant INTEGER NOT NULL,
  key BLOB NOT NULL CHECK (length(key) = 16),
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 16),
  created_ids BLOB NOT NULL CHECK (length(created_ids) % 16 = 0),
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

CREATE TABLE artifacts (
  hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
  size INTEGER NOT NULL CHECK (size >= 0),
  stored_at INTEGER NOT NULL,
  touched_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE artifact_grants (
  tenant INTEGER NOT NULL REFERENCES tenants(key),
  hash BLOB NOT NULL REFERENCES artifacts(hash),
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_grants_hash ON artifact_grants (hash);
CREATE INDEX artifact_grants_expiry ON artifact_grants (expires_at);

-- Bytes granted to each tenant: what its quota is held against.
CREATE TABLE tenant_usage (
  tenant INTEGER PRIMARY KEY REFERENCES tenants(key),
  artifact_bytes INTEGER NOT NULL CHECK (artifact_bytes >= 0)
) STRICT;
CREATE TRIGGER artifact_granted AFTER INSERT ON artifact_grants BEGIN
  INSERT INTO tenant_usage (tenant, artifact_bytes)
    VALUES (new.tenant, (SELECT size FROM artifacts WHERE hash = new.hash))
    ON CONFLICT (tenant) DO UPDATE SET artifact_bytes = artifact_bytes + excluded.artifact_bytes;
END;
CREATE TRIGGER artifact_ungranted AFTER DELETE ON artifact_grants BEGIN
  UPDATE tenant_usage SET artifact_bytes = artifact_bytes - (SELECT size FROM artifacts WHERE hash = old.hash)
    WHERE tenant = old.tenant;
END;

-- What a job needs; goes some days after its end.
CREATE TABLE artifact_refs (
  job INTEGER NOT NULL,
  hash BLOB NOT NULL REFERENCES artifacts(hash),
  role INTEGER NOT NULL CHECK (role BETWEEN 0 AND 3),   -- 0 input, 1 result, 2 evidence, 3 logs
  PRIMARY KEY (job, hash, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_refs_hash ON artifact_refs (hash);

-- Results that came with a lost lease: kept, never accepted, never paid.
CREATE TABLE evidence (
  job INTEGER NOT NULL,
  no INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  worker INTEGER NOT NULL,
  at INTEGER NOT NULL,
  manifest_hash BLOB NOT NULL CHECK (length(manifest_hash) = 32),
  manifest TEXT NOT NULL,
  PRIMARY KEY (job, no, fence, worker, manifest_hash)
) STRICT, WITHOUT ROWID;

-- One signature per reports call over its ordered receipt hashes.
CREATE TABLE report_lists (
  key INTEGER PRIMARY KEY,
  session INTEGER NOT NULL,
  at INTEGER NOT NULL,
  receipts BLOB NOT NULL CHECK (length(receipts) % 32 = 0),
  signature BLOB NOT NULL CHECK (length(signature) = 64)
) STRICT;

CREATE TABLE job_archive (
  uid BLOB PRIMARY KEY CHECK (length(uid) = 16),
  tenant INTEGER NOT NULL,
  state INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  archived_at INTEGER NOT NULL,
  document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX job_archive_tenant ON job_archive (tenant, ended_at);
