//! Reads what the escrow contract asks of a deposit: each coordinator for itself, for it is part of what it
//! answers.

use crate::app::App;
use crate::deposits::Terms;
use ciro_chain::contract::escrow::{GetConfig, Token};
use ciro_chain::contract::{ViewError, view};
use ciro_chain::rpc::Pool;
use ciro_chain::rpc::read::At;

/// Reads it; where that fails, what was read before goes on to apply.
pub(super) async fn learn(app: &App, pool: &Pool) {
    let Some(contract) = app.deposits.contract() else { return };
    let asked = async {
        let config = view(pool, contract, &GetConfig {}, At::Latest).await?;
        let token = view(pool, contract, &Token {}, At::Latest).await?;
        Ok::<_, ViewError>(Terms { token, fee_bps: config.fee_bps, window_s: config.window })
    };
    match asked.await {
        Ok(terms) => app.deposits.learn(terms),
        Err(error) => tracing::warn!(error = %error, "the escrow contract {contract:#x} cannot be read"),
    }
}
