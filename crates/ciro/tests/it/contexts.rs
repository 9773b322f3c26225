//! Saved servers: kept for one's own eyes, and always second to what is said now.

use crate::network::{plain, run, shared};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_saved_server_is_used_until_something_else_is_said() {
    let network = shared();
    let away = tempfile::tempdir().unwrap();
    let ciro = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = plain(away.path());
        command.args(args).envs(variables.iter().copied());
        run(command)
    };
    ciro(&["job", "list"], &[]).fails(8);
    let key = ("CIRO_API_KEY", network.key.as_str());
    let added = ciro(&["context", "add", "ours", "--server", &network.url, "--output", "id"], &[key]).ok();
    assert!(added.contains(&network.url) && !added.contains(&network.key), "{added}");
    let file = away.path().join("config/ciro/contexts.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // The first one is in use, with its key and its output.
    let id = ciro(&["job", "submit", "sleep", "1"], &[]).ok();
    assert!(id.starts_with("job_") && id.lines().count() == 1, "{id}");
    let job = ciro(&["job", "get", id.trim(), "-o", "json"], &[]).json();
    assert_eq!(job["id"], id.trim());

    // Another one, and the order of who says so.
    ciro(&["context", "add", "dead", "--server", "http://127.0.0.1:9", "--use"], &[]).ok();
    ciro(&["job", "list"], &[]).fails(8);
    ciro(&["job", "list", "--context", "ours"], &[]).ok();
    ciro(&["job", "list"], &[("CIRO_CONTEXT", "ours")]).ok();
    ciro(&["job", "list"], &[("CIRO_CONTEXT", "ours"), ("CIRO_SERVER", &network.url), key]).ok();
    ciro(&["job", "list", "--server", &network.url], &[key]).ok();
    ciro(&["job", "list", "--context", "ours"], &[("CIRO_SERVER", "http://127.0.0.1:9")]).ok();
    ciro(&["job", "list", "--context", "ours", "--server", &network.url], &[]).fails(2);
    let shown = ciro(&["context", "show", "-o", "json"], &[("CIRO_CONTEXT", "ours")]).json();
    assert_eq!((shown["name"].as_str(), shown["server"].as_str()), (Some("ours"), Some(&*network.url)));
    assert_eq!(shown["origin"], "context `ours`, by CIRO_CONTEXT");

    let list = ciro(&["context", "list", "-o", "json"], &[]);
    assert!(!list.out.contains(&network.key));
    let list = list.json();
    assert_eq!((&list["items"][0]["name"], &list["items"][0]["current"]), (&"dead".into(), &true.into()));
    ciro(&["context", "use", "ours"], &[]).ok();
    ciro(&["context", "remove", "dead"], &[]).ok();
    let unknown = ciro(&["job", "list", "--context", "our"], &[]).fails(3);
    assert!(unknown.contains("did you mean `ours`?"), "{unknown}");

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(ciro(&["job", "list"], &[]).fails(1).contains("chmod 600"));
}
