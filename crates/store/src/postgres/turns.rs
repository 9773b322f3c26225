//! Turns: a group begins when it has the row of `head`, which waits for the group of another
//! coordinator, and ends with what it leaves there.
//!
//! A COMMIT whose answer was lost is looked for: its turn is in `turns`, or it was not made.

use super::buffer::calls;
use super::connection::{Call, Connection, Param};
use super::{Postgres, migrate, returned};
use crate::Error;
use crate::SCHEMA_VERSION;
use crate::database::{Beat, CoordinatorTables, GONE_MS, Joining, Left, Turn};
use ciro_core::id::{CoordinatorKey, SessionKey};
use ciro_core::time::Timestamp;
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;

/// Records of groups that are kept for those who were away.
const KEPT: i64 = 4_096;
/// Turns between two times that older records are deleted.
const FORGET_EVERY: i64 = 512;
/// How long a lost COMMIT is looked for; whoever asked waits meanwhile.
const LOOKED_FOR: Duration = Duration::from_secs(8);
/// Between two tries to connect.
const BETWEEN: Duration = Duration::from_millis(100);
/// Where coordinators hear of each other's groups: the number of the turn and whose it was.
pub(super) const CHANNEL: &str = "ciro_turns";

/// Now by the database's clock, ms since 1970.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::int8"
    };
}
pub(super) use now;

/// The process of a coordinator that was shut out.
pub(super) const NOBODY: [u8; 16] = [0; 16];

macro_rules! head {
    ($lock:literal) => {
        concat!("SELECT turn, position, last_job, last_list, term FROM head WHERE \"only\" = 1", $lock)
    };
}
const HEAD: &str = head!(" FOR UPDATE");
const LOOK: &str = head!("");
/// A statement of its own, so that it sees what was written while the row was waited for.
const TOLD: &str = "SELECT t.told, (SELECT count(*) FROM coordinators WHERE ended_at IS NULL), \
                    (SELECT uid FROM coordinators WHERE key = $3) FROM (VALUES (1)) AS one(x) LEFT JOIN \
                    (SELECT no, told FROM turns WHERE no > $1 ORDER BY no LIMIT $2) AS t ON true ORDER BY t.no";
const LEAVE: &str = "INSERT INTO turns (no, coordinator, term, told) VALUES ($1, $2, $3, $4)";
const MOVE: &str = "WITH moved AS (UPDATE head SET turn = $1, position = $2, last_job = $3, last_list = $4 \
                    WHERE \"only\" = 1 AND turn = $1 - 1 RETURNING 1) \
                    SELECT ciro_exactly((SELECT count(*) FROM moved), 1, 'head')";
const FORGET: &str = "DELETE FROM turns WHERE no <= $1";
const NOTIFY: &str = "SELECT pg_notify($1, $2)";

/// What a group found, and what it goes by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Under {
    last: i64,
    position: i64,
    last_job: i64,
    last_list: i64,
    term: i64,
    others: bool,
}

