//! What lies beside the programs: manual pages and completions of all of them, as shells and `man`
//! read them.

use crate::network::{CIRO, run};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn ciro(line: &[&str]) -> String {
    let mut command = Command::new(CIRO);
    command.args(line);
    run(command).ok()
}

fn lint(page: &Path) -> String {
    let said = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(page).output();
    let said = said.expect("mandoc is there: `cargo xtask setup` installs it");
    String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr)
}

#[test]
fn every_command_has_a_manual_page_that_man_reads_without_complaint() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man1");
    ciro(&["man", pages.to_str().unwrap()]);
    for (name, words) in [
        ("ciro.1", "CIRO_API_KEY"),
        ("ciro-job-run.1", "\\-\\-follow"),
        ("ciro-coordinator.1", "SIGHUP"),
        ("ciro-coordinator-check.1", "\\-\\-json"),
        ("ciro-worker-start.1", "\\-\\-coordinator"),
        ("ciro-sim.1", "\\-\\-faults"),
        ("ciro-sim.1", "ciro\\-sim \\-\\-seed 7"),
    ] {
        let text = fs::read_to_string(pages.join(name)).unwrap();
        assert!(text.contains(words), "{words} in {name}");
    }
    for entry in fs::read_dir(&pages).unwrap() {
        let page = entry.unwrap().path();
        assert_eq!(lint(&page), "", "{}", page.display());
    }
}

#[test]
fn bash_completes_the_commands_of_each_program() {
    let folder = TempDir::new().unwrap();
    for (program, typed, expected) in
        [("ciro-coordinator", "gener", "generate-config"), ("ciro-worker", "self", "selftest")]
    {
        for shell in ["zsh", "fish"] {
            assert!(
                ciro(&["completions", shell, "--program", program]).contains(expected),
                "{program} {shell}"
            );
        }
        let script = folder.path().join(program);
        fs::write(&script, ciro(&["completions", "bash", "--program", program])).unwrap();
        // As readline does it: the function that the script registers fills COMPREPLY.
        let line = format!(
            "set -e; . {}; function=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); \
             COMP_WORDS=({program} {typed}); COMP_CWORD=1; \"$function\" {program} {typed} {program} || true; \
             echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &line]);
        assert_eq!(run(bash).ok().trim(), expected, "{program}");
    }
}
