//! Coordinators that take turns on one database in memory: it is handed from one to the next.

use super::table::Undo;
use super::{Memory, check};
use crate::Error;
use crate::database::{Beat, CoordinatorTables, GONE_MS, Joining, Left, Turn};
use ciro_core::id::{CoordinatorKey, SessionKey};
use ciro_core::time::Timestamp;
use std::collections::VecDeque;

/// Records that are kept for those who were away.
const KEPT: usize = 4_096;

/// What groups left.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: i64,
    position: i64,
    last_job: i64,
    /// The records of the last turns, the latest last.
    told: VecDeque<(CoordinatorKey, Option<Vec<u8>>)>,
}

/// A coordinator's row.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    name: String,
    seen_at: Timestamp,
    ended: bool,
}

impl Memory {
    pub(super) fn turn_after(&self, seen: i64) -> Turn {
        let Turns { last, position, last_job, .. } = self.turns;
        let missed = usize::try_from(last - seen).unwrap_or(usize::MAX);
        let told = self.turns.told.len().checked_sub(missed).and_then(|from| {
            self.turns.told.range(from..).map(|(_, told)| told.clone()).collect::<Option<Vec<_>>>()
        });
        let others = self.coordinators.iter().filter(|(_, row)| !row.ended).count() > 1;
        let term = self.lead.get(&()).map_or(0, |(_, term)| *term);
        Turn { no: last, position, last_job, told, others, term }
    }

    pub(super) fn leave(&mut self, left: &Left<'_>) -> i64 {
        let turns = &mut self.turns;
        turns.last += 1;
        (turns.position, turns.last_job) = (left.position, left.last_job);
        if turns.told.len() == KEPT {
            turns.told.pop_front();
        }
        turns.told.push_back((left.by, left.told.map(<[u8]>::to_vec)));
        turns.last
    }

    /// Whoever leads, it is not this one.
    fn lead_no_longer(&mut self, key: CoordinatorKey) {
        if let Some((_, term)) = self.lead.get(&()).copied().filter(|(leader, _)| *leader == key) {
            self.lead.put((), (CoordinatorKey(0), term));
        }
    }

    fn see(&mut self, key: CoordinatorKey, change: impl FnOnce(&mut Kept)) {
        if let Some(mut row) = self.coordinators.get(&key).cloned() {
            change(&mut row);
            self.coordinators.put(key, row);
        }
    }

    fn is_gone(&self, key: CoordinatorKey, now: Timestamp) -> bool {
        self.coordinators.get(&key).is_none_or(|row| row.ended || now.since_ms(row.seen_at) > GONE_MS)
    }
}

impl CoordinatorTables for Memory {
    fn join(&mut self, who: &Joining, now: Timestamp) -> Result<CoordinatorKey, Error> {
        check(!self.in_group, "groups", || "a coordinator joins in a group".into())?;
        let known = self.coordinators.iter().find(|(_, row)| row.name == who.name).map(|(key, _)| *key);
        let next = CoordinatorKey(self.coordinators.last().map_or(1, |last| last.0 + 1));
        let key = known.unwrap_or(next);
        self.coordinators.put(key, Kept { name: who.name.clone(), seen_at: now, ended: false });
        self.lead_no_longer(key);
        self.coordinators.keep();
        self.lead.keep();
        Ok(key)
    }

    fn part(&mut self, me: CoordinatorKey) -> Result<(), Error> {
        self.lead_no_longer(me);
        self.lead.keep();
        self.see(me, |row| row.ended = true);
        self.coordinators.keep();
        Ok(())
    }

    fn beat(&mut self, me: CoordinatorKey, now: Timestamp) -> Result<Beat, Error> {
        self.see(me, |row| (row.seen_at, row.ended) = (now, false));
        let lead = self.lead.get(&()).copied();
        let (leader, term) = lead.filter(|(leader, _)| !self.is_gone(*leader, now)).unwrap_or_else(|| {
            let next = (me, lead.map_or(1, |(_, term)| term + 1));
            self.lead.put((), next);
            next
        });
        if leader != me {
            return Ok(Beat::default());
        }
        let there = self.coordinators.iter().filter(|(_, row)| !row.ended);
        let gone: Vec<CoordinatorKey> =
            there.map(|(key, _)| *key).filter(|key| *key != me && self.is_gone(*key, now)).collect();
        gone.into_iter().for_each(|key| self.see(key, |row| row.ended = true));
        let there = self.coordinators.iter().filter(|(_, row)| !row.ended).map(|(key, _)| *key).collect();
        Ok(Beat { leads: Some(term), there })
    }

    fn take_sessions(&mut self, me: CoordinatorKey, sessions: &[SessionKey]) -> Result<(), Error> {
        for key in sessions {
            if let Some(mut session) = self.sessions.get(key).cloned() {
                session.coordinator = me;
                self.sessions.put(*key, session);
            }
        }
        Ok(())
    }
}