/// How a transaction is begun.
type Begin = fn(&Connection, &[Call<'_>]) -> Result<Vec<Vec<tokio_postgres::Row>>, Error>;

impl Postgres {
    pub(super) fn take_turn(&mut self, seen: i64) -> Result<Turn, Error> {
        self.enter(seen, HEAD, Connection::begin_with)
    }

    pub(super) fn look_at(&mut self, seen: i64) -> Result<Turn, Error> {
        self.enter(seen, LOOK, Connection::snapshot_with)
    }

    fn enter(&mut self, seen: i64, head: &'static str, begin: Begin) -> Result<Turn, Error> {
        let limit = KEPT + 1;
        let params: [Param<'_>; 3] = [(&seen, Type::INT8), (&limit, Type::INT8), (&self.me.0.0, Type::INT8)];
        self.in_group = true;
        let answers =
            begin(&self.c, &[Call { sql: head, params: &[] }, Call { sql: TOLD, params: &params }])?;
        let [head, told] = &answers[..] else { return Err(lost("head")) };
        let head = head.first().ok_or_else(|| lost("head"))?;
        let (last, position, last_job) = (head.try_get(0)?, head.try_get(1)?, head.try_get(2)?);
        let (last_list, term) = (head.try_get(3)?, head.try_get(4)?);
        let around = told.first().ok_or_else(|| lost("turns"))?;
        stop_if_replaced(&self.me.1, around.try_get(2)?);
        let others = around.try_get::<_, i64>(1)? > 1;
        self.under = Under { last, position, last_job, last_list, term, others };
        self.last_list = last_list;
        // Without any row since, the join has one that is empty.
        let missed = usize::try_from(last - seen).unwrap_or_default();
        let told = match missed {
            0 => Some(Vec::new()),
            _ if told.len() != missed => None,
            _ => told.iter().map(|row| row.try_get::<_, Option<Vec<u8>>>(0)).collect::<Result<_, _>>()?,
        };
        Ok(Turn { no: last, position, last_job, told, others, term })
    }

    /// Whether anything is to be left behind.
    fn has_written(&mut self, left: &Left<'_>) -> bool {
        let Under { position, last_job, last_list, .. } = self.under;
        self.wrote.get()
            || !self.buffer.get_mut().statements().is_empty()
            || left.told.is_some_and(|told| !told.is_empty())
            || (left.position, left.last_job, self.last_list) != (position, last_job, last_list)
    }

    pub(super) fn end_turn(&mut self, left: &Left<'_>) -> Result<i64, Error> {
        self.buffer.get_mut().settle();
        self.in_group = false;
        if !self.has_written(left) {
            self.c.batch("COMMIT")?;
            return Ok(self.under.last);
        }
        let Under { last, term, others, .. } = self.under;
        let (no, heard) = (last + 1, format!("{} {}", last + 1, left.by.0));
        let leave: [Param<'_>; 4] =
            [(&no, Type::INT8), (&left.by.0, Type::INT8), (&term, Type::INT8), (&left.told, Type::BYTEA)];
        let moved: [Param<'_>; 4] = [
            (&no, Type::INT8),
            (&left.position, Type::INT8),
            (&left.last_job, Type::INT8),
            (&self.last_list, Type::INT8),
        ];
        let kept = no - KEPT;
        let old: [Param<'_>; 1] = [(&kept, Type::INT8)];
        let notify: [Param<'_>; 2] = [(&CHANNEL, Type::TEXT), (&heard, Type::TEXT)];
        let buffer = self.buffer.borrow();
        let statements = buffer.statements();
        let mut all = calls(&statements);
        all.push(Call { sql: LEAVE, params: &leave });
        all.push(Call { sql: MOVE, params: &moved });
        if no % FORGET_EVERY == 0 {
            all.push(Call { sql: FORGET, params: &old });
        }
        if others {
            all.push(Call { sql: NOTIFY, params: &notify });
        }
        let done = self.c.commit_with(&all);
        drop(all);
        drop(statements);
        drop(buffer);
        match done {
            Err(Error::Unavailable { .. }) => self.look_for(no, left.by),
            done => done.map(|()| no),
        }
    }

    /// Finds out whether the COMMIT of a turn was made whose answer was lost. Whoever holds the row of
    /// `head` may still be that very transaction, so it is waited for.
    fn look_for(&mut self, no: i64, me: CoordinatorKey) -> Result<i64, Error> {
        let began = Instant::now();
        loop {
            match self.c.reconnect().and_then(|()| self.is_made(no, me)) {
                Ok(true) => return Ok(no),
                Ok(false) => return Err(Error::Unavailable { certain: true }),
                Err(error) if began.elapsed() > LOOKED_FOR => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        turn = no,
                        "whether the last group was committed is not known"
                    );
                    return Err(Error::Unavailable { certain: false });
                }
                Err(_) => std::thread::sleep(BETWEEN),
            }
        }
    }

    fn enlist(&self, who: &Joining) -> Result<CoordinatorKey, Error> {
        let sql = concat!(
            "WITH me AS (INSERT INTO coordinators (uid, name, address, version, schema, started_at, seen_at) \
             SELECT $1, $2, $3, $4, $5, t.now, t.now FROM (SELECT ",
            now!(),
            " AS now) AS t ON CONFLICT (name) DO UPDATE SET uid = excluded.uid, address = excluded.address, \
             version = excluded.version, schema = excluded.schema, started_at = excluded.started_at, \
             seen_at = excluded.seen_at, ended_at = NULL RETURNING key), \
             led AS (UPDATE head SET leader = NULL FROM me WHERE head.leader = me.key) SELECT key FROM me"
        );
        let params: [Param<'_>; 5] = [
            (&who.uid.as_slice(), Type::BYTEA),
            (&who.name, Type::TEXT),
            (&who.address, Type::TEXT),
            (&who.version, Type::TEXT),
            (&SCHEMA_VERSION, Type::INT8),
        ];
        let key = self.one(sql, &params, |r| Ok(CoordinatorKey(r.get(0)?)))?;
        returned(key, "coordinators")
    }

    fn is_made(&self, no: i64, me: CoordinatorKey) -> Result<bool, Error> {
        self.c.begin()?;
        self.c.query(HEAD, &[])?;
        let sql = "SELECT coordinator FROM turns WHERE no = $1";
        let rows = self.c.query(sql, &[(&no, Type::INT8)])?;
        self.c.batch("ROLLBACK")?;
        let whose: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?;
        Ok(whose == Some(me.0))
    }
}

impl CoordinatorTables for Postgres {
    fn join(&mut self, who: &Joining, _: Timestamp) -> Result<CoordinatorKey, Error> {
        self.c.begin()?;
        // Whoever shuts programs of this version out has done so before this one is in the list, or
        // finds it there.
        let joined = self.enlist(who).and_then(|key| {
            let shown = self.c.address().to_string();
            migrate::schema(&self.c, &shown)?.admit(&shown, SCHEMA_VERSION)?;
            Ok(key)
        });
        if joined.is_err() && self.c.is_lost() {
            return joined;
        }
        self.c.batch(if joined.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        let key = joined?;
        self.me = (key, who.uid);
        Ok(key)
    }

    fn part(&mut self, me: CoordinatorKey) -> Result<(), Error> {
        let sql = concat!(
            "WITH led AS (UPDATE head SET leader = NULL WHERE leader = $1) \
             UPDATE coordinators SET ended_at = ",
            now!(),
            " WHERE key = $1"
        );
        self.write(sql, &[(&me.0, Type::INT8)])
    }

    fn beat(&mut self, me: CoordinatorKey, _: Timestamp) -> Result<Beat, Error> {
        let seen = concat!("UPDATE coordinators SET seen_at = ", now!(), ", ended_at = NULL WHERE key = $1");
        let lead = concat!(
            "UPDATE head SET leader = $1, term = CASE WHEN leader = $1 THEN term ELSE term + 1 END, \
             leader_until = ",
            now!(),
            " + $2 WHERE \"only\" = 1 AND (leader = $1 OR NOT EXISTS (SELECT 1 FROM coordinators c \
             WHERE c.key = head.leader AND c.ended_at IS NULL AND c.seen_at >= ",
            now!(),
            " - $2)) RETURNING term"
        );
        let end = concat!(
            "UPDATE coordinators SET ended_at = ",
            now!(),
            " WHERE ended_at IS NULL AND key <> $1 AND seen_at < ",
            now!(),
            " - $2 AND EXISTS (SELECT 1 FROM head WHERE leader = $1)"
        );
        let there = "SELECT key FROM coordinators WHERE ended_at IS NULL ORDER BY key";
        let gone_ms = GONE_MS as i64;
        let params: [Param<'_>; 2] = [(&me.0, Type::INT8), (&gone_ms, Type::INT8)];
        let calls = [
            Call { sql: seen, params: &params[..1] },
            Call { sql: lead, params: &params },
            Call { sql: end, params: &params },
            Call { sql: there, params: &[] },
        ];
        self.wrote.set(true);
        let answers = self.c.pipeline(&calls)?;
        let [_, lead, _, there] = &answers[..] else { return Err(lost("coordinators")) };
        let leads: Option<i64> = lead.first().map(|row| row.try_get(0)).transpose()?;
        let Some(term) = leads else { return Ok(Beat::default()) };
        self.under.term = term;
        let there = there.iter().map(|row| Ok(CoordinatorKey(row.try_get(0)?)));
        Ok(Beat { leads, there: there.collect::<Result<_, Error>>()? })
    }

    fn take_sessions(&mut self, me: CoordinatorKey, sessions: &[SessionKey]) -> Result<(), Error> {
        let keys: Vec<i64> = sessions.iter().map(|session| session.0).collect();
        let sql = "UPDATE sessions SET coordinator = $1 WHERE key = ANY($2)";
        self.write(sql, &[(&me.0, Type::INT8), (&keys, Type::INT8_ARRAY)])
    }
}

/// Another process of the same name has taken this one's place, and its sessions; or nobody of this time
/// or program may go on.
fn stop_if_replaced(mine: &[u8; 16], found: Option<&[u8]>) {
    let Some(found) = found.filter(|uid| uid != mine) else { return };
    if *found == NOBODY {
        tracing::error!(
            "while nothing was heard of this coordinator, its database was upgraded or began a new epoch without it: \
             stopping; start it again"
        );
    } else {
        tracing::error!("another coordinator of the same name has started: stopping");
    }
    std::process::abort();
}

fn lost(table: &'static str) -> Error {
    Error::Malformed { table, what: "its row is missing".into() }
}
