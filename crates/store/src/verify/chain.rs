//! I17 and I18: what a nonce carries, and that what was sent is what is stored.

use super::report::Findings;
use crate::error::Error;
use crate::sql::Snapshot;
use serde_json::Value;
use std::collections::BTreeMap;

/// Each gives a line for everything that is wrong about I17.
const WRONG: [&str; 4] = [
    "SELECT 'nonce ', nonce, ' of ', account, ' is in use ', count(*), ' times' 
     FROM chain_nonces NOT INDEXED GROUP BY account, nonce HAVING count(*) > 1",
    "SELECT 'intent ', l.intent, ' is in ', count(*), ' nonces that it can happen in' FROM chain_links l
     JOIN chain_nonces n ON n.key = l.nonce WHERE n.state < 2 GROUP BY l.intent HAVING count(*) > 1",
    "SELECT 'intent ', i.key, ' has state ', i.state, ', and no nonce carries it so' FROM chain_intents i
     WHERE i.state IN (1, 2) AND NOT EXISTS (SELECT 1 FROM chain_links l JOIN chain_nonces n ON n.key = l.nonce
                                             WHERE l.intent = i.key AND n.state = i.state - 1)
     AND (i.state = 1 OR EXISTS (SELECT 1 FROM chain_links l WHERE l.intent = i.key))",
    "SELECT 'intent ', i.key, ' has state ', i.state, ', and a nonce of state ', n.state, ' carries it'
     FROM chain_links l JOIN chain_nonces n ON n.key = l.nonce JOIN chain_intents i ON i.key = l.intent
     WHERE n.state < 2 AND n.state <> i.state - 1",
];

/// Holds nonces against what they carry, and transactions against their bytes.
pub(super) fn check(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    found.checked("I17", c.value("SELECT count(*) FROM chain_nonces", ())?);
    for sql in WRONG {
        let mut statement = c.prepare(sql)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            found.violated("I17", row.line()?);
        }
    }
    transactions(c, found)
}

/// Every transaction of a nonce makes the same calls, for that nonce; its bytes are those of its hash,
/// and were stored before it was sent.
fn transactions(c: &Snapshot<'_>, found: &mut Findings) -> Result<(), Error> {
    let mut calls: BTreeMap<i64, Value> = BTreeMap::new();
    let mut statement = c.prepare(
        "SELECT t.key, t.hash, t.signed, t.created_at, t.sent_at, n.key, n.account, n.nonce
         FROM chain_transactions t LEFT JOIN chain_nonces n ON n.key = t.nonce ORDER BY t.key",
    )?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        found.checked("I18", 1);
        let key: i64 = row.get(0)?;
        let signed: Value = serde_json::from_str(row.get(2)?).unwrap_or_default();
        let params: Value =
            serde_json::from_str(signed["params"].as_str().unwrap_or_default()).unwrap_or_default();
        let body = &params["invoke_transaction"];
        if felt(&signed["hash"]) != Some(row.get(1)?) || body.is_null() {
            found.violated("I18", format!("transaction {key}: its bytes are not those of its hash"));
        }
        if row.get::<Option<i64>>(4)?.is_some_and(|sent| row.get(3).is_ok_and(|stored: i64| sent < stored)) {
            found.violated("I18", format!("transaction {key} was sent before it was stored"));
        }
        let Some(nonce) = row.get::<Option<i64>>(5)? else { continue };
        let mut padded = [0; 32];
        padded[24..].copy_from_slice(&row.get::<u64>(7)?.to_be_bytes());
        if felt(&body["nonce"]) != Some(padded) || felt(&body["sender_address"]) != Some(row.get(6)?) {
            found.violated("I17", format!("transaction {key} is for another nonce or another account"));
        }
        if *calls.entry(nonce).or_insert_with(|| body["calldata"].clone()) != body["calldata"] {
            found.violated("I17", format!("transaction {key} makes other calls than the first of its nonce"));
        }
    }
    Ok(())
}

/// The bytes of a number of Starknet, which JSON has in hex.
fn felt(value: &Value) -> Option<[u8; 32]> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    let padded = format!("{digits:0>64}");
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(padded.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    (padded.len() == 64).then_some(bytes)
}
