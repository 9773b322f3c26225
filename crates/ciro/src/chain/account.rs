//! `ciro chain account`: what an account is and has, and putting a new one on the chain.

use super::amount::Amount;
use super::network::{Network, NetworkArgs, felt};
use super::signer::{KeyArgs, SignerArgs};
use super::submit::{FeeArgs, submit};
use super::tx;
use crate::error::{Exit, Failure};
use crate::output::Output;
use crate::{private, table};
use ciro_chain::Felt;
use ciro_chain::keys::{AccountFile, Deployment};
use ciro_chain::network::{Page, STRK};
use ciro_chain::rpc::read::{self, At};
use ciro_chain::tx::Unsigned;
use ciro_core::amount::Fri;
use ciro_core::id::Hash;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The class of OpenZeppelin's account for STARK keys, version 1.0.0, as it is declared on the public
/// networks and on a devnet.
pub(super) const OPEN_ZEPPELIN: &str = "0x5b4b537eaa2399e3aa99c4e2e0208ebd6c71bc1467938cd52c798c601e43564";

const SHOW: &str = "\
Examples:
  ciro chain account show --account account.json --rpc http://127.0.0.1:5050
  ciro chain account show --address 0x64b4… -o json | jq -r .balance.strk";

const DEPLOY: &str = "\
The first time the file is written and the address is shown, which follows from the key: send STRK there, and run
the same command again. An account that is there already is left as it is.

Examples:
  ciro chain account deploy account.json --keystore key.json --rpc http://127.0.0.1:5050";

const FETCH: &str = "\
For an account that another tool or a wallet put on the chain.

Examples:
  ciro chain account fetch 0x64b4… account.json --rpc http://127.0.0.1:5050";

/// Accounts.
#[derive(Debug, clap::Subcommand)]
pub enum AccountCommand {
    /// Show an account: whether it is on the chain, its class, nonce and balance
    #[command(after_help = SHOW)]
    Show(ShowArgs),
    /// Put a new account of a key on the chain
    #[command(after_help = DEPLOY)]
    Deploy(DeployArgs),
    /// Write the account file of an account that is on the chain
    #[command(after_help = FETCH)]
    Fetch(FetchArgs),
}

/// Which account.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    signer: SignerArgs,
}

/// What is deployed.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    /// The account file; it is written when it does not exist
    file: PathBuf,
    /// The account's class; its constructor must take the public key alone
    #[arg(long, value_name = "CLASS", value_parser = felt, default_value = OPEN_ZEPPELIN)]
    class: Felt,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    fee: FeeArgs,
}

/// What is fetched.
#[derive(Debug, clap::Args)]
pub struct FetchArgs {
    /// The account's address
    #[arg(value_parser = felt)]
    address: Felt,
    /// The file; there must be none
    file: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Serialize)]
struct Shown {
    address: String,
    chain: String,
    deployed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<u64>,
    balance: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    explorer: Option<String>,
}

pub(super) async fn run(command: AccountCommand, out: Output) -> Result<(), Failure> {
    match command {
        AccountCommand::Show(args) => {
            let network = args.network.connect().await?;
            let address = args.signer.named(network.chain)?;
            let address = address.ok_or_else(|| {
                Failure::usage("no account is named").hint("name it with --account FILE or --address ADDRESS")
            })?;
            let shown = look(&network, address).await?;
            tell(&shown, out)?;
            if !shown.deployed {
                out.remark(&format!("It is not on the chain. {}", how_to_fund(&network, address)));
            }
            Ok(())
        }
        AccountCommand::Deploy(args) => deploy(&args, out).await,
        AccountCommand::Fetch(args) => fetch(&args, out).await,
    }
}

async fn look(network: &Network, address: Felt) -> Result<Shown, Failure> {
    let class = read::class_at(&network.pool, address).await?;
    let nonce = read::nonce(&network.pool, address).await?;
    let balance = read::balance(&network.pool, STRK, address, At::PreConfirmed).await?;
    Ok(Shown {
        address: format!("{address:#066x}"),
        chain: network.chain.to_string(),
        deployed: class.is_some(),
        class_hash: class.map(|class| format!("{class:#066x}")),
        nonce,
        balance: Amount::of(Fri(balance)),
        explorer: network.explorer(Page::Contract(address)),
    })
}

