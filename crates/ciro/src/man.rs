//! `ciro man`: the manual pages of all programs, a page for each command.

use crate::error::Failure;
use crate::output::Output;
use crate::programs::Program;
use std::fs;
use std::path::Path;

/// Writes the pages into `folder`, which is made when it does not exist.
///
/// # Errors
/// When a page cannot be written.
pub(crate) fn write(folder: &Path, out: Output) -> Result<(), Failure> {
    let failed = |error| Failure::io(format!("cannot write manual pages to {}", folder.display()), &error);
    fs::create_dir_all(folder).map_err(failed)?;
    for program in Program::ALL {
        clap_mangen::generate_to(program.command(), folder).map_err(failed)?;
    }
    let count = fs::read_dir(folder).map_err(failed)?.count();
    out.remark(&format!(
        "{count} pages are in {}: man -l {}",
        folder.display(),
        folder.join("ciro.1").display()
    ));
    Ok(())
}
