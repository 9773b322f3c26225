-- What a tenant may use at once, and whether it may use anything. NULL is no bound of its own.

ALTER TABLE tenants ADD COLUMN max_open_jobs BIGINT CHECK (max_open_jobs >= 0);
ALTER TABLE tenants ADD COLUMN max_running BIGINT CHECK (max_running >= 0);
ALTER TABLE tenants ADD COLUMN max_artifact_bytes BIGINT CHECK (max_artifact_bytes >= 0);
ALTER TABLE tenants ADD COLUMN max_requests BIGINT CHECK (max_requests >= 1);
ALTER TABLE tenants ADD COLUMN suspended_at BIGINT;
