//! What a newcomer pays jobs with: a deposit into the network's own books, at the first start.

use crate::error::Failure;
use ciro_api::client::Client;
use ciro_api::job::Amount;
use ciro_api::payment::{Balance, NewDeposit};

/// 1,000 STRK, FRI.
const AMOUNT: &str = "1000000000000000000000";
/// It comes in once, however often the network is started.
const REFERENCE: &str = "ciro dev";

/// Pays in what there is not yet; what there is then.
pub(super) async fn fund(client: &Client) -> Result<Balance, Failure> {
    let amount = Amount { fri: AMOUNT.into(), strk: None };
    let note = Some("to try paid jobs with".into());
    let deposit = NewDeposit { tenant: None, amount, reference: Some(REFERENCE.into()), note };
    client.payment_deposit(&deposit, None).await?;
    Ok(client.payment_balance(None).await?)
}
