//! One connection to PostgreSQL, owned by one thread: questions go out and answers are waited for
//! here, so that nothing else of the store knows of futures.
//!
//! With PgBouncer in front, in transaction mode, the next transaction may meet another server process:
//! what a session is set to is then set in each transaction ([`Connection::begin`]).
//!
//! Invariant: whatever became of the connection is an [`Error::Unavailable`], within [`ANSWER_WITHIN`].

mod reading;
mod writing;

pub(super) use writing::Call;

use super::address::Address;
use crate::Error;
use crate::open::Synchronous;
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

/// A statement runs no longer than this on the server, ms.
const STATEMENT_MS: u64 = 10_000;
/// A lock, that of the turn above all, is waited for no longer than this, ms. Longer than whoever holds
/// it may be away.
const LOCK_MS: u64 = 5_000;
/// Who is in a transaction and says nothing for so long has stopped: the server ends it, so that others
/// can go on, ms.
const IDLE_MS: u64 = 3_000;
/// A server that is there and does not answer for so long is as good as gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long a connection may take, all hosts together.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Statements that are kept prepared: more than there are, but for those that vary with what is asked.
const MAX_STATEMENTS: usize = 512;

/// What goes into a statement, with its type.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// Prepared statements by their texts.
type Statements = FxHashMap<Box<str>, Statement>;

/// See the module.
pub struct Connection {
    runtime: Runtime,
    address: Address,
    settings: String,
    client: Client,
    /// Those that were prepared, by their texts.
    statements: RefCell<Statements>,
    /// How long an answer is waited for.
    patience: Duration,
    /// An answer did not come: nobody knows what the next one would be the answer to.
    hung: Cell<bool>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or what the server has against it.
    pub(crate) fn open(address: &Address, synchronous: Synchronous) -> Result<Connection, Error> {
        Connection::open_with(address, settings(synchronous))
    }

    fn open_with(address: &Address, settings: String) -> Result<Connection, Error> {
        let io = |source| crate::OpenError::Io { path: "a runtime for the database".into(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        let client = connect(&runtime, address, &settings)?;
        Ok(Connection {
            runtime,
            address: address.clone(),
            settings,
            client,
            statements: RefCell::default(),
            patience: ANSWER_WITHIN,
            hung: Cell::new(false),
        })
    }

    /// Where it leads.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Begins a transaction, in which what a session is set to holds.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        self.batch(&self.beginning())
    }

    /// The text that begins a transaction.
    fn beginning(&self) -> String {
        if self.address.pooled { format!("BEGIN; {}", local(&self.settings)) } else { "BEGIN".into() }
    }

    /// Statements without values or answers.
    pub(crate) fn batch(&self, sql: &str) -> Result<(), Error> {
        self.wait(self.client.batch_execute(sql))
    }

    /// The rows of a statement that is not prepared: rare ones, and those whose text varies.
    pub(crate) fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        self.wait(self.client.query_typed(sql, params))
    }

    /// How many rows a statement changed that is not prepared.
    pub(crate) fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.wait(self.client.execute_typed(sql, params))
    }

    /// The prepared statement that can be run with these. Of what is not there nobody knows the type.
    fn known(&self, sql: &str, params: &[Param<'_>]) -> Option<Statement> {
        self.statements.borrow().get(sql).filter(|_| are_typed(params)).cloned()
    }

    /// Has a statement prepared, unless it is or cannot be. With PgBouncer in front nothing is.
    fn prepare(&self, sql: &str, params: &[Param<'_>]) -> Result<(), Error> {
        if self.address.pooled || !are_typed(params) || self.statements.borrow().contains_key(sql) {
            return Ok(());
        }
        let types: Vec<Type> = params.iter().map(|(_, of)| of.clone()).collect();
        let statement = self.wait(self.client.prepare_typed(sql, &types))?;
        let mut statements = self.statements.borrow_mut();
        if statements.len() >= MAX_STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.into(), statement);
        Ok(())
    }

    fn wait<T>(&self, answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let answer = within(&self.runtime, self.patience, answer);
        self.hung.set(self.hung.get() || matches!(answer, Err(Error::Unavailable { .. })));
        answer
    }
}

fn are_typed(params: &[Param<'_>]) -> bool {
    params.iter().all(|(_, of)| *of != Type::UNKNOWN)
}

fn within<T>(
    runtime: &Runtime,
    longest: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    // The timer is of this runtime, so it is made inside of it.
    match runtime.block_on(async { tokio::time::timeout(longest, answer).await }) {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            tracing::warn!(after_ms = longest.as_millis() as u64, "the database does not answer");
            Err(Error::Unavailable { certain: true })
        }
    }
}

fn connect(runtime: &Runtime, address: &Address, settings: &str) -> Result<Client, Error> {
    let connected = async {
        let mut config = address.config.clone();
        if config.get_application_name().is_none() {
            config.application_name("ciro-coordinator");
        }
        let (client, connection) = config.connect(address.tls.clone()).await?;
        // Runs while somebody waits for an answer; it ends with the client.
        runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the connection to the database ended"
                );
            }
        });
        if !address.pooled {
            client.batch_execute(settings).await?;
        }
        Ok(client)
    };
    within(runtime, CONNECT_WITHIN, connected)
}

/// What a session is set to. Plans are made once and never by hash or scan: most of these statements
/// touch a few rows of tables whose sizes the planner knows too late.
fn settings(synchronous: Synchronous) -> String {
    let synchronous = match synchronous {
        // `remote_apply` waits for more, where somebody asked for it.
        Synchronous::Full => {
            "SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') <> 'remote_apply'"
        }
        Synchronous::Normal => "SET synchronous_commit = off",
    };
    format!(
        "SET statement_timeout = {STATEMENT_MS}; SET lock_timeout = {LOCK_MS}; \
         SET idle_in_transaction_session_timeout = {IDLE_MS}; SET jit = off; \
         SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
         SET enable_mergejoin = off; SET client_min_messages = warning; {synchronous}"
    )
}

/// The same for one transaction.
fn local(settings: &str) -> String {
    settings.replace("SET ", "SET LOCAL ").replace(", false)", ", true)")
}
