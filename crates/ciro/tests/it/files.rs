//! Artifacts, and modules of one's own.

use crate::network::shared;

/// `(module (func (export "_start")))` with a memory: the smallest program there is.
const EMPTY_PROGRAM: &[u8] = &[
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // magic and version
    1, 4, 1, 0x60, 0, 0, // a type: nothing to nothing
    3, 2, 1, 0, // a function of it
    5, 3, 1, 0, 1, // a memory of one page
    7, 0x13, 2, 6, b'_', b's', b't', b'a', b'r', b't', 0, 0, 6, b'm', b'e', b'm', b'o', b'r', b'y', 2,
    0, // exports
    10, 4, 1, 2, 0, 0x0b, // its body: end
];

#[test]
fn bytes_come_back_as_they_went() {
    let network = shared();
    let bytes: Vec<u8> =
        (0..6_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    network.write("big.bin", &bytes);
    network.write("empty.bin", b"");
    let stored = network.ciro(&["artifact", "put", "big.bin", "empty.bin", "-o", "json"]).json();
    let hash = |n: usize| stored["items"][n]["blake3"].as_str().unwrap().to_owned();
    assert_eq!(hash(0), blake3::hash(&bytes).to_hex().as_str());
    assert_eq!(stored["items"][0]["size"], bytes.len());
    network.ciro(&["artifact", "get", &hash(0), "--output", "back.bin"]).ok();
    assert!(std::fs::read(network.path("back.bin")).unwrap() == bytes, "24 MB come back as they went");
    assert_eq!(network.ciro(&["artifact", "get", &hash(1)]).ok(), "");
    network.ciro(&["artifact", "get", &"0".repeat(64)]).fails(3);
}

#[test]
fn a_module_of_ones_own_runs_and_a_stored_input_is_named_by_its_hash() {
    let network = shared();
    network.write("empty.wasm", EMPTY_PROGRAM);
    network.write("words.txt", "one two two\n");
    let job = network.ciro(&["job", "run", "./empty.wasm", "--wall", "30s", "-o", "json"]).json();
    assert_eq!((job["state"].as_str(), job["kind"].as_str()), (Some("completed"), Some("wasm")));
    let stored = network.ciro(&["artifact", "put", "words.txt", "-o", "id"]).ok();
    let input = format!("words.txt=blake3:{}", stored.trim());
    let id = network.ciro(&["job", "run", "wordcount", "--input", &input, "-o", "id"]).ok();
    let result = network.ciro(&["job", "result", id.trim(), "-o", "json"]).json();
    let name = result["files"][0]["path"].as_str().unwrap();
    assert_eq!(network.ciro(&["job", "result", id.trim(), "--cat", name]).ok(), "one\t1\ntwo\t2\n");
}
