-- The order of lists by priority: a job's priority never changes, so a job pays for this when it is
-- accepted and when it is archived, and never when it moves.
CREATE INDEX jobs_priority ON jobs (tenant, priority, key);
