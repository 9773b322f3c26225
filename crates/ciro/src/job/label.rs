//! `ciro job label`: notes beside a job, changed at any time.

use super::show;
use crate::again::again;
use crate::cli::Context;
use crate::error::Failure;
use crate::ids;
use ciro_api::job::JobPatch;

/// Which job, and what of its labels.
#[derive(Debug, clap::Args)]
pub struct LabelArgs {
    /// The job: its id, the end of it, or `last`
    pub job: String,
    /// `name=value` sets a label, `name-` takes it away
    #[arg(required = true, value_name = "CHANGE", value_parser = change)]
    pub changes: Vec<(String, Option<String>)>,
}

fn change(text: &str) -> Result<(String, Option<String>), String> {
    let change = match (text.split_once('='), text.strip_suffix('-')) {
        (Some((name, value)), _) => (name, Some(value.to_owned())),
        (None, Some(name)) => (name, None),
        (None, None) => return Err("write `name=value` or `name-`".into()),
    };
    if change.0.is_empty() {
        return Err("the name is missing: write `name=value` or `name-`".into());
    }
    Ok((change.0.to_owned(), change.1))
}

pub(super) async fn run(args: &LabelArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::job(&context.client, &args.job).await?;
    let patch = JobPatch { labels: args.changes.iter().cloned().collect() };
    let job = again(|| context.client.job_patch(id, &patch)).await?;
    context.out.one(&job, &id.to_string(), || show::jobs(std::slice::from_ref(&job)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_change_sets_or_takes_away() {
        let owned = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(super::change("a=b=c"), Ok(owned("a", Some("b=c"))));
        assert_eq!(super::change("a="), Ok(owned("a", Some(""))));
        assert_eq!(super::change("a-"), Ok(owned("a", None)));
        assert!(super::change("a").is_err() && super::change("=x").is_err() && super::change("-").is_err());
    }
}
