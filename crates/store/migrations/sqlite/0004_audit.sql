-- Who changed what: one chain of hashes for each tenant (core::audit), whose rows never change. The
-- oldest of a long chain may be let go; its head says up to which row, and what that row's hash was.

CREATE TABLE audit (
  tenant INTEGER NOT NULL REFERENCES tenants(key),
  position INTEGER NOT NULL CHECK (position >= 1),
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  role TEXT NOT NULL,
  address TEXT,
  request_id TEXT,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  before TEXT,
  after TEXT,
  previous BLOB NOT NULL CHECK (length(previous) = 32),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (tenant, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_heads (
  tenant INTEGER PRIMARY KEY REFERENCES tenants(key),
  position INTEGER NOT NULL CHECK (position >= cut),
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  cut INTEGER NOT NULL CHECK (cut >= 0),
  cut_hash BLOB NOT NULL CHECK (length(cut_hash) = 32)
) STRICT;

CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit BEGIN
  SELECT raise(ABORT, 'rows of the audit log never change');
END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit
  WHEN old.position > coalesce((SELECT cut FROM audit_heads WHERE tenant = old.tenant), 0) BEGIN
  SELECT raise(ABORT, 'rows of the audit log are kept until they are cut');
END;
CREATE TRIGGER audit_head_grows BEFORE UPDATE ON audit_heads
  WHEN new.tenant <> old.tenant OR new.position < old.position OR new.cut < old.cut BEGIN
  SELECT raise(ABORT, 'the head of an audit log only grows');
END;
CREATE TRIGGER audit_head_kept BEFORE DELETE ON audit_heads BEGIN
  SELECT raise(ABORT, 'the head of an audit log is kept');
END;