fn tell(shown: &Shown, out: Output) -> Result<(), Failure> {
    out.one(shown, &shown.address, || {
        table::record([
            ("address", shown.address.clone()),
            ("chain", shown.chain.clone()),
            ("on the chain", if shown.deployed { "yes" } else { "no" }.to_owned()),
            ("class", shown.class_hash.clone().unwrap_or_default()),
            ("next nonce", shown.nonce.map(|nonce| nonce.to_string()).unwrap_or_default()),
            ("balance", shown.balance.words()),
            ("explorer", shown.explorer.clone().unwrap_or_default()),
        ])
    })
}

fn how_to_fund(network: &Network, address: Felt) -> String {
    if network.pool.is_local() {
        format!("On a devnet `devnet_mint` gives {address:#x} STRK; then `ciro chain account deploy`.")
    } else {
        format!("Send STRK to {address:#x}; then `ciro chain account deploy`.")
    }
}

async fn deploy(args: &DeployArgs, out: Output) -> Result<(), Failure> {
    let network = args.network.connect().await?;
    let key = args.key.unlock(network.chain)?;
    let file = if args.file.exists() {
        AccountFile::read(&args.file)?
    } else {
        new_file(&network, args, key.public()).await?
    };
    let account = file.with_key(key)?;
    let (address, public) = (account.address, account.key.public());
    if read::class_at(&network.pool, address).await?.is_none() {
        let Deployment::Undeployed { class_hash, salt } = file.deployment() else {
            return Err(Failure::new(
                Exit::Conflict,
                format!(
                    "{} says that the account is deployed, and {} has none at {address:#x}",
                    args.file.display(),
                    network.chain
                ),
            )
            .hint("is it the right chain? --network names another"));
        };
        if read::balance(&network.pool, STRK, address, At::PreConfirmed).await? == 0 {
            tell(&look(&network, address).await?, out)?;
            return Err(Failure::new(Exit::Conflict, "the account has nothing to pay its deployment with")
                .hint(how_to_fund(&network, address)));
        }
        let unsigned = Unsigned::DeployAccount { class: *class_hash, salt: *salt, constructor: vec![public] };
        let landed = submit(&network, &account, 0, args.fee.policy(), &unsigned).await?;
        let landed = tx::Shown::of(landed, &network);
        out.remark(&format!("deployed by {} for {}", landed.hash, landed.fee.words()));
    }
    private::write(&args.file, file.deployed_at(address).text()?.as_bytes())?;
    tell(&look(&network, address).await?, out)
}

/// A file for an account that is not on the chain yet. Its salt follows from the key, so that a file
/// that was lost can be written again.
async fn new_file(network: &Network, args: &DeployArgs, public: Felt) -> Result<AccountFile, Failure> {
    if !read::is_declared(&network.pool, args.class).await? {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{} has no class {:#x}", network.chain, args.class),
        )
        .hint("--class names the account's class; `starkli class-by-hash` and explorers know more of them"));
    }
    let mut salt = Hash::of(&public.to_bytes_be()).0;
    salt[0] = 0;
    let file = AccountFile::new(public, args.class, Felt::from_bytes_be(&salt));
    write_new(&args.file, &file)?;
    Ok(file)
}

fn write_new(path: &Path, file: &AccountFile) -> Result<(), Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        private::make_folder(folder)?;
    }
    private::write(path, file.text()?.as_bytes())
}

async fn fetch(args: &FetchArgs, out: Output) -> Result<(), Failure> {
    let network = args.network.connect().await?;
    if args.file.symlink_metadata().is_ok() {
        return Err(Failure::new(Exit::Conflict, format!("{} is there already", args.file.display())));
    }
    let Some(class) = read::class_at(&network.pool, args.address).await? else {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{} has no account at {:#x}", network.chain, args.address),
        ));
    };
    let keys = read::call(&network.pool, args.address, "get_public_key", &[], At::Latest).await;
    let public = match keys.as_deref() {
        Ok([public]) => *public,
        _ => {
            return Err(Failure::new(
                Exit::Invalid,
                "the contract does not say its public key as accounts of OpenZeppelin do",
            )
            .hint("`starkli account fetch` knows the accounts of wallets; its file is read here"));
        }
    };
    write_new(&args.file, &AccountFile::deployed(public, class, args.address))?;
    tell(&look(&network, args.address).await?, out)
}
