//! Which index each lane walks: a list that sorts, or reads a whole table, is a list that stops
//! answering when there are many jobs.

use super::*;
use crate::open::MIGRATIONS;
use rusqlite::Connection;

fn plan(c: &Connection, sql: &str) -> Vec<String> {
    let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let found = statement.query_map((1, 1), |r| r.get(3)).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_lane_is_a_walk_over_an_index() {
    let c = Connection::open_in_memory().unwrap();
    c.execute_batch(&MIGRATIONS.concat()).unwrap();
    for by in [SortKey::Created, SortKey::Priority, SortKey::State] {
        for descending in [false, true] {
            let order = JobOrder { by, descending };
            for lane in order.lanes() {
                let index = match lane {
                    Lane::Priority(_) => "jobs_priority (tenant=? AND priority=? AND rowid",
                    Lane::State(state) if RARE.contains(&state) => "jobs_rare (tenant=? AND state=? AND key",
                    Lane::All | Lane::State(_) => "jobs_tenant (tenant=? AND key",
                };
                let steps = plan(&c, &source(order.keys_ascend(), lane));
                assert!(steps.len() == 1 && steps[0].contains(index), "{order:?} {lane:?}: {steps:#?}");
            }
        }
    }
}
