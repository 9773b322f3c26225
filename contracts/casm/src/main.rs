//! Compiles one contract from Sierra, which is declared, to CASM, which the sequencer runs, and
//! prints the two hashes that a declaration names: `ciro-casm CLASS.sierra.json CLASS.casm.json`.

mod class_hash;
mod pythonic;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use cairo_lang_starknet_classes::casm_contract_class::CasmContractClass;
use cairo_lang_starknet_classes::contract_class::ContractClass;
use serde_json::{Value, json};

/// The most felts of bytecode that Starknet takes.
const MAX_BYTECODE_FELTS: usize = 81_920;

fn main() -> Result<()> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [sierra, casm] = paths.as_slice() else {
        bail!("usage: ciro-casm CLASS.sierra.json CLASS.casm.json");
    };
    let text = fs::read(sierra).with_context(|| format!("cannot read {}", sierra.display()))?;
    let (hashes, compiled) =
        compile(&text).with_context(|| format!("{} does not compile", sierra.display()))?;
    fs::write(casm, compiled).with_context(|| format!("cannot write {}", casm.display()))?;
    println!("{hashes}");
    Ok(())
}

/// The hashes, and the CASM without the hints' Python form, which only sequencers of the past read.
fn compile(text: &[u8]) -> Result<(Value, Vec<u8>)> {
    let class: ContractClass = serde_json::from_slice(text)?;
    let abi = serde_json::from_slice::<Value>(text)?["abi"].take();
    let class_hash = class_hash::of(&class, &pythonic::text(&abi)?)?;
    let program = class.extract_sierra_program(false)?;
    let compiled = CasmContractClass::from_contract_class(class, program, false, MAX_BYTECODE_FELTS)?;
    let hashes = json!({
        "class_hash": format!("{class_hash:#066x}"),
        "compiled_class_hash": format!("{:#066x}", compiled.compiled_class_hash()),
    });
    let mut casm = serde_json::to_vec(&compiled)?;
    casm.push(b'\n');
    Ok((hashes, casm))
}
