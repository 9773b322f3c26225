-- References of the hot path are no longer kept by the server: for each row it looked for the row that
-- was referred to, and wrote a lock into it, which was a fifth of its work. Rows are written by
-- coordinators alone, one group at a time, from rows that they have just read; `verify` looks at these
-- references as at all others.
ALTER TABLE jobs DROP CONSTRAINT jobs_tenant_fkey, DROP CONSTRAINT jobs_class_fkey;
ALTER TABLE job_specs DROP CONSTRAINT job_specs_job_fkey;
ALTER TABLE tasks DROP CONSTRAINT tasks_job_fkey;
ALTER TABLE attempts DROP CONSTRAINT attempts_worker_fkey, DROP CONSTRAINT attempts_job_no_fkey;

-- What goes with a job goes with it as before.
CREATE FUNCTION job_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM attempts USING gone WHERE attempts.job = gone.key;
  DELETE FROM tasks USING gone WHERE tasks.job = gone.key;
  DELETE FROM job_specs USING gone WHERE job_specs.job = gone.key;
  RETURN NULL;
END $$;
CREATE TRIGGER job_gone AFTER DELETE ON jobs REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION job_gone();
