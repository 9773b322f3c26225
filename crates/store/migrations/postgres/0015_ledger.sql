-- The coordinator's own books (core::money): every row of `transfers` takes an amount from one account
-- and gives it to another, and never changes. Accounts keep what went through them, as sums that only
-- grow. Amounts are zero-padded TEXT(39), so that text order is number order.

-- Tenant 0 is the operator: it has the accounts of kinds 3 (treasury) and 4 (external) and no others.
CREATE TABLE accounts (
  tenant BIGINT NOT NULL CHECK (tenant >= 0),
  kind BIGINT NOT NULL CHECK (kind BETWEEN 0 AND 4),
  debits TEXT COLLATE "C" NOT NULL CHECK (length(debits) = 39),
  credits TEXT COLLATE "C" NOT NULL CHECK (length(credits) = 39),
  PRIMARY KEY (tenant, kind),
  CHECK ((tenant = 0) = (kind >= 3)),
  -- Nobody gives what is not there; outside has given at least what came back.
  CHECK (CASE kind WHEN 4 THEN debits >= credits ELSE credits >= debits END)
);

CREATE TABLE transfers (
  no BIGINT PRIMARY KEY CHECK (no >= 1),
  at BIGINT NOT NULL,
  code BIGINT NOT NULL CHECK (code BETWEEN 1 AND 6),
  amount TEXT COLLATE "C" NOT NULL CHECK (length(amount) = 39 AND amount > '000000000000000000000000000000000000000'),
  debit_tenant BIGINT NOT NULL,
  debit_kind BIGINT NOT NULL,
  credit_tenant BIGINT NOT NULL,
  credit_kind BIGINT NOT NULL,
  job BYTEA CHECK (job IS NULL OR length(job) = 16),   -- its public id: transfers outlive jobs
  uid BYTEA UNIQUE CHECK (uid IS NULL OR length(uid) = 16),
  reference TEXT COLLATE "C",
  note TEXT,
  FOREIGN KEY (debit_tenant, debit_kind) REFERENCES accounts (tenant, kind),
  FOREIGN KEY (credit_tenant, credit_kind) REFERENCES accounts (tenant, kind),
  -- 1 deposit, 2 withdraw, 3 lock, 4 pay, 5 fee, 6 refund: each leads from one kind to one other.
  CHECK ((code = 1 AND debit_kind = 4 AND credit_kind = 0) OR (code = 2 AND debit_kind IN (0, 2) AND credit_kind = 4)
      OR (code = 3 AND debit_kind = 0 AND credit_kind = 1) OR (code = 4 AND debit_kind = 1 AND credit_kind = 2)
      OR (code = 5 AND debit_kind = 1 AND credit_kind = 3) OR (code = 6 AND debit_kind = 1 AND credit_kind = 0)),
  CHECK ((code >= 3) = (job IS NOT NULL)),
  CHECK ((code <= 2) = (uid IS NOT NULL)),
  CHECK (reference IS NULL OR code <= 2)
);
CREATE INDEX transfers_debited ON transfers (debit_tenant, no);
CREATE INDEX transfers_credited ON transfers (credit_tenant, no);
-- A job is locked once, and each of those who share it out gets one credit.
CREATE UNIQUE INDEX transfers_job ON transfers (job, code, credit_tenant) WHERE job IS NOT NULL;
-- What has a name outside comes in once and goes out once.
CREATE UNIQUE INDEX transfers_reference ON transfers (code, reference) WHERE reference IS NOT NULL;

-- The function is that of the audit log (0004).
CREATE TRIGGER transfers_fixed BEFORE UPDATE ON transfers
  FOR EACH ROW EXECUTE FUNCTION audit_refused('transfers never change');
CREATE TRIGGER transfers_kept BEFORE DELETE ON transfers
  FOR EACH ROW EXECUTE FUNCTION audit_refused('transfers are kept');
CREATE TRIGGER accounts_grow BEFORE UPDATE ON accounts
  FOR EACH ROW WHEN (new.tenant <> old.tenant OR new.kind <> old.kind OR new.debits < old.debits
                     OR new.credits < old.credits)
  EXECUTE FUNCTION audit_refused('the sums of an account only grow');
CREATE TRIGGER accounts_kept BEFORE DELETE ON accounts
  FOR EACH ROW EXECUTE FUNCTION audit_refused('accounts are kept');
-- Nor may all of them go at once, which triggers of rows do not see.
CREATE TRIGGER transfers_whole BEFORE TRUNCATE ON transfers
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refused('transfers are kept');
CREATE TRIGGER accounts_whole BEFORE TRUNCATE ON accounts
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refused('accounts are kept');
