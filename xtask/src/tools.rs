//! The big tools, each of them kept in the cache folder under its version: `$CIRO_CACHE`, else
//! `~/.cache/ciro`. What is there is used; what is missing comes from a package registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::house;
use crate::shell;

/// A program of a Python package, installed with what it needs into an environment of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PythonTool {
    package: &'static str,
    version: &'static str,
    /// What is started, and with which arguments it shows that it works.
    program: &'static str,
    probe: &'static [&'static str],
}

/// Tries the API against its OpenAPI document.
pub(crate) const SCHEMATHESIS: PythonTool =
    PythonTool { package: "schemathesis", version: "4.32.5", program: "schemathesis", probe: &["--version"] };

/// A client of Starknet that others wrote, which tries our contracts.
pub(crate) const STARKNET_PY: PythonTool = PythonTool {
    package: "starknet-py",
    version: "0.30.0",
    program: "python3",
    probe: &["-c", "import starknet_py.net.account.account"],
};

impl PythonTool {
    /// The program, installed when it is missing.
    pub(crate) fn install(self) -> Result<PathBuf> {
        let Self { package, version, .. } = self;
        let program = self.place()?;
        if self.works(&program) {
            return Ok(program);
        }
        let bin = program.parent().context("a program lies in a folder")?;
        let environment = bin.parent().context("a virtual environment is a folder")?;
        println!("installing {package} {version} into the cache folder");
        shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
        shell::run(
            Command::new(bin.join("pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .arg(format!("{package}=={version}")),
        )
        .with_context(|| format!("pip could not install {package}; is the package registry reachable?"))?;
        if !self.works(&program) {
            bail!("{package} was installed but does not start; remove the cache folder and try again");
        }
        Ok(program)
    }

    /// The program, which must be there.
    pub(crate) fn installed(self) -> Result<PathBuf> {
        let program = self.place()?;
        if !self.works(&program) {
            bail!("{} {} is not installed; run `cargo xtask setup`", self.package, self.version);
        }
        Ok(program)
    }

    fn place(self) -> Result<PathBuf> {
        Ok(cache()?.join(format!("{}-{}/bin/{}", self.package, self.version, self.program)))
    }

    fn works(self, program: &Path) -> bool {
        shell::works(program, self.probe)
    }
}

const WASM_CAIRO_VERSION: &str = "0.10.2";

/// The folder of the package with the Cairo compiler, installed when it is missing.
pub(crate) fn cairo_compiler() -> Result<PathBuf> {
    let folder = cache()?.join(format!("wasm-cairo-{WASM_CAIRO_VERSION}"));
    let package = folder.join("node_modules/wasm-cairo");
    if !package.join("wasm-cairo_bg.wasm").exists() {
        println!("installing wasm-cairo {WASM_CAIRO_VERSION} into the cache folder");
        fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--prefix"]);
        shell::run(npm.arg(&folder).arg(format!("wasm-cairo@{WASM_CAIRO_VERSION}")))
            .context("npm could not install wasm-cairo; is the package registry reachable?")?;
    }
    Ok(package)
}

/// The compiler from Sierra to CASM, built from `contracts/casm` when this state of it is missing.
pub(crate) fn casm_compiler() -> Result<PathBuf> {
    let source = house::root().join("contracts/casm");
    let folder = cache()?.join(format!("ciro-casm-{}", state_of(&source)?));
    let program = folder.join("bin/ciro-casm");
    if !program.exists() {
        println!("building the compiler from Sierra to CASM into the cache folder: some minutes, once");
        let target = folder.join("build");
        let mut cargo = shell::cargo();
        cargo.args(["install", "--quiet", "--locked", "--path"]).arg(&source);
        shell::run(cargo.arg("--root").arg(&folder).env("CARGO_TARGET_DIR", &target))?;
        fs::remove_dir_all(&target)?;
    }
    Ok(program)
}

/// Sixteen digits that change with any file that is compiled.
fn state_of(source: &Path) -> Result<String> {
    let mut files = vec![source.join("Cargo.toml"), source.join("Cargo.lock")];
    for entry in fs::read_dir(source.join("src"))? {
        files.push(entry?.path());
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(&fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// Where tools are kept between runs: `$CIRO_CACHE`, else `~/.cache/ciro`.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(folder) = shell::env("CIRO_CACHE") {
        return Ok(folder.into());
    }
    let home =
        shell::env("HOME").context("neither CIRO_CACHE nor HOME is set; set CIRO_CACHE to a folder")?;
    Ok(Path::new(&home).join(".cache/ciro"))
}
