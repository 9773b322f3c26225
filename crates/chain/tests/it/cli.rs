//! `ciro chain` against a real devnet: a key, an account, its way onto the chain, and what is refused.

use ciro_testkit::{Devnet, DevnetOptions, program};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";

/// A folder, and `ciro` in it with a node and a passphrase in the environment.
pub(crate) struct Desk {
    folder: TempDir,
    url: String,
}

impl Desk {
    pub(crate) fn new(url: &str) -> Desk {
        Desk { folder: TempDir::new().unwrap(), url: url.to_owned() }
    }

    pub(crate) fn ciro(&self, args: &[&str]) -> Said {
        self.ciro_with(Stdio::null(), args)
    }

    fn ciro_with(&self, input: Stdio, args: &[&str]) -> Said {
        let mut command = Command::new(program("ciro").unwrap());
        command.current_dir(self.folder.path()).arg("chain").args(args).stdin(input);
        for name in ["STARKNET_ACCOUNT", "STARKNET_KEYSTORE", "STARKNET_NETWORK"] {
            command.env_remove(name);
        }
        command.env("STARKNET_RPC", &self.url).env("STARKNET_KEYSTORE_PASSWORD", PASSPHRASE);
        Said::of(command.output().unwrap())
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.folder.path().join(file)).unwrap().permissions().mode() & 0o777
    }

    pub(crate) fn private(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Said {
    code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Said {
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

fn all_files(folder: &Path) -> String {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        if path.is_dir() { all_files(&path) } else { fs::read_to_string(path).unwrap() }
    };
    fs::read_dir(folder).unwrap().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_gets_an_account_on_the_chain() {
    let devnet = Devnet::start(DevnetOptions::default()).await.unwrap();
    let desk = Desk::new(devnet.url());
    let made = desk.ciro(&["keystore", "new", "keys/key.json", "-o", "json"]).json();
    assert_eq!((desk.mode("keys/key.json"), desk.mode("keys")), (0o600, 0o700));
    assert!(desk.ciro(&["keystore", "new", "keys/key.json"]).fails(5).contains("is there already"));
    let seen = desk.ciro(&["keystore", "inspect", "keys/key.json", "-o", "json"]).json();
    assert_eq!(seen["public_key"], made["public_key"]);

    let deploy = ["account", "deploy", "account.json", "--keystore", "keys/key.json"];
    let said = desk.ciro(&deploy);
    assert!(said.out.contains("on the chain  no"), "{said:?}");
    assert!(said.fails(5).contains("devnet_mint"));
    let shown = desk.ciro(&["account", "show", "--account", "account.json", "-o", "json"]).json();
    assert_eq!((&shown["deployed"], &shown["balance"]["fri"]), (&json!(false), &json!("0")));

    let address = shown["address"].as_str().unwrap();
    devnet.mint(address, 1_500_000_000_000_000_000).await.unwrap();
    desk.ciro(&deploy).ok();
    let again = desk.ciro(&[&deploy[..], &["-o", "json"]].concat()).json();
    assert_eq!(
        (&again["deployed"], &again["nonce"]),
        (&json!(true), &json!(1)),
        "the second time nothing is sent"
    );
    assert!(again["explorer"].is_null(), "a devnet has no explorer");
    let file: Value =
        serde_json::from_str(&fs::read_to_string(desk.folder.path().join("account.json")).unwrap()).unwrap();
    assert_eq!(
        (&file["deployment"]["status"], &file["variant"]["type"]),
        (&json!("deployed"), &json!("open_zeppelin"))
    );

    desk.ciro(&["account", "fetch", address, "fetched.json"]).ok();
    let fetched = desk.ciro(&["account", "show", "--account", "fetched.json", "-o", "json"]).json();
    assert_eq!(fetched["address"], again["address"]);

    const STRK: &str = "0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d";
    let signer = ["--account", "account.json", "--keystore", "keys/key.json"];
    let estimate = |amount: &str| {
        let call = ["estimate", STRK, "transfer", "0x1234", amount, "0", "-o", "json"];
        desk.ciro(&[&call[..], &signer[..]].concat())
    };
    let cost = estimate("1000").json();
    assert!(cost["l2_gas"].as_u64().unwrap() > 0 && cost["most"]["fri"] != cost["fee"]["fri"], "{cost}");
    assert!(estimate("9000000000000000000").fails(9).contains("it would fail"));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_transactions_are_shown_and_what_is_not_there_is_said() {
    let devnet = Devnet::start(DevnetOptions::default()).await.unwrap();
    let desk = Desk::new(devnet.url());
    let minted =
        devnet.rpc("devnet_mint", json!({ "address": "0x77", "amount": 5, "unit": "FRI" })).await.unwrap();
    let shown = desk.ciro(&["tx", minted["tx_hash"].as_str().unwrap(), "-o", "json"]).json();
    assert_eq!((&shown["state"], &shown["reverted"]), (&json!("l2"), &Value::Null));
    assert!(desk.ciro(&["tx", "0x1234"]).fails(3).contains("does not know the transaction"));

    let status = desk.ciro(&["status", "--address", "0x77", "-o", "json"]);
    assert!(status.err.contains("is not on the chain"), "{status:?}");
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(
        (&status["chain"], &status["endpoints"][0]["standing"]),
        (&json!("SN_SEPOLIA"), &json!("good"))
    );
    assert_eq!(
        (&status["account"]["balance"]["fri"], &status["account"]["balance"]["strk"]),
        (&json!("5"), &json!("0.000000000000000005"))
    );

    const STRK: &str = "0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d";
    let contract = desk.ciro(&["status", "--contract", STRK, "-o", "json"]).json();
    let class = contract["contracts"][0]["class_hash"].as_str().unwrap().to_owned();
    desk.ciro(&["status", "--contract", &format!("{STRK}={class}")]).ok();
    let other = desk.ciro(&["status", "--contract", &format!("{STRK}=0x1"), "--contract", "0x1234"]);
    let said = other.fails(5);
    assert!(
        said.contains(&format!("has the class {class}")) && said.contains("there is no contract at"),
        "{said}"
    );
    let owner = devnet.accounts().await.unwrap().remove(0).address;
    let most = u128::MAX.to_string();
    let poor = desk.ciro(&["status", "--address", &owner, "--min-balance", &most]);
    assert!(poor.fails(5).contains("are the least that it should have"));

    let wrong = desk.ciro(&["status", "--network", "mainnet"]);
    assert!(wrong.out.contains("demoted"), "{wrong:?}");
    assert!(wrong.fails(8).contains("it serves the chain SN_SEPOLIA, and SN_MAIN is meant"));
    let away = desk.ciro(&["status", "--rpc", "http://127.0.0.1:9"]);
    assert!(away.fails(8).contains("cannot be reached"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_guarded_and_never_said() {
    let devnet = Devnet::start(DevnetOptions::default()).await.unwrap();
    let desk = Desk::new(devnet.url());
    let owner = devnet.accounts().await.unwrap().remove(0);
    let secret = owner.private_key.trim_start_matches("0x").to_owned();
    desk.private("plain.hex", &owner.private_key);
    let call = ["estimate", "0x1234", "f", "--address", &owner.address, "--private-key-file", "plain.hex"];

    // A plain key: with a warning on a test network, and not where it is worth money.
    let plain = desk.ciro(&call);
    assert!(plain.err.contains("warning: the key is plain"), "{plain:?}");
    let main = Devnet::start(DevnetOptions { chain: "MAINNET", ..DevnetOptions::default() }).await.unwrap();
    let refused = desk.ciro(&[&call[..], &["--rpc", main.url()]].concat());
    assert!(refused.fails(4).contains("a plain private key is refused on SN_MAIN"));

    // The same key, encrypted: on either.
    let key = fs::File::open(desk.folder.path().join("plain.hex")).unwrap();
    let import = desk.ciro_with(key.into(), &["keystore", "import", "key.json", "-o", "json"]).json();
    let digits = |text: &str| text.trim_start_matches("0x").trim_start_matches('0').to_owned();
    assert_eq!(digits(import["public_key"].as_str().unwrap()), digits(&owner.public_key));
    fs::remove_file(desk.folder.path().join("plain.hex")).unwrap();
    assert!(!all_files(desk.folder.path()).contains(&secret), "no file has the key in plain text");
    desk.private("wrong.txt", "another passphrase, no less long\n");
    let wrong = desk.ciro(&["keystore", "inspect", "key.json", "--passphrase-file", "wrong.txt"]);
    assert!(wrong.fails(4).contains("not the one of this keystore"));

    // Files that others may read, and passphrases that protect nothing.
    fs::set_permissions(desk.folder.path().join("key.json"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(desk.ciro(&["keystore", "inspect", "key.json"]).fails(4).contains("chmod 600"));
    desk.private("short.txt", "too short");
    let short = desk.ciro(&["keystore", "new", "other.json", "--passphrase-file", "short.txt"]);
    assert!(short.fails(9).contains("at least 16 characters"));
    assert!(!desk.folder.path().join("other.json").exists());
}
