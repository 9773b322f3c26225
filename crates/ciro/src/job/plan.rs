//! `job plan`: what a job would be. Files are hashed, not uploaded.

use super::explain::workers;
use super::show::plural;
use super::spec::SpecArgs;
use crate::again::again;
use crate::artifact::declare;
use crate::cli::Context;
use crate::error::Failure;
use crate::table::{self, size, strk};
use ciro_api::artifact::NewArtifact;
use ciro_api::job::JobPlan;
use std::path::PathBuf;

pub(super) async fn run(spec: &SpecArgs, context: &Context) -> Result<(), Failure> {
    let mut files = Vec::new();
    let job = spec.job(async |path| {
        let (new, _) = declare(path).await?;
        let hash = new.blake3;
        files.push((path.to_owned(), new));
        Ok(hash)
    });
    let job = job.await?;
    let plan = again(|| context.client.job_plan(&job)).await?;
    context.out.one(&plan, &plan.spec_hash.to_string(), || told(&plan, &files))
}

fn told(plan: &JobPlan, files: &[(PathBuf, NewArtifact)]) -> String {
    let tasks = match plan.tasks {
        Some(n) => plural(n as usize, "task"),
        None => "counted when the input is cut".into(),
    };
    let cost = plan.cost.as_ref().map(|cost| match cost.lowest == cost.highest {
        true => format!("at most {}", strk(&cost.highest)),
        false => format!("at most {} to {}, by worker", strk(&cost.lowest), strk(&cost.highest)),
    });
    let able =
        format!("{} of {} could run it", plan.workers.able, plural(plan.workers.total as usize, "worker"));
    let head = table::record([
        ("kind", plan.kind.clone()),
        ("tasks", tasks),
        ("workers", able),
        ("now", workers(&plan.workers)),
        ("cost", cost.unwrap_or_default()),
        ("uploads", uploads(plan, files)),
        ("spec hash", plan.spec_hash.to_string()),
    ]);
    match serde_json::to_string_pretty(&plan.spec) {
        Ok(spec) => format!("{head}\n\n{spec}"),
        Err(_) => head,
    }
}

/// What `job run` would upload, and what nobody here has.
fn uploads(plan: &JobPlan, files: &[(PathBuf, NewArtifact)]) -> String {
    let told =
        plan.missing_artifacts.iter().map(|hash| match files.iter().find(|(_, new)| new.blake3 == *hash) {
            Some((path, new)) => format!("{} ({})", path.display(), size(new.size)),
            None => format!("{hash}, which is not stored"),
        });
    told.collect::<Vec<_>>().join(", ")
}
