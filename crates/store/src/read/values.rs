//! What the fields of a tenant's jobs hold, for whoever writes a filter, and how many jobs match one.
//! Kinds and states are counted on the way; of labels and failures only the newest jobs are looked at.

use super::list::{JobField, JobFilter, JobOrder, JobQuery, MAX_PAGE, failure_code, labels_of};
use crate::error::Error;
use crate::sql::AND_RARE;
use crate::writer::Store;
use ciro_core::id::TenantKey;
use std::collections::BTreeMap;

/// Of how many of the newest jobs the labels are looked at.
const LABELLED: u32 = 5_000;
/// Of how many of the newest failed jobs the failure is looked at.
const FAILED: u32 = 1_000;

/// Values, and how many of the jobs that were looked at have each.
pub type Values = BTreeMap<String, u64>;

impl Store {
    /// Values of a field of this tenant's jobs; none where it holds numbers or instants.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_values(&self, tenant: TenantKey, field: JobField) -> Result<Values, Error> {
        match field {
            JobField::State => {
                let stats = self.job_stats(tenant).await?;
                Ok(stats.by_state.into_iter().map(|(state, n)| (state.name().to_owned(), n)).collect())
            }
            JobField::Kind => Ok(self.job_stats(tenant).await?.by_kind.into_iter().collect()),
            JobField::Failure => {
                let sql = format!(
                    "SELECT failure FROM jobs WHERE tenant = ?1 AND state = 5{AND_RARE} ORDER BY key DESC LIMIT ?2"
                );
                self.texts(sql, tenant, FAILED, |text| failure_code(text).into_iter().collect()).await
            }
            JobField::Label(name) => {
                self.labels(tenant, move |text| labels_of(Some(text)).remove(&name).into_iter().collect())
                    .await
            }
            JobField::Priority | JobField::Tasks | JobField::Created | JobField::Ended => Ok(Values::new()),
        }
    }

    /// Names of the labels of this tenant's newest jobs.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_label_names(&self, tenant: TenantKey) -> Result<Values, Error> {
        self.labels(tenant, |text| labels_of(Some(text)).into_keys().collect()).await
    }

    async fn labels(
        &self,
        tenant: TenantKey,
        of: impl Fn(&str) -> Vec<String> + Send + 'static,
    ) -> Result<Values, Error> {
        let sql = "SELECT labels FROM jobs WHERE tenant = ?1 ORDER BY key DESC LIMIT ?2".to_owned();
        self.texts(sql, tenant, LABELLED, of).await
    }

    async fn texts(
        &self,
        sql: String,
        tenant: TenantKey,
        newest: u32,
        of: impl Fn(&str) -> Vec<String> + Send + 'static,
    ) -> Result<Values, Error> {
        self.read(move |c| {
            let mut values = Values::new();
            let found = c.rows(&sql, (tenant.0, newest), |r| {
                Ok(r.get::<Option<&str>>(0)?.map(&of).unwrap_or_default())
            })?;
            for value in found.into_iter().flatten() {
                *values.entry(value).or_default() += 1;
            }
            Ok(values)
        })
        .await
    }

    /// How many of this tenant's jobs match. Page by page, so that other reads come in between.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn job_count(&self, tenant: TenantKey, filter: JobFilter) -> Result<u64, Error> {
        let mut query = JobQuery { filter, order: JobOrder::OLDEST, after: None, limit: MAX_PAGE };
        let mut count = 0;
        loop {
            let page = self.job_list(tenant, query.clone()).await?;
            count += page.items.len() as u64;
            query.after = page.next;
            if page.next.is_none() {
                return Ok(count);
            }
        }
    }
}
