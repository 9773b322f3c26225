//! The writer's memory held against the rows that it was made from: after every group both must say
//! the same, or a restart would decide otherwise than going on.

use crate::Error;
use crate::database::Database;
use crate::fleet::sorted;
use crate::state::State;
use ciro_core::id::{AttemptKey, SessionKey, TenantKey};
use ciro_core::invariant::Violation;
use ciro_core::resources::Held;
use std::collections::BTreeMap;
use std::fmt::Debug;

/// What does not agree.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn compare<T: PartialEq + Debug>(&mut self, what: &str, memory: T, rows: T) {
        if memory != rows {
            self.0.push(violation(format!("{what}: memory says {memory:?}, the rows {rows:?}")));
        }
    }
}

fn violation(what: String) -> Violation {
    Violation { invariant: "memory", what }
}

impl<D: Database> State<D> {
    /// See the module.
    pub(crate) fn disagreements(&self) -> Result<Vec<Violation>, Error> {
        let mut found = Found::default();
        found.compare("the last position", self.position, self.db.last_position()?);
        found.compare("open tasks", self.open_tasks, self.db.count_open_tasks()?);
        for (tenant, jobs) in self.db.count_open_jobs()? {
            found.compare(&format!("open jobs of tenant {}", tenant.0), self.tenants.open_jobs(tenant), jobs);
        }
        self.compare_live(&mut found)?;
        self.compare_waiting(&mut found)?;
        found.0.sort_by(|a, b| a.what.cmp(&b.what));
        Ok(found.0)
    }

    /// Live attempts, and what they hold of their workers and of their tenants' caps.
    fn compare_live(&self, found: &mut Found) -> Result<(), Error> {
        let rows: Vec<AttemptKey> = self.db.all_live_attempts()?.iter().map(|(a, _)| a.key).collect();
        found.compare("live attempts", sorted(self.fleet.lives().map(|(key, _)| key)), rows);
        let mut held: BTreeMap<SessionKey, Held> = BTreeMap::new();
        let mut running: BTreeMap<TenantKey, u64> = BTreeMap::new();
        for (_, live) in self.fleet.lives() {
            held.entry(live.session).or_default().add(&live.requirement.resources, &live.gpus);
            *running.entry(live.tenant).or_default() += 1;
        }
        for (session, seat) in self.fleet.seats() {
            let sum = held.remove(&session).unwrap_or_default();
            let figures = |held: &Held| (held.attempts(), held.cpu_millis(), held.memory_bytes());
            let what = format!("what worker {} holds, and the sum over its attempts", seat.worker.0);
            found.compare(&what, figures(&seat.held), figures(&sum));
        }
        for (tenant, live) in running {
            let what = format!("live attempts of tenant {}", tenant.0);
            found.compare(&what, self.fleet.running_of(tenant), live);
        }
        Ok(())
    }

    /// Every task that could be granted is proposed, now or when its time comes.
    fn compare_waiting(&self, found: &mut Found) -> Result<(), Error> {
        self.db.waiting_tasks(|row| {
            if !self.index.proposes(row.tenant, row.place) {
                let what = format!(
                    "task {} of job {} waits and is never proposed",
                    row.place.first, row.place.job.0
                );
                found.0.push(violation(what));
            }
            Ok(())
        })
    }
}
