//! What the writer does with its connection: statements that are prepared once, and several questions
//! that go out together and are answered in their order, in one round trip. With PgBouncer in front
//! nothing is prepared: in its transaction mode the next transaction may meet another server process.

use super::{Connection, Param, connect, within};
use crate::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

/// A walk over what a start reads may have to be sorted before its first row is there.
const START_WITHIN: Duration = Duration::from_secs(600);

/// One of several questions that go out together.
#[derive(Clone, Copy)]
pub(in crate::postgres) struct Call<'a> {
    pub(in crate::postgres) sql: &'static str,
    pub(in crate::postgres) params: &'a [Param<'a>],
}

type Said = Result<Vec<Row>, tokio_postgres::Error>;
type Asked<'a> = Pin<Box<dyn Future<Output = Said> + 'a>>;

impl Connection {
    /// Connects again, once. Whatever was under way on the old connection is undone by its end.
    ///
    /// # Errors
    /// Those of [`Connection::open`].
    pub(in crate::postgres) fn reconnect(&mut self) -> Result<(), Error> {
        self.statements.get_mut().clear();
        self.client = connect(&self.runtime, &self.address, &self.settings)?;
        self.hung.set(false);
        Ok(())
    }

    /// The rows of a statement that is run often.
    pub(in crate::postgres) fn prepared(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Error> {
        self.pipeline(&[Call { sql, params }]).map(|mut answers| answers.pop().unwrap_or_default())
    }

    /// The rows of a statement that a start may wait for.
    pub(in crate::postgres) fn patiently(&self, sql: &str) -> Result<Vec<Row>, Error> {
        within(&self.runtime, START_WITHIN, self.client.query_typed(sql, &[]))
    }

    /// Statements that a start may wait for.
    pub(in crate::postgres) fn batch_patiently(&self, sql: &str) -> Result<(), Error> {
        within(&self.runtime, START_WITHIN, self.client.batch_execute(sql))
    }

    /// The rows of each call, all asked at once. Inside a transaction the first that fails fails the
    /// others, and its error is the one that is told.
    pub(in crate::postgres) fn pipeline(&self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        self.prepare_all(calls)?;
        self.wait(self.ask_all(None, calls, None))
    }

    /// Begins a transaction and asks its first questions, in one round trip.
    pub(in crate::postgres) fn begin_with(&self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        self.prepare_all(calls)?;
        let beginning = self.beginning();
        self.wait(self.ask_all(Some(&beginning), calls, None))
    }

    /// The same of a transaction in which every question sees the same instant.
    pub(in crate::postgres) fn snapshot_with(&self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        self.prepare_all(calls)?;
        let beginning = self.snapshot();
        self.wait(self.ask_all(Some(&beginning), calls, None))
    }

    /// Asks the last questions of a transaction and commits it, in one round trip. Where one of them
    /// fails, COMMIT undoes it all.
    pub(in crate::postgres) fn commit_with(&self, calls: &[Call<'_>]) -> Result<(), Error> {
        if let Err(error) = self.prepare_all(calls) {
            // It may be the connection itself that failed; the server undoes it then.
            let _ = self.batch("ROLLBACK");
            return Err(error);
        }
        self.wait(self.ask_all(None, calls, Some("COMMIT"))).map(drop)
    }

    /// Asks in order, and waits for all answers; those of `calls`, or the first error.
    async fn ask_all(
        &self,
        before: Option<&str>,
        calls: &[Call<'_>],
        after: Option<&str>,
    ) -> Result<Vec<Vec<Row>>, tokio_postgres::Error> {
        let known: Vec<_> = calls.iter().map(|call| self.known(call.sql, call.params)).collect();
        let frame = |sql| Box::pin(self.say(sql)) as Asked<'_>;
        let mut asked: Vec<Asked<'_>> = before.into_iter().map(frame).collect();
        asked.extend(
            calls
                .iter()
                .zip(known)
                .map(|(call, known)| Box::pin(self.ask(known, call.sql, call.params)) as Asked<'_>),
        );
        asked.extend(after.into_iter().map(frame));
        let mut answers = in_order(asked).await?;
        if before.is_some() {
            answers.remove(0);
        }
        answers.truncate(calls.len());
        Ok(answers)
    }

    async fn say(&self, sql: &str) -> Said {
        self.client.batch_execute(sql).await?;
        Ok(Vec::new())
    }

    pub(super) async fn ask(&self, known: Option<Statement>, sql: &str, params: &[Param<'_>]) -> Said {
        match known {
            Some(statement) => {
                let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
                self.client.query(&statement, &values).await
            }
            None => self.client.query_typed(sql, params).await,
        }
    }

    /// Prepares what was not.
    fn prepare_all(&self, calls: &[Call<'_>]) -> Result<(), Error> {
        calls.iter().try_for_each(|call| self.prepare(call.sql, call.params))
    }
}

/// Sends in the order of the list, waits for all answers, and takes the first error in that order.
async fn in_order(mut asked: Vec<Asked<'_>>) -> Result<Vec<Vec<Row>>, tokio_postgres::Error> {
    let mut answers: Vec<Option<Said>> = Vec::new();
    answers.resize_with(asked.len(), || None);
    poll_fn(|cx| {
        let mut waits = false;
        for (asked, answer) in asked.iter_mut().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
            match asked.as_mut().poll(cx) {
                Poll::Ready(ready) => *answer = Some(ready),
                Poll::Pending => waits = true,
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    answers.into_iter().flatten().collect()
}
