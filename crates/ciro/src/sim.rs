//! `ciro sim`: the simulator, which needs no server.

use crate::error::{Exit, Failure};
use crate::output::Output;
use ciro_sim::cli::{Form, SimArgs};

/// Runs histories and says what they came to. `Exit::Failure` when a promise did not hold.
///
/// # Errors
/// A kind of fault that does not exist; standard output that cannot be written.
pub(crate) fn run(args: &SimArgs, out: Output) -> Result<(), Failure> {
    let form = if out.is_json() { Form::Json } else { Form::Text };
    let mut written = Vec::new();
    let held = ciro_sim::cli::run(args, form, !out.is_live(), &mut written)
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    crate::output::bytes(&written)?;
    if held { Ok(()) } else { Err(Failure::silent(Exit::Failure)) }
}
