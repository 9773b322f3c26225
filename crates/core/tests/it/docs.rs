//! The lifecycle document is what the tables say.

use std::path::Path;

const RENEW: &str = "CIRO_UPDATE_DOCS";

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's switch, not configuration")]
fn job_lifecycle_is_rendered_from_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/job-lifecycle.md");
    let rendered = ciro_core::engine::table::render_markdown();
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(&path, rendered).expect("docs/ can be written");
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == rendered, "docs/job-lifecycle.md is not what the tables say; run `cargo xtask docs`");
}
