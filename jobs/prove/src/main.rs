//! Proves that a chain of hashes was walked, and checks such a proof in much less time than the
//! walk takes: a STARK of the library winterfell. The proof hides nothing; it is short.
//!
//! `prove prove [start=1] [links=1023]` walks so many links from a number and leaves `/out/claim.json`
//! and `/out/proof.bin`; `prove verify` reads both as `/in/claim` and `/in/proof`, and fails unless
//! the one proves the other.

mod chain;
#[path = "../../lib/json.rs"]
mod json;
mod prover;
#[path = "../../lib/task.rs"]
mod task;

use chain::{ChainAir, Claim, MAX_LINKS};
use prover::{ChainProver, Coin, Hash, Tree};
use std::io;
use task::{Settings, bad};
use winterfell::math::{StarkField, fields::f128::BaseElement};
use winterfell::{AcceptableOptions, Proof, Prover};

/// The least that a proof must be worth, bits.
const SECURITY: u32 = 100;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some("prove") => prove(&args[1..]),
        Some("verify") => verify(),
        _ => Err(bad("use `prove prove [start=N] [links=N]` or `prove verify`".into())),
    };
    task::finish("prove", done);
}

fn prove(args: &[String]) -> io::Result<()> {
    let settings = Settings::of(args, &["start", "links"])?;
    let start = element(settings.text("start").unwrap_or("1"))
        .ok_or_else(|| bad(format!("start is a number below {}", BaseElement::MODULUS)))?;
    let links = settings.whole("links", 1023, 1, MAX_LINKS)?;
    let claim = Claim { start, links, result: chain::walk(start, links) };
    let prover = ChainProver::new(claim);
    let proof = prover.prove(chain::table(start, links)).map_err(|error| bad(error.to_string()))?;
    let bytes = proof.to_bytes();
    let text = format!(
        "{{\n  \"start\": \"{}\",\n  \"links\": {},\n  \"result\": \"{}\"\n}}\n",
        start.as_int(),
        links,
        claim.result.as_int()
    );
    println!("{} links proved in {} bytes", links, bytes.len());
    task::write("claim.json", text.as_bytes())?;
    task::write("proof.bin", &bytes)
}

fn verify() -> io::Result<()> {
    let dir = task::dir("in");
    let claim = claim(&task::read_text(&dir.join("claim"))?)?;
    let bytes = std::fs::read(dir.join("proof"))
        .map_err(|error| bad(format!("/in/proof: {error}: the inputs are named claim and proof")))?;
    let proof = Proof::from_bytes(&bytes).map_err(|error| bad(format!("this is no proof: {error}")))?;
    let rows = proof.context.trace_info().length();
    if claim.links as usize * chain::ROWS >= rows || proof.context.trace_info().width() != 2 {
        return Err(bad("the proof is of another chain".into()));
    }
    let least = AcceptableOptions::MinConjecturedSecurity(SECURITY);
    winterfell::verify::<ChainAir, Hash, Coin, Tree>(proof, claim, &least)
        .map_err(|error| bad(format!("the claim is not proved: {error}")))?;
    println!("{} links from {} to {} are proved", claim.links, claim.start.as_int(), claim.result.as_int());
    let text = format!("{{\n  \"proved\": true,\n  \"links\": {}\n}}\n", claim.links);
    task::write("verified.json", text.as_bytes())
}

fn claim(text: &str) -> io::Result<Claim> {
    let value = json::parse(text)?;
    let mut fields = value.fields("a claim")?;
    let mut number = |name: &str| {
        let value = fields.need(name)?;
        element(value.text()?).ok_or_else(|| value.at.wrong(format!("not below {}", BaseElement::MODULUS)))
    };
    let (start, result) = (number("start")?, number("result")?);
    let links = fields.need("links")?.whole(1, MAX_LINKS)?;
    fields.end("start, links, result")?;
    Ok(Claim { start, links, result })
}

fn element(text: &str) -> Option<BaseElement> {
    let number: u128 = text.parse().ok()?;
    (number < BaseElement::MODULUS).then(|| BaseElement::new(number))
}
