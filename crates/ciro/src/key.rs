//! `ciro key`: API keys and join tokens.

use crate::again::{again, idempotency_key};
use crate::cli::Context;
use crate::clock;
use crate::error::Failure;
use crate::ids;
use crate::list::PageArgs;
use crate::table;
use crate::units::{When, duration_ms};
use ciro_api::client::Error;
use ciro_api::key::{Key, NewKey, Role, RotateKey};
use ciro_core::id::KeyId;

const CREATE: &str = "\
The key is shown once, here, and kept by the server only as a hash.

Examples:
  ciro key create ci --role client --expires 90d
  export CIRO_API_KEY=$(ciro key create me --role client -o json | jq -r .key)
  ciro key create rack-7 --role join                a token for `ciro-worker start --token`";

const ROTATE: &str = "\
The new key has the name, role and end of the old one, which goes on until the overlap ends. Change over
whatever uses it, see in `ciro key list` that the old one is not used any more, and revoke it or wait.

Examples:
  ciro key rotate key_01j…                          the old one goes on for a day
  ciro key rotate key_01j… --overlap 0s             it ends at once: somebody else has it";

/// API keys and join tokens.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Make a key
    #[command(after_help = CREATE)]
    Create {
        /// Its name, for people
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: RoleName,
        /// The tenant that it is for, by id or the end of it; only the operator may
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// When it ends: an instant, or a duration from now
        #[arg(long, value_name = "WHEN")]
        expires: Option<When>,
    },
    /// List the keys, without their secrets
    #[command(after_help = "Example:\n  ciro key list -o json")]
    List(PageArgs),
    /// Replace a key by a new one; the old one goes on for a while
    #[command(after_help = ROTATE)]
    Rotate {
        /// Its id
        id: String,
        /// How long the old one goes on, at most 30d
        #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration_ms)]
        overlap: u64,
    },
    /// End a key: it is refused from now on
    #[command(after_help = "Example:\n  ciro key revoke key_01j…")]
    Revoke {
        /// Its id
        id: String,
    },
}

/// What a key may do.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum RoleName {
    /// See jobs and workers
    Viewer,
    /// Submit jobs
    Client,
    /// See and remove workers, make join tokens
    Provider,
    /// Everything except keys
    Operator,
    /// Everything
    Admin,
    /// Let a worker register, nothing else
    Join,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::Viewer => Role::Viewer,
            RoleName::Client => Role::Client,
            RoleName::Provider => Role::Provider,
            RoleName::Operator => Role::Operator,
            RoleName::Admin => Role::Admin,
            RoleName::Join => Role::Join,
        }
    }
}

pub(crate) async fn run(command: KeyCommand, context: &Context) -> Result<(), Failure> {
    match command {
        KeyCommand::Create { name, role, tenant, expires } => {
            let expires_at = expires.map(|when| when.resolve(clock::now()));
            let tenant = match tenant {
                Some(tenant) => Some(ids::tenant(&context.client, &tenant).await?),
                None => None,
            };
            create(NewKey { name, role: role.into(), expires_at, tenant }, context).await
        }
        KeyCommand::List(page) => {
            let keys = page.fetch(context, async |query| context.client.key_list(query).await).await?;
            context.out.many(&keys, |key| key.id.to_string(), show)
        }
        KeyCommand::Rotate { id, overlap } => {
            let id = ids::key(&context.client, &id).await?;
            rotate(id, RotateKey { overlap_ms: overlap }, context).await
        }
        KeyCommand::Revoke { id } => {
            let id = ids::key(&context.client, &id).await?;
            again(|| context.client.key_revoke(id)).await?;
            context.out.remark(&format!("{id} is refused from now on"));
            Ok(())
        }
    }
}

async fn create(new: NewKey, context: &Context) -> Result<(), Failure> {
    let once = idempotency_key();
    let made = again(|| context.client.key_create(&new, Some(&once))).await.map_err(lost)?;
    context.out.one(&made, &made.id.to_string(), || {
        table::record([
            ("id", made.id.to_string()),
            ("role", word(made.role).to_owned()),
            ("key", made.key.clone()),
        ])
    })?;
    context.out.remark("The key is shown this once: keep it now.");
    Ok(())
}

/// An answer that was lost cannot be had again, for it is the secret: the hint says what to do.
fn lost(error: Error) -> Failure {
    let shown = error.code() == Some("secret_already_shown");
    let failure = Failure::from(error);
    if shown {
        failure.hint("its answer was lost on the way: revoke it (`ciro key list`) and make another")
    } else {
        failure
    }
}

async fn rotate(old: KeyId, how: RotateKey, context: &Context) -> Result<(), Failure> {
    let once = idempotency_key();
    let made = again(|| context.client.key_rotate(old, &how, Some(&once))).await.map_err(lost)?;
    let now = clock::now();
    context.out.one(&made, &made.id.to_string(), || {
        table::record([
            ("id", made.id.to_string()),
            ("role", word(made.role).to_owned()),
            ("key", made.key.clone()),
            ("replaces", made.replaces.to_string()),
            ("old key ends", table::ago(made.old_ends_at, now)),
        ])
    })?;
    context.out.remark("The key is shown this once: keep it now.");
    Ok(())
}

fn show(keys: &[Key]) -> String {
    let now = clock::now();
    table::table(
        ["id", "name", "role", "made", "last used", "state"],
        keys.iter().map(|key| {
            let state = match (key.revoked_at, key.expires_at) {
                (Some(at), _) => format!("revoked {}", table::ago(at, now)),
                (None, Some(at)) if at.0 <= now => format!("expired {}", table::ago(at, now)),
                (None, Some(at)) => format!("expires {}", table::ago(at, now)),
                (None, None) => "good".into(),
            };
            [
                key.id.to_string(),
                key.name.clone(),
                word(key.role).into(),
                table::ago(key.created_at, now),
                key.last_used_at.map_or("never".into(), |at| table::ago(at, now)),
                state,
            ]
        }),
    )
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Client => "client",
        Role::Provider => "provider",
        Role::Operator => "operator",
        Role::Admin => "admin",
        Role::Join => "join",
    }
}
