-- Who changed what: one chain of hashes for each tenant (core::audit), whose rows never change. The
-- oldest of a long chain may be let go; its head says up to which row, and what that row's hash was.

CREATE TABLE audit (
  tenant BIGINT NOT NULL REFERENCES tenants(key),
  position BIGINT NOT NULL CHECK (position >= 1),
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  role TEXT NOT NULL,
  address TEXT,
  request_id TEXT,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  before TEXT,
  after TEXT,
  previous BYTEA NOT NULL CHECK (length(previous) = 32),
  hash BYTEA NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (tenant, position)
);

CREATE TABLE audit_heads (
  tenant BIGINT PRIMARY KEY REFERENCES tenants(key),
  position BIGINT NOT NULL CHECK (position >= cut),
  hash BYTEA NOT NULL CHECK (length(hash) = 32),
  cut BIGINT NOT NULL CHECK (cut >= 0),
  cut_hash BYTEA NOT NULL CHECK (length(cut_hash) = 32)
);

CREATE FUNCTION audit_refused() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', tg_argv[0] USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit
  FOR EACH ROW EXECUTE FUNCTION audit_refused('rows of the audit log never change');
-- A condition of a trigger may not look into another table here, so the function does.
CREATE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF old.position > coalesce((SELECT cut FROM audit_heads WHERE tenant = old.tenant), 0) THEN
    RAISE EXCEPTION 'rows of the audit log are kept until they are cut'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN old;
END $$;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit
  FOR EACH ROW EXECUTE FUNCTION audit_kept();
CREATE TRIGGER audit_head_grows BEFORE UPDATE ON audit_heads
  FOR EACH ROW WHEN (new.tenant <> old.tenant OR new.position < old.position OR new.cut < old.cut)
  EXECUTE FUNCTION audit_refused('the head of an audit log only grows');
CREATE TRIGGER audit_head_kept BEFORE DELETE ON audit_heads
  FOR EACH ROW EXECUTE FUNCTION audit_refused('the head of an audit log is kept');
-- Nor may the whole of it go at once, which triggers of rows do not see.
CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refused('rows of the audit log are kept until they are cut');
CREATE TRIGGER audit_heads_whole BEFORE TRUNCATE ON audit_heads
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refused('the head of an audit log is kept');
