//! The readers' queries, on the writing connection: between two groups it shows what is on the disk.

use super::Postgres;
use crate::Error;
use crate::database::ReadTables;
use crate::read::{
    self, AttemptPage, EventRow, JobDetail, JobRows, LateResult, LogBounds, PreparingJob, WorkerListed,
};
use ciro_core::id::{JobId, JobKey, TenantKey, WorkerId, WorkerKey};
use ciro_core::time::Timestamp;
use tokio_postgres::types::Type;

impl ReadTables for Postgres {
    fn events_after(
        &self,
        tenant: Option<TenantKey>,
        position: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        read::events_after(&self.link(), tenant, position, limit)
    }

    fn log_bounds(&self) -> Result<LogBounds, Error> {
        read::log_bounds(&self.link())
    }

    fn job_detail(&self, tenant: TenantKey, id: JobId) -> Result<Option<JobDetail>, Error> {
        read::job_detail(&self.link(), tenant, id)
    }

    fn attempts(
        &self,
        tenant: TenantKey,
        job: JobKey,
        after: Option<(u32, u32)>,
        limit: u32,
    ) -> Result<AttemptPage, Error> {
        read::attempts(&self.link(), tenant, job, after, limit)
    }

    fn workers(&self, tenant: TenantKey) -> Result<Vec<WorkerKey>, Error> {
        let sql = "SELECT key FROM workers WHERE tenant = $1 AND removed_at IS NULL ORDER BY key";
        self.many(sql, &[(&tenant.0, Type::INT8)], |r| Ok(WorkerKey(r.get(0)?)))
    }

    fn worker_listed(&self, tenant: TenantKey, id: WorkerId) -> Result<Option<WorkerListed>, Error> {
        read::worker_listed(&self.link(), tenant, id)
    }

    fn evidence(&self, tenant: TenantKey, job: JobKey) -> Result<Vec<LateResult>, Error> {
        read::evidence(&self.link(), tenant, job)
    }

    fn job_rows(&self, key: JobKey) -> Result<Option<JobRows>, Error> {
        read::job_rows(&self.link(), key)
    }

    fn jobs_after(&self, after: JobKey, limit: u32) -> Result<Vec<JobKey>, Error> {
        read::jobs_after(&self.link(), after, limit)
    }

    fn jobs_due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobKey>, Error> {
        read::jobs_due(&self.link(), now, limit)
    }

    fn jobs_preparing(&self, after: Option<JobKey>, limit: u32) -> Result<Vec<PreparingJob>, Error> {
        read::jobs_preparing(&self.link(), after, limit)
    }
}
