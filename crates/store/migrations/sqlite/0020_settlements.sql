-- How the money of jobs was shared out, in the archive too, and what providers earned.

-- Where the money of an archived job is, as in `jobs`; NULL where nobody pays for it, and where it was
-- archived before.
ALTER TABLE job_archive ADD COLUMN settlement INTEGER CHECK (settlement BETWEEN 1 AND 5);
CREATE INDEX IF NOT EXISTS job_archive_paid ON job_archive (tenant, uid) WHERE settlement IS NOT NULL;

-- Of one tenant's many jobs those that are paid for. To a job that nobody pays for it is one comparison.
CREATE INDEX IF NOT EXISTS jobs_paid ON jobs (tenant, uid) WHERE settlement <> 0;

-- What providers earned of jobs that were paid from a balance.
CREATE INDEX IF NOT EXISTS transfers_earned ON transfers (credit_tenant, at) WHERE code = 4;
