//! The tables against the checked-in ABI, in both directions, and known values of hashes.

use super::artifact::{Contract, Deployment};
use super::escrow::{Config, EscrowEvent};
use super::job::ENUMS;
use super::*;
use crate::rpc::read::selector;
use crate::tx::Unsigned;
use serde_json::Value;
use starknet_rust_core::codec::{Decode, Encode};
use std::collections::BTreeMap;

const ABIS: [(Contract, &str); 3] = [
    (Contract::JobEscrow, include_str!("../../../../contracts/artifacts/JobEscrow.abi.json")),
    (Contract::WorkerRegistry, include_str!("../../../../contracts/artifacts/WorkerRegistry.abi.json")),
    (Contract::TestToken, include_str!("../../../../contracts/artifacts/TestToken.abi.json")),
];

/// What a contract is said to have, a line for each thing, by its name.
type Lines = BTreeMap<String, String>;

fn declared(contract: Contract) -> Lines {
    let (functions, events, records) = match contract {
        Contract::JobEscrow => (
            [escrow::FUNCTIONS, access::FUNCTIONS],
            [escrow::EVENTS, access::EVENTS],
            [escrow::RECORDS, access::RECORDS],
        ),
        Contract::WorkerRegistry => {
            ([registry::FUNCTIONS, &[]], [registry::EVENTS, &[]], [registry::RECORDS, &[]])
        }
        Contract::TestToken => ([token::FUNCTIONS, &[]], [token::EVENTS, &[]], [token::RECORDS, &[]]),
    };
    let mut lines = Lines::new();
    for Declared { kind, name, arguments, answer } in functions.concat() {
        lines.insert(format!("fn {name}"), format!("{kind} ({}) -> {answer}", list(arguments)));
    }
    for DeclaredEvent { name, keys, data } in events.concat() {
        lines.insert(format!("event {name}"), format!("[{}] {{{}}}", list(keys), list(data)));
    }
    for Record { name, members } in records.concat().iter().chain(job::RECORDS) {
        lines.insert(format!("struct {name}"), list(members));
    }
    for (name, variants) in ENUMS {
        lines.insert(format!("enum {name}"), variants.join(", "));
    }
    lines.into_iter().map(|(name, line)| (name, line.replace(' ', ""))).collect()
}

fn list(arguments: &[Argument]) -> String {
    arguments.iter().map(|(name, of)| format!("{name}: {of}")).collect::<Vec<_>>().join(", ")
}

fn in_abi(text: &str) -> Lines {
    let mut lines = Lines::new();
    let abi: Value = serde_json::from_str(text).unwrap();
    for entry in abi.as_array().unwrap() {
        let name = short(entry["name"].as_str().unwrap());
        match entry["type"].as_str().unwrap() {
            "interface" => {
                for item in entry["items"].as_array().unwrap() {
                    let kind = item["state_mutability"].as_str().unwrap();
                    let answer = item["outputs"].as_array().unwrap();
                    let answer = answer.first().map_or("Nothing".to_owned(), of);
                    let line = format!("{kind}({})->{answer}", members(&item["inputs"], ""));
                    lines.insert(format!("fn {}", item["name"].as_str().unwrap()), line);
                }
            }
            "event" if entry["kind"] == "struct" => {
                let (keys, data) = (members(&entry["members"], "key"), members(&entry["members"], "data"));
                lines.insert(format!("event {name}"), format!("[{keys}]{{{data}}}"));
            }
            // What the core library has is the codec's.
            "struct" | "enum" if entry["name"].as_str().unwrap().starts_with("core::") => {}
            "struct" => {
                lines.insert(format!("struct {name}"), members(&entry["members"], ""));
            }
            "enum" => {
                let names = entry["variants"].as_array().unwrap().iter();
                let names: Vec<_> = names.map(|variant| variant["name"].as_str().unwrap()).collect();
                lines.insert(format!("enum {name}"), names.join(","));
            }
            "constructor" => {
                lines.insert("struct Constructor".to_owned(), members(&entry["inputs"], ""));
            }
            "impl" | "event" => {}
            other => panic!("an ABI has an entry of the type {other}"),
        }
    }
    lines
}

/// Members of one kind, or all of them.
fn members(list: &Value, kind: &str) -> String {
    let list = list.as_array().unwrap().iter().filter(|member| kind.is_empty() || member["kind"] == kind);
    let lines = list.map(|member| format!("{}:{}", member["name"].as_str().unwrap(), of(member)));
    lines.collect::<Vec<_>>().join(",")
}

fn of(typed: &Value) -> String {
    in_rust(typed["type"].as_str().unwrap())
}

/// A type of Cairo as it is called here. Spans and arrays are encoded alike, and so are all numbers
/// that take one felt.
fn in_rust(cairo: &str) -> String {
    if let Some((generic, inner)) = cairo.strip_suffix('>').and_then(|text| text.split_once("::<")) {
        let generic = match short(generic) {
            "Span" | "Array" => "Vec",
            other => other,
        };
        return format!("{generic}<{}>", in_rust(inner));
    }
    match short(cairo) {
        "felt252" | "ContractAddress" | "ClassHash" => "Felt".to_owned(),
        "u256" => "U256".to_owned(),
        name => name.to_owned(),
    }
}

fn short(path: &str) -> &str {
    path.rsplit("::").next().unwrap()
}

