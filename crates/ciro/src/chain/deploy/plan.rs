//! What is missing on the chain, and the transactions that put it there.

use super::{ContractArgs, Network};
use crate::error::{Exit, Failure};
use ciro_chain::Felt;
use ciro_chain::contract::artifact::{Contract, Deployment};
use ciro_chain::contract::{DecodeError, escrow, registry, token};
use ciro_chain::network::STRK;
use ciro_chain::rpc::read;
use ciro_chain::tx::Unsigned;
use ciro_core::amount::Fri;

/// A contract, and whether it is there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) contract: Contract,
    pub(super) address: Felt,
    pub(super) class_hash: Felt,
    pub(super) was_there: bool,
}

/// One transaction.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) words: String,
    pub(super) unsigned: Unsigned,
}

/// The contracts as they will be, and how.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) token: Felt,
    pub(super) places: Vec<Place>,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// Looks at what is there.
    pub(super) async fn new(args: &ContractArgs, network: &Network, account: Felt) -> Result<Plan, Failure> {
        refuse_what_is_unsafe(args, network)?;
        let (token, deployments) = deployments(args, account)?;
        if args.roles.token.is_some() && read::class_at(&network.pool, token).await?.is_none() {
            return Err(Failure::new(
                Exit::NotFound,
                format!("{} has no token at {token:#x}", network.chain),
            )
            .hint("--token names its contract; --test-token deploys one that is worth nothing"));
        }
        let (mut places, mut steps, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for (contract, deployment) in deployments {
            let address = deployment.address();
            let found = read::class_at(&network.pool, address).await?;
            if found.is_none() {
                if !read::is_declared(&network.pool, deployment.class_hash).await? {
                    steps.push(Step {
                        words: format!("declare {}", contract.name()),
                        unsigned: contract.declaration()?,
                    });
                }
                calls.push(deployment.call());
            }
            // One that was upgraded has another class by now, and is the same contract.
            let class_hash = found.unwrap_or(deployment.class_hash);
            places.push(Place { contract, address, class_hash, was_there: found.is_some() });
        }
        if !calls.is_empty() {
            let missing = places.iter().filter(|place| !place.was_there).map(|place| place.contract.name());
            let words = format!("deploy {}", missing.collect::<Vec<_>>().join(", "));
            steps.push(Step { words, unsigned: Unsigned::Invoke(calls) });
        }
        Ok(Plan { token, places, steps })
    }

    /// What would be done and cost.
    pub(super) fn words(&self, estimates: &[Fri]) -> String {
        if self.steps.is_empty() {
            return "Everything is there already; nothing is sent.".into();
        }
        let steps = self.steps.iter().zip(estimates);
        let lines = steps.map(|(step, fee)| format!("  {}: about {} STRK", step.words, fee.strk()));
        let whole = total(estimates).strk();
        format!("Would send:\n{}\nTogether about {whole} STRK", lines.collect::<Vec<_>>().join("\n"))
    }
}

/// The sum of fees.
pub(super) fn total(fees: &[Fri]) -> Fri {
    Fri(fees.iter().fold(0, |sum, fee| sum.saturating_add(fee.0)))
}

fn refuse_what_is_unsafe(args: &ContractArgs, network: &Network) -> Result<(), Failure> {
    let settings = &args.settings;
    if settings.unbonding_delay <= u64::from(settings.window) + u64::from(settings.arbitration) {
        return Err(Failure::usage("a stake could leave before a dispute is decided")
            .hint("--unbonding-delay must be longer than --window and --arbitration together"));
    }
    if network.chain.is_mainnet() && args.roles.test_token {
        return Err(Failure::usage("a token that is worth nothing is not deployed on the main network"));
    }
    if network.chain.is_mainnet() && args.roles.arbiter.is_none() {
        return Err(Failure::usage("on the main network the arbiter must be named")
            .hint("--arbiter names an account in other hands than the owner's and the operators'"));
    }
    Ok(())
}

/// The token, and what is deployed, each after what it refers to.
fn deployments(
    args: &ContractArgs,
    account: Felt,
) -> Result<(Felt, Vec<(Contract, Deployment)>), DecodeError> {
    let (roles, settings, salt) = (&args.roles, &args.settings, args.salt);
    let mut list = Vec::new();
    let mut token = roles.token.unwrap_or(STRK);
    if roles.test_token {
        let made = Deployment::of(Contract::TestToken, salt, &token::Constructor { minter: account })?;
        token = made.address();
        list.push((Contract::TestToken, made));
    }
    let owner = roles.owner.unwrap_or(account);
    let operators = if roles.operators.is_empty() { vec![account] } else { roles.operators.clone() };
    let constructor = escrow::Constructor {
        owner,
        arbiter: roles.arbiter.unwrap_or(account),
        treasury: roles.treasury.unwrap_or(owner),
        token,
        operators,
        config: escrow::Config {
            fee_bps: settings.fee_bps,
            bond_bps: settings.bond_bps,
            window: settings.window,
            grace: settings.grace,
            arbitration: settings.arbitration,
        },
    };
    let made = Deployment::of(Contract::JobEscrow, salt, &constructor)?;
    let escrow = made.address();
    list.push((Contract::JobEscrow, made));
    let constructor = registry::Constructor {
        token,
        escrow,
        min_stake: settings.min_stake.0,
        unbonding_delay: settings.unbonding_delay,
    };
    list.push((Contract::WorkerRegistry, Deployment::of(Contract::WorkerRegistry, salt, &constructor)?));
    Ok((token, list))
}
