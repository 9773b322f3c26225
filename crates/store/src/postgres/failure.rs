//! What went wrong, by what can be done about it.

use crate::Error;
use tokio_postgres::error::SqlState;
use tokio_rustls::rustls;

/// What a migration raises where a row moved under the writer (0012).
const MOVED: &str = "CR001";

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        let Some(said) = error.as_db_error() else {
            let lost = is_lost(&error) && distrusted(&error).is_none();
            return if lost { unavailable(&error) } else { Error::Postgres(error) };
        };
        let code = said.code();
        if code.code() == MOVED {
            return Error::Malformed { table: "group", what: said.message().to_owned() };
        }
        if *code == SqlState::DISK_FULL {
            return Error::DiskFull;
        }
        let gone = code.code().starts_with("08") || GONE.contains(code);
        if gone { unavailable(&error) } else { Error::Postgres(error) }
    }
}

/// The server ends, begins, or has become a standby; somebody holds what is needed for too long.
const GONE: [SqlState; 10] = [
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    SqlState::CANNOT_CONNECT_NOW,
    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    SqlState::IDLE_SESSION_TIMEOUT,
    SqlState::TOO_MANY_CONNECTIONS,
    SqlState::OUT_OF_MEMORY,
    SqlState::READ_ONLY_SQL_TRANSACTION,
    SqlState::LOCK_NOT_AVAILABLE,
    SqlState::QUERY_CANCELED,
];

fn unavailable(error: &tokio_postgres::Error) -> Error {
    tracing::warn!(error = error as &dyn std::error::Error, "the database does not answer");
    Error::Unavailable { certain: true }
}

/// Why a server is not talked to that has no certificate, or not one that is trusted.
pub(super) fn distrusted(error: &tokio_postgres::Error) -> Option<String> {
    let source = std::error::Error::source(error)?;
    let refused = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let refused = refused.filter(|inner| inner.is::<rustls::Error>());
    match refused {
        Some(refused) => Some(format!("its certificate is not accepted: {refused}")),
        // The crate has no word of its own for it.
        None if error.to_string().contains("TLS") && !source.is::<std::io::Error>() => {
            Some(format!("{source}; sslmode=verify-full was asked for"))
        }
        None => None,
    }
}

/// Whether it happened on the way to the server or back, and not to what was sent.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error);
    error.is_closed() || source.is_some_and(|source| source.is::<std::io::Error>())
}
