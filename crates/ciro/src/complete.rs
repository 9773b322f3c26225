//! Completion in the shell: what is being typed is handed to this program, which knows the command
//! tree and asks the server for what a filter may go on with. A server that does not answer at once
//! proposes nothing; completion never complains.

use crate::cli;
use crate::connect::ServerArgs;
use crate::error::Failure;
use crate::output;
use crate::programs::Program;
use ciro_api::client::{Client, Error};
use ciro_api::filter::{Proposal, Proposals, ProposalsQuery};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use std::ffi::OsStr;
use std::time::Duration;

/// The variable by which a script of a shell asks for proposals.
const VARIABLE: &str = "CIRO_COMPLETE";
/// Nobody waits longer for a proposal.
const PATIENCE: Duration = Duration::from_secs(2);
/// What separates words in bash: a filter's `field:value` is one word.
const BASH_WORDS: &str = "COMP_WORDBREAKS=${COMP_WORDBREAKS//:}\n";

/// Answers a shell that asks, and ends the program then.
pub(crate) fn answer() {
    CompleteEnv::with_factory(cli::command).var(VARIABLE).complete();
}

/// Prints the script that makes a shell ask `ciro`; the other programs have nothing to ask a server
/// for, and their script knows all of it.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn script(shell: clap_complete::Shell, program: Program) -> Result<(), Failure> {
    let mut script = Vec::new();
    if program != Program::Ciro {
        let mut tree = program.command();
        let name = tree.get_name().to_owned();
        clap_complete::generate(shell, &mut tree, name, &mut script);
        return output::bytes(&script);
    }
    let shells = Shells::builtins();
    if shell == clap_complete::Shell::Bash {
        script.extend(BASH_WORDS.as_bytes());
    }
    if let Some(shell) = shells.completer(&shell.to_string()) {
        let written = shell.write_registration(VARIABLE, "ciro", "ciro", "ciro", &mut script);
        written.map_err(|error| Failure::io("cannot write the script", &error))?;
    }
    output::bytes(&script)
}

/// Completes a filter of jobs.
pub(crate) fn job_filter() -> ArgValueCompleter {
    filter(async |client, query| client.job_filter_values(query).await)
}

/// Completes a filter of workers.
pub(crate) fn worker_filter() -> ArgValueCompleter {
    filter(async |client, query| client.worker_filter_values(query).await)
}

fn filter<A>(ask: A) -> ArgValueCompleter
where
    A: AsyncFn(&Client, &ProposalsQuery) -> Result<Proposals, Error> + Copy + Send + Sync + 'static,
{
    ArgValueCompleter::new(move |current: &OsStr| {
        let Some(typed) = current.to_str() else { return Vec::new() };
        let typed = Typed::of(typed);
        let proposals = propose(&typed, ask).unwrap_or_default();
        proposals.into_iter().map(|proposal| typed.candidate(&proposal)).collect()
    })
}

fn propose<A>(typed: &Typed<'_>, ask: A) -> Option<Vec<Proposal>>
where
    A: AsyncFn(&Client, &ProposalsQuery) -> Result<Proposals, Error>,
{
    let client = ServerArgs::of_environment().find().ok()?.client().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let query = typed.query();
    runtime.block_on(async {
        let answer = tokio::time::timeout(PATIENCE, ask(&client, &query)).await;
        answer.ok()?.ok().map(|proposals| proposals.items)
    })
}

/// A filter up to the cursor: what stays, and the word that is being written.
#[derive(Debug, PartialEq, Eq)]
struct Typed<'t> {
    /// Everything before the word, quotes and commas included.
    kept: &'t str,
    /// Where a value is being written, of which field.
    field: Option<&'t str>,
    /// What is there of the word.
    word: &'t str,
}

impl<'t> Typed<'t> {
    fn of(typed: &'t str) -> Typed<'t> {
        let start = typed.rfind(' ').map_or(0, |at| at + 1);
        let term = &typed[start..];
        let bare = term.strip_prefix('-').unwrap_or(term);
        let begun = start + term.len() - bare.len();
        let Some(operator) = bare.find([':', '=', '>', '<']) else {
            return Typed { kept: &typed[..begun], field: None, word: bare };
        };
        let last = bare.rfind([':', '=', '>', '<', ',']).unwrap_or(operator);
        let split = begun + last + 1;
        Typed { kept: &typed[..split], field: Some(&bare[..operator]), word: &typed[split..] }
    }

    fn query(&self) -> ProposalsQuery {
        ProposalsQuery { field: self.field.map(str::to_owned), prefix: Some(self.word.to_owned()) }
    }

    fn candidate(&self, proposal: &Proposal) -> CompletionCandidate {
        // A time is compared; everything else can be named.
        let by_time = proposal.about.as_ref().is_some_and(|about| !about.contains("`:`"));
        let behind = match self.field {
            Some(_) => "",
            None if by_time => ">",
            None => ":",
        };
        let value = &proposal.value;
        let quoted = if value.contains([' ', ',']) { format!("\"{value}\"") } else { value.clone() };
        let count = proposal.count.map(|count| count.to_string());
        CompletionCandidate::new(format!("{}{quoted}{behind}", self.kept))
            .help(proposal.about.clone().or(count).map(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_taken_apart_where_it_is_being_written() {
        for (typed, kept, field, word) in [
            ("", "", None, ""),
            ("sta", "", None, "sta"),
            ("state:", "state:", Some("state"), ""),
            ("state:queued,ru", "state:queued,", Some("state"), "ru"),
            ("state:queued -ki", "state:queued -", None, "ki"),
            ("-label.team=re", "-label.team=", Some("label.team"), "re"),
            ("priority>=", "priority>=", Some("priority"), ""),
        ] {
            assert_eq!(Typed::of(typed), Typed { kept, field, word }, "{typed}");
        }
        let proposal = Proposal { value: "a b".into(), about: None, count: Some(2) };
        let candidate = Typed::of("kind:x label.team=a").candidate(&proposal);
        assert_eq!(candidate.get_value(), "kind:x label.team=\"a b\"");
    }
}
