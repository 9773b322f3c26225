//! Starting: credentials are shown once, old settings files are read, addresses that others can
//! reach need credentials, wrong settings are all named at once.

use crate::server::{Server, config_in};
use ciro_coordinator::config::{self, Flags, LogFormat, Secret};
use ciro_coordinator::run;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_first_start_shows_credentials_once_and_they_keep_working() {
    let env = Server::start().await;
    let (admin, join) = (env.admin.clone(), env.join.clone());
    assert!(admin.starts_with("ciro_") && join.starts_with("ciro_") && admin != join);
    let folder = env.end().await;
    let again = Server::start_in(folder, |_| {}).await;
    assert_eq!((again.admin.as_str(), again.join.as_str()), ("", ""), "credentials were made twice");
    assert_eq!(again.call("GET", "/v1/jobs", Some(&admin), None).await.status, 200);
    let listed = again.call("GET", "/v1/api-keys", Some(&admin), None).await;
    assert_eq!(listed.json["items"].as_array().unwrap().len(), 2);
    assert!(!listed.text.contains(&admin[40..]) && !listed.text.contains(&join[40..]), "a secret is listed");
    let bytes = std::fs::read(again.folder.path().join("coordinator.db")).unwrap();
    let secret = admin.rsplit('_').next().unwrap().as_bytes();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret), "a secret lies in the database");
    again.end().await;
}

#[tokio::test]
async fn the_first_settings_file_starts_unchanged_with_a_degraded_chain() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.json");
    // The file as it was first documented; only the port and the database's place are the test's.
    let text = json!({
        "server_port": 8080,
        "blockchain": {
            "rpc_url": "http://127.0.0.1:9",
            "chain_id": "SN_SEPOLIA",
            "contract_address": "0x1234",
            "private_key": "0xdeadbeefcafe"
        },
        "database": { "url": "sqlite://./coordinator.db" }
    });
    std::fs::write(&file, text.to_string()).unwrap();
    let flags = Flags {
        port: Some(0),
        database: Some(folder.path().join("coordinator.db").display().to_string()),
        ..Flags::default()
    };
    let config = config::load(Some(&file), [], &flags).unwrap();
    let env = Server::start_in(folder, |own| *own = config).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let status = loop {
        let status = env.get("/status").await;
        assert_eq!(status.status, 200);
        let chain = &status.json["components"]["chain"];
        if chain["breaker"] == "open" || chain["breaker"] == "half_open" {
            break status;
        }
        assert!(tokio::time::Instant::now() < deadline, "{chain}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let chain = &status.json["components"]["chain"];
    assert_eq!(
        (chain["state"].as_str(), status.json["status"].as_str()),
        (Some("degraded"), Some("degraded"))
    );
    assert!(chain["last_error"].is_string());
    let warnings = status.json["warnings"].to_string();
    assert!(warnings.contains("private_key") && !status.text.contains("deadbeef"), "{warnings}");
    assert_eq!(
        env.call("GET", "/health", None, None).await.status,
        200,
        "a degraded chain does not stop the rest"
    );
    env.job().await;
    env.end().await;
}

#[tokio::test]
async fn an_address_that_others_reach_needs_credentials_first() {
    let folder = TempDir::new().unwrap();
    let mut config = config_in(folder.path());
    config.server_host = "0.0.0.0".into();
    let refused = run(config.clone(), CancellationToken::new(), |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("auth.admin_key"), "{refused}");
    let key = "0123456789abcdef0123456789abcdef";
    config.auth.admin_key = Some(Secret::new(key));
    let env = Server::start_in(folder, |own| *own = config).await;
    assert_eq!(env.admin, "", "no second admin key is made");
    assert_eq!(env.call("GET", "/status", None, None).await.status, 401, "aggregates are closed");
    assert_eq!(env.call("GET", "/status", Some(key), None).await.status, 200);
    assert_eq!(env.call("GET", "/health", None, None).await.status, 200);
    env.end().await;
}

#[test]
fn every_wrong_setting_is_named_at_once_with_the_nearest_known_key() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "server_prt = 1\n[lease]\nttl_ms = \"soon\"\n[databse]\nurl = \"x\"\n").unwrap();
    let variables =
        [("CIRO__LIMITS__CONECTIONS".to_owned(), "7".to_owned()), ("HOME".to_owned(), "/".to_owned())];
    let errors = config::load(Some(&file), variables, &Flags::default()).unwrap_err().to_string();
    for words in [
        "server_prt",
        "`server_port`",
        "lease.ttl_ms",
        "databse",
        "`database`",
        "limits.conections",
        "`connections`",
    ] {
        assert!(errors.contains(words), "{words} in {errors}");
    }
    for (text, words) in [
        ("database = { url = \"postgres://h/db?sslmode=require\" }", "sslmode=verify-full"),
        ("placement = { policy = \"fastest\" }", "balanced"),
        ("lease = { ttl_ms = 1 }", "at least 200"),
        ("blockchain = { chain_id = \"SN_MAIN\", private_key = \"0x1\" }", "SN_MAIN"),
        ("blockchain = { chain_id = \"0x534e5f4d41494e\", private_key = \"0x1\" }", "SN_MAIN"),
        ("blockchain = { chain_id = \"SN_MAIN\", account = \"a.json\" }", "blockchain.rpc_url"),
        ("blockchain = { account = \"a.json\", keystore = \"k.json\" }", "blockchain.passphrase_file"),
        ("blockchain = { account_address = \"0xzz\" }", "is no address"),
        ("blockchain = { rpc_url = \"http://a,ws://b\" }", "endpoint 2"),
        ("blockchain = { deposit_l1_from = \"1\" }", "take it out, or set finality to l2"),
        ("blockchain = { finality = \"l2\", deposit_l1_from = \"0\" }", "set finality to l1"),
        ("blockchain = { finality = \"l2\", deposit_l1_from = \"1 STRK\" }", "blockchain.deposit_l1_from"),
        ("lease = { heartbeat_ms = 20000 }", "half"),
    ] {
        std::fs::write(&file, text).unwrap();
        let errors = config::load(Some(&file), [], &Flags::default()).unwrap_err().to_string();
        assert!(errors.contains(words), "{words} in {errors}");
    }
}

#[test]
fn later_sources_win() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "environment: production\nserver_port: 1\nlease:\n  ttl_ms: 3000\n").unwrap();
    let variables = [
        ("CIRO__SERVER_PORT".to_owned(), "2".to_owned()),
        ("CIRO__LEASE__TTL_MS".to_owned(), "4000".to_owned()),
        ("CIRO__DATABASE__URL".to_owned(), "sqlite://env.db".to_owned()),
    ];
    let flags = Flags { port: Some(3), data_dir: Some(PathBuf::from("/d")), ..Flags::default() };
    let config = config::load(Some(&file), variables, &flags).unwrap();
    assert_eq!((config.server_port, config.lease.ttl_ms, config.log.format), (3, 4000, LogFormat::Json));
    assert_eq!(
        (config.database.url.as_str(), config.data_dir),
        ("sqlite://env.db", Some(PathBuf::from("/d")))
    );
}
