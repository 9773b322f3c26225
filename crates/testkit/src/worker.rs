//! A worker as a process: `ciro-worker start` with a state folder of its own.

use crate::coordinator::Coordinator;
use crate::process::Process;
use crate::programs::program;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running worker.
#[derive(Debug)]
pub struct RealWorker {
    process: Process,
    name: String,
    folder: PathBuf,
    coordinator: String,
    join_token: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl RealWorker {
    /// Starts one with further `arguments` of `ciro-worker start`; its state is kept in
    /// `<folder>/<name>`.
    ///
    /// # Errors
    /// When it was not built or cannot be started.
    pub fn start(
        coordinator: &Coordinator,
        folder: &Path,
        name: &str,
        arguments: &[&str],
    ) -> Result<RealWorker> {
        RealWorker::start_at(&coordinator.url, &coordinator.join_token, folder, name, arguments)
    }

    /// The same with a coordinator that it reaches at `url`.
    ///
    /// # Errors
    /// When it was not built or cannot be started.
    pub fn start_at(
        url: &str,
        join_token: &str,
        folder: &Path,
        name: &str,
        arguments: &[&str],
    ) -> Result<RealWorker> {
        RealWorker::start_with(url, join_token, folder, name, (arguments, Vec::new()))
    }

    /// The same with variables of its environment beside the arguments.
    ///
    /// # Errors
    /// When it was not built or cannot be started.
    pub fn start_with(
        url: &str,
        join_token: &str,
        folder: &Path,
        name: &str,
        (arguments, variables): (&[&str], Vec<(String, String)>),
    ) -> Result<RealWorker> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Ok(RealWorker {
            process: launch(url, join_token, folder, name, (&arguments[..], &variables[..]))?,
            name: name.to_owned(),
            folder: folder.to_owned(),
            coordinator: url.to_owned(),
            join_token: join_token.to_owned(),
            arguments,
            variables,
        })
    }

    /// Starts it again after its end, with the same key.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        let (url, token) = (&self.coordinator, &self.join_token);
        let with = (&self.arguments[..], &self.variables[..]);
        self.process = launch(url, token, &self.folder, &self.name, with)?;
        Ok(())
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it is started with the next time.
    pub fn arguments_mut(&mut self) -> &mut Vec<String> {
        &mut self.arguments
    }

    /// Its name in lists.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn launch(
    url: &str,
    token: &str,
    folder: &Path,
    name: &str,
    (arguments, variables): (&[String], &[(String, String)]),
) -> Result<Process> {
    let mut command = Command::new(program("ciro-worker")?);
    command
        .args(["start", "--coordinator", url, "--token", token, "--name", name, "--state"])
        .arg(folder.join(name))
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir(folder);
    Process::start(&mut command, folder, name)
}
