//! Builds everything once and remembers where the test binaries and the programs lie.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Artifact, Message, MetadataCommand, TargetKind};

use crate::house::root;
use crate::shell;

/// A test binary and the folder it expects to run in.
#[derive(Debug, Clone)]
pub(super) struct TestBinary {
    pub(super) package: String,
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
}

/// What a build made.
#[derive(Debug)]
pub(super) struct Built {
    /// The tests inside the crates.
    pub(super) unit: Vec<TestBinary>,
    /// The `it` binaries.
    integration: Vec<TestBinary>,
    /// The folder of `ciro`, `ciro-coordinator` and `ciro-worker`.
    pub(super) programs: PathBuf,
}

impl Built {
    /// The build that a part asked for.
    pub(super) fn of(built: Option<&Self>) -> Result<&Self> {
        built.context("this part needs the build")
    }

    pub(super) fn integration(&self, package: &str) -> Vec<TestBinary> {
        self.integration.iter().filter(|binary| binary.package == package).cloned().collect()
    }
}

/// The packages that have an integration-test binary, in the order of their names.
pub(super) fn packages_with_tests() -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let mut names: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| package.targets.iter().any(|target| target.kind.contains(&TargetKind::Test)))
        .map(|package| package.name.to_string())
        .collect();
    names.sort();
    Ok(names)
}

/// Builds every test and every program of the workspace, in one go: two would build some
/// dependencies twice, because tests ask for more of their features.
pub(super) fn everything() -> Result<Built> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let mut built = Built { unit: Vec::new(), integration: Vec::new(), programs: PathBuf::new() };
    for artifact in artifacts()? {
        let package = metadata.packages.iter().find(|package| package.id == artifact.package_id);
        let (Some(package), Some(program)) = (package, artifact.executable) else { continue };
        if !artifact.profile.test {
            built.programs = program.parent().context("a program lies in a folder")?.into();
            continue;
        }
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?.into();
        let binary = TestBinary { package: package.name.to_string(), program: program.into(), folder };
        let is_integration = artifact.target.kind.contains(&TargetKind::Test);
        if is_integration { built.integration.push(binary) } else { built.unit.push(binary) }
    }
    built.unit.sort_by(|a, b| a.package.cmp(&b.package));
    Ok(built)
}

/// Runs cargo over the workspace; its diagnostics go to the terminal, what it made comes back.
fn artifacts() -> Result<Vec<Artifact>> {
    let line = ["build", "--workspace", "--bins", "--tests", "--profile", shell::PROFILE];
    println!("$ cargo {}", line.join(" "));
    let mut cargo = shell::cargo();
    cargo.args(line).args(["--message-format", "json-render-diagnostics"]);
    let mut child = cargo.current_dir(root()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo's output is piped")?;
    let messages: std::io::Result<Vec<_>> = Message::parse_stream(BufReader::new(stdout)).collect();
    let status = child.wait()?;
    if !status.success() {
        bail!("the build ended with {status}; the compiler's messages are above");
    }
    let messages = messages.context("cargo printed something unexpected")?;
    let made = messages.into_iter().filter_map(|message| match message {
        Message::CompilerArtifact(artifact) => Some(artifact),
        _ => None,
    });
    Ok(made.collect())
}
