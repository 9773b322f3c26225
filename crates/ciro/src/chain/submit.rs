//! One transaction from what it is to do to its place on the chain: estimated, capped, signed, sent,
//! looked for. An answer that is lost does no harm: the same bytes are sent again.

use super::network::Network;
use crate::error::{Exit, Failure};
use ciro_chain::keys::Account;
use ciro_chain::tx::fee::FeePolicy;
use ciro_chain::tx::outcome::{Landed, Sent};
use ciro_chain::tx::sign::Terms;
use ciro_chain::tx::{Bounds, Signed, Unsigned, send};
use ciro_core::amount::Fri;
use std::time::{Duration, Instant};

/// The longest that a transaction is waited for.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(300);

/// What a command may cost.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct FeeArgs {
    /// The most that one transaction may cost, in FRI (10¹⁸ FRI are 1 STRK) [default: 100 STRK]
    #[arg(long, value_name = "FRI")]
    pub(super) max_fee: Option<Fri>,
}

impl FeeArgs {
    pub(super) fn policy(self) -> FeePolicy {
        let policy = FeePolicy::default();
        match self.max_fee {
            Some(most_each) => FeePolicy { most_each, ..policy },
            None => policy,
        }
    }
}

/// Carries out a transaction and waits until the chain has it.
pub(super) async fn submit(
    network: &Network,
    account: &Account,
    nonce: u64,
    policy: FeePolicy,
    unsigned: &Unsigned,
) -> Result<Landed, Failure> {
    let terms = Terms { chain: network.chain, account, nonce, bounds: Bounds::default() };
    let estimate = send::estimate(&network.pool, unsigned, terms).await?;
    let bounds = policy.bounds(&estimate, Fri(0))?;
    let signed = unsigned.sign(Terms { bounds, ..terms })?;
    let landed = until_landed(network, &signed).await?;
    match &landed.reverted {
        Some(reason) => Err(Failure::new(
            Exit::Failure,
            format!("the transaction {:#x} reverted and cost {} FRI: {reason}", signed.hash, landed.fee),
        )),
        None => Ok(landed),
    }
}

async fn until_landed(network: &Network, signed: &Signed) -> Result<Landed, Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut taken = false;
    loop {
        if !taken {
            taken = passed_on(send::send(&network.pool, signed).await)?;
        }
        if let Some(landed) = send::look(&network.pool, signed.hash).await? {
            return Ok(landed);
        }
        if Instant::now() >= deadline {
            let late = format!("{:#x} is not on the chain after {} s", signed.hash, PATIENCE.as_secs());
            return Err(Failure::new(Exit::Timeout, late).hint(
                "it may still land: `ciro chain tx HASH` shows it; the same command does nothing twice",
            ));
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Whether a node has it now. Its own nonce in use means that it may have landed: it is looked for.
fn passed_on(sent: Sent) -> Result<bool, Failure> {
    match sent {
        Sent::Accepted | Sent::Known | Sent::NonceTooLow { .. } => Ok(true),
        Sent::NotReached(_) | Sent::Unknown(_) | Sent::NonceGap { .. } => Ok(false),
        Sent::Underpriced => Err(Failure::new(Exit::Conflict, "another transaction of this account waits")
            .hint("wait until it has landed, then try again")),
        Sent::BoundsTooLow(words) => {
            Err(Failure::new(Exit::Conflict, words).hint("prices have risen: try again"))
        }
        Sent::CannotPay(words) => Err(Failure::new(Exit::Conflict, words)
            .hint("`ciro chain account show` shows the balance: fund the account")),
        Sent::Refused(reason) => Err(Failure::new(Exit::Invalid, format!("it was refused: {reason}"))),
    }
}
