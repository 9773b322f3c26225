//! What no program writes: rows that say something else than the chain, for tests of what looks for that.

use crate::chain::write_escrow;
use crate::error::Error;
use crate::writer::Store;
use ciro_core::money::ChainEscrow;

/// Puts an escrow into the rows, or takes it out of them, behind everybody's back: no job hears of it.
///
/// # Errors
/// When the database cannot be written.
pub async fn plant_escrow(store: &Store, id: [u8; 32], escrow: Option<ChainEscrow>) -> Result<(), Error> {
    store
        .rare(move |c| match &escrow {
            Some(escrow) => write_escrow(c, escrow),
            None => c.run("DELETE FROM chain_escrows WHERE id = ?1", [id]).map(drop),
        })
        .await
}