#[test]
fn the_abi_and_the_tables_have_the_same_functions_events_and_records() {
    for (contract, abi) in ABIS {
        let (mut ours, abi) = (declared(contract), in_abi(abi));
        // Records that all contracts share are in an ABI where it uses them.
        ours.retain(|name, _| !name.contains(' ') || abi.contains_key(name) || !is_shared(name));
        for (name, line) in &abi {
            assert_eq!(ours.get(name), Some(line), "{} {name}: left is ours", contract.name());
        }
        for name in ours.keys() {
            assert!(abi.contains_key(name), "{} has no {name}", contract.name());
        }
        assert!(abi.keys().filter(|name| name.starts_with("fn ")).count() > 10, "{abi:?}");
    }
}

fn is_shared(name: &str) -> bool {
    let records = job::RECORDS.iter().map(|record| record.name);
    let name = name.rsplit(' ').next().unwrap();
    records.chain(ENUMS.iter().map(|(name, _)| *name)).any(|shared| shared == name)
}

#[test]
fn the_classes_that_are_built_in_are_the_ones_of_the_hashes() {
    for contract in Contract::ALL {
        let Unsigned::Declare { class, compiled } = contract.declaration().unwrap() else {
            panic!("a declaration declares")
        };
        let hashes = contract.hashes().unwrap();
        assert_eq!(
            (class.class_hash(), compiled),
            (hashes.class_hash, hashes.compiled_class_hash),
            "{contract:?}"
        );
    }
}

#[test]
fn an_id_is_poseidon_of_client_and_salt() {
    // As poseidon_hash of the Python package poseidon_py computes it.
    let id = Felt::from_hex_unchecked("0x5d44a3decb2b2e0cc71071f7b802f45dd792d064f0fc7316c46514f70f9891a");
    assert_eq!(job_id(Felt::ONE, Felt::TWO), id);
    assert_eq!(JobKey { client: Felt::ONE, salt: Felt::TWO }.id(), id);
    assert_ne!(job_id(Felt::TWO, Felt::ONE), id);
}

#[test]
fn what_is_encoded_is_read_back() {
    let job = Job {
        state: JobState::Disputed,
        amount: u128::MAX,
        fee_bps: 250,
        expires_at: u64::MAX,
        clock: 7,
        payouts_hash: Felt::MAX,
        bond: 5,
    };
    let mut felts = Vec::new();
    job.encode(&mut felts).unwrap();
    assert_eq!(felts.len(), 7);
    assert_eq!(Job::decode(&felts).unwrap(), job);
    felts[0] = Felt::from(9_u8);
    assert!(Job::decode(&felts).is_err(), "there are nine states");
    let settle = escrow::Settle {
        batch: vec![escrow::Settlement {
            job: JobKey { client: Felt::ONE, salt: Felt::TWO },
            payouts: vec![Payout { provider: Felt::THREE, amount: 4 }],
        }],
    };
    let call = settle.call(Felt::from(77_u8)).unwrap();
    assert_eq!((call.to, call.selector), (Felt::from(77_u8), selector("settle")));
    assert_eq!(call.calldata, [1_u8, 1, 2, 1, 3, 4].map(Felt::from));
}

#[test]
fn events_are_read_and_what_is_wrong_with_them_is_said() {
    let felts = |numbers: &[u64]| numbers.iter().copied().map(Felt::from).collect::<Vec<_>>();
    let keys = |name: &str, rest: &[u64]| [vec![selector(name)], felts(rest)].concat();
    let completed = EscrowEvent::read(&keys("JobCompleted", &[5]), &felts(&[6, 7, 1, 8, 9])).unwrap();
    let payouts = vec![Payout { provider: Felt::from(8_u8), amount: 9 }];
    assert_eq!(
        completed,
        Some(EscrowEvent::JobCompleted {
            job_id: Felt::from(5_u8),
            result_hash: Felt::from(6_u8),
            window_ends_at: 7,
            payouts
        })
    );
    assert_eq!(EscrowEvent::read(&keys("Paused", &[1]), &[]).unwrap(), None, "another's");
    assert_eq!(EscrowEvent::read(&[], &[]).unwrap(), None);
    for data in [&[6_u64, 7, 1, 8][..], &[6, 7, 1, 8, 9, 10]] {
        let error = EscrowEvent::read(&keys("JobCompleted", &[5]), &felts(data)).unwrap_err();
        assert!(error.to_string().starts_with("JobCompleted is not encoded"), "{error}");
    }
}

#[test]
fn an_address_follows_from_what_a_contract_is_made_with() {
    let config = Config { fee_bps: 250, bond_bps: 500, window: 3600, grace: 3600, arbitration: 86_400 };
    let made = |owner: u8| {
        let owner = Felt::from(owner);
        let constructor = escrow::Constructor {
            owner,
            arbiter: owner,
            treasury: owner,
            token: owner,
            operators: vec![owner],
            config: config.clone(),
        };
        Deployment::of(Contract::JobEscrow, Felt::ZERO, &constructor).unwrap()
    };
    assert_eq!(made(1).constructor.len(), 11);
    assert_eq!(made(1).address(), made(1).address());
    assert_ne!(made(1).address(), made(2).address());
    assert_eq!(made(1).call().calldata[..4], [made(1).class_hash, Felt::ZERO, Felt::ZERO, Felt::from(11_u8)]);
}
