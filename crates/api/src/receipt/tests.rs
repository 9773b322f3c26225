//! A receipt's file, and what is said of it when any byte of it is another.

use super::text::fields_of;
use super::*;
use ciro_core::amount::Fri;
use ciro_core::manifest::{Manifest, OutputFile, report_digest};
use ed25519_dalek::{Signer, SigningKey};
use uuid::Uuid;

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Signs a receipt in the middle of a list of three.
fn sign(mut receipt: Receipt) -> Receipt {
    receipt.hash = receipt.computed_hash();
    receipt.receipts = vec![Hash::of(b"before"), receipt.hash, Hash::of(b"behind")];
    let digest = report_digest(&receipt.session.to_string(), &receipt.receipts);
    receipt.signature = hex(&signing_key().sign(&digest).to_bytes());
    receipt
}

fn succeeded() -> Receipt {
    let file = OutputFile { path: "counts".into(), length: 7, blake3: Hash::of(b"counts") };
    let manifest = Manifest { outputs: vec![file], exit_code: 0, fuel: 12 }.canonical().unwrap();
    sign(Receipt {
        format: FORMAT.into(),
        job: JobId(Uuid::from_u128(7)),
        task: 3,
        fence: 2,
        outcome: "succeeded".into(),
        input: Some(Hash::of(b"input")),
        output: Some(Hash::of(manifest.as_bytes())),
        manifest: Some(manifest),
        profile: Profile::Wasm1,
        layers: vec!["process".into(), "rlimits".into()],
        usage: Usage { wall_ms: 12, cpu_ms: 9, peak_memory_bytes: 65_536 },
        price: Fri(0),
        hash: Hash([0; 32]),
        session: SessionId(Uuid::from_u128(9)),
        receipts: Vec::new(),
        position: 1,
        signature: String::new(),
        worker_key: hex(&signing_key().verifying_key().to_bytes()),
    })
}

fn declined() -> Receipt {
    let none = Receipt { input: None, output: None, manifest: None, layers: Vec::new(), ..succeeded() };
    sign(Receipt { outcome: "declined".into(), usage: Usage::default(), ..none })
}

fn priced() -> Receipt {
    sign(Receipt { format: PRICED_FORMAT.into(), price: Fri(250), ..succeeded() })
}

fn check(text: &[u8]) -> Vec<Checked> {
    let mut blocks = BlockReader::new(text);
    let mut checked = Vec::new();
    while let Some(lines) = blocks.next_block().unwrap() {
        checked.push(Checked::of(&lines, None));
    }
    checked
}

#[test]
fn a_receipt_reads_back_and_so_do_several_in_one_file() {
    let receipts = [succeeded(), priced(), declined(), priced(), succeeded()];
    let file: String = receipts.iter().map(|receipt| receipt.to_text().unwrap()).collect();
    let checked = check(file.as_bytes());
    assert_eq!(checked.len(), 5);
    for (checked, receipt) in checked.into_iter().zip(receipts) {
        assert_eq!(checked, Checked { receipt: Some(receipt), faults: Vec::new() });
    }
}

/// Each byte is replaced by its neighbour, by its other case, and by one that is no text at all.
#[test]
fn a_flipped_byte_is_named_by_the_field_that_it_stands_in() {
    for receipt in [succeeded(), priced(), declined()] {
        let fields = fields_of(&receipt.format).unwrap();
        let text = receipt.to_text().unwrap().into_bytes();
        let mut line = 0;
        for at in 0..text.len() {
            let field = match line {
                0 => "{",
                n if n <= fields.len() => fields[n - 1],
                _ => "}",
            };
            for flip in [0x01, 0x20, 0x80] {
                let mut changed = text.clone();
                changed[at] ^= flip;
                let found = check(&changed);
                let named: Vec<&str> =
                    found.iter().flat_map(|c| &c.faults).map(|f| f.field.as_str()).collect();
                assert_eq!(
                    named.first(),
                    Some(&field),
                    "byte {at} ({:?}) of line {line}: {found:?}",
                    char::from(text[at])
                );
                assert!(named.len() == 1 || found.len() > 1, "byte {at}: one fault is enough: {found:?}");
            }
            line += usize::from(text[at] == b'\n');
        }
    }
}

#[test]
fn what_was_changed_with_care_is_found_all_the_same() {
    let good = succeeded();
    let named = |receipt: &Receipt| {
        let faults = check(receipt.to_text().unwrap().as_bytes()).remove(0).faults;
        faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
    };
    // Sums and hash fit, the list does not.
    let mut cheaper = Receipt { usage: Usage { cpu_ms: 1, ..good.usage }, ..good.clone() };
    cheaper.hash = cheaper.computed_hash();
    assert_eq!(named(&cheaper), ["receipts"]);
    // The list fits too, the signature does not.
    cheaper.receipts[1] = cheaper.hash;
    assert_eq!(named(&cheaper), ["signature"]);
    // Another worker's signature over all of it is good, unless the key is known.
    let other = SigningKey::from_bytes(&[6; 32]);
    cheaper.worker_key = hex(&other.verifying_key().to_bytes());
    let digest = report_digest(&cheaper.session.to_string(), &cheaper.receipts);
    cheaper.signature = hex(&other.sign(&digest).to_bytes());
    assert_eq!(named(&cheaper), [] as [&str; 0]);
    let lines = BlockReader::new(cheaper.to_text().unwrap().as_bytes()).next_block().unwrap().unwrap();
    let faults = Checked::of(&lines, Some(&signing_key().verifying_key().to_bytes())).faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].field, "worker_key");

    assert_eq!(named(&Receipt { position: 0, ..good.clone() }), ["position"]);
    assert_eq!(named(&Receipt { outcome: "failed".into(), ..good.clone() }), ["manifest"]);
    let text = priced().to_text().unwrap();
    let dearer = text.replacen("\"price\": \"250\"", "\"price\": \"251\"", 1);
    assert_eq!(check(dearer.as_bytes())[0].faults[0].field, "price");
    let mut dearer = Receipt { price: Fri(251), ..priced() };
    dearer.hash = dearer.computed_hash();
    assert_eq!(named(&dearer), ["receipts"]);
    assert_eq!(named(&sign(Receipt { format: PRICED_FORMAT.into(), ..succeeded() })), ["price"]);
    let free = Receipt { price: Fri(0), format: FORMAT.into(), ..priced() };
    assert_eq!(named(&free), ["hash"], "what was signed with a price is no receipt without one");
    let text = good.to_text().unwrap();
    let lost_line = text.lines().filter(|line| !line.contains("\"fence\"")).map(|line| format!("{line}\n"));
    assert_eq!(check(lost_line.collect::<String>().as_bytes())[0].faults[0].field, "fence");
    assert_eq!(check(&text.as_bytes()[..text.len() - 3])[0].faults[0].field, "sums");
}

#[test]
fn a_file_of_something_else_is_told_at_once() {
    assert_eq!(check(b"PK\x03\x04").remove(0).faults[0].field, "{");
    assert!(check(b"").is_empty());
    let endless = vec![b'x'; MAX_LINE_BYTES + 1];
    assert!(BlockReader::new(endless.as_slice()).next_block().is_err());
}
