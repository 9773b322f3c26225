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
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (url, token) = (coordinator.url.clone(), coordinator.join_token.clone());
        Ok(RealWorker {
            process: launch(&url, &token, folder, name, &arguments)?,
            name: name.to_owned(),
            folder: folder.to_owned(),
            coordinator: url,
            join_token: token,
            arguments,
        })
    }

    /// Starts it again after its end, with the same key.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        let (url, token) = (&self.coordinator, &self.join_token);
        self.process = launch(url, token, &self.folder, &self.name, &self.arguments)?;
        Ok(())
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its name in lists.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn launch(url: &str, token: &str, folder: &Path, name: &str, arguments: &[String]) -> Result<Process> {
    let mut command = Command::new(program("ciro-worker")?);
    command
        .args(["start", "--coordinator", url, "--token", token, "--name", name, "--state"])
        .arg(folder.join(name))
        .args(arguments)
        .current_dir(folder);
    Process::start(&mut command, folder, name)
}
