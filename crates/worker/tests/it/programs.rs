//! The built-in programs against what is known: results do not depend on how the job is cut or how
//! high the tree of reducers is, and the module gives the same bytes as a program of this machine.

use crate::executor_bench::module;
use crate::programs_bench::{Cut, Env, Files, Job, Machine, Programs, env, files};
use Machine::{Native, Wasm};
use serde_json::Value;

const FLAT: usize = 64;

fn json(files: &Files, name: &str) -> Value {
    serde_json::from_slice(&files[name]).unwrap()
}

fn nothing(_: u32) -> Files {
    Files::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn option_prices_agree_with_black_and_scholes_however_they_are_cut() {
    let programs = Programs::new();
    for option in ["option=european-call", "option=european-put"] {
        let map = ["price", option, "paths=400000", "strike=110", "seed=5"];
        let alone = programs.alone(Wasm, "montecarlo", &map, &Files::new()).await;
        let price = json(&alone, "price.json");
        let number = |name: &str| price[name].as_f64().unwrap();
        let off = (number("price") - number("black_scholes")).abs();
        assert!(off < 3.0 * number("standard_error"), "{price}");
        assert!(number("standard_error") < 0.05, "{price}");
        let half = (price["interval_95"][1].as_f64().unwrap() - number("price")) / number("standard_error");
        assert!((half - 1.96).abs() < 0.001, "{price}");
        let job = Job { program: "montecarlo", map: &map, reduce: "combine" };
        for (on, cut) in [
            (Wasm, Cut { tasks: 3, fan_in: FLAT }),
            (Wasm, Cut { tasks: 5, fan_in: 2 }),
            (Native, Cut { tasks: 40, fan_in: 3 }),
        ] {
            assert_eq!(programs.cut(on, &job, cut, nothing).await, alone, "{on:?} {cut:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_without_a_formula_keep_their_order() {
    let programs = Programs::new();
    let mut prices = Vec::new();
    for option in ["barrier-call", "asian-call", "european-call"] {
        let option = format!("option={option}");
        let map = ["price", &option, "paths=100000", "steps=12", "barrier=95"];
        let left = programs.alone(Wasm, "montecarlo", &map, &Files::new()).await;
        assert_eq!(left, programs.alone(Native, "montecarlo", &map, &Files::new()).await);
        prices.push(json(&left, "price.json")["price"].as_f64().unwrap());
    }
    let [barrier, asian, european] = prices[..] else { panic!("{prices:?}") };
    assert!(barrier < european && asian < european, "{prices:?}");
    // Published values: 6.1 to 6.2 for the Asian call, 10.45 for the European one.
    assert!((asian - 6.16).abs() < 0.1 && (european - 10.45).abs() < 0.1, "{prices:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primes_below_ten_million_are_664579() {
    let programs = Programs::new();
    let job = Job { program: "primes", map: &["count", "to=10000000"], reduce: "merge" };
    let alone = programs.alone(Native, "primes", job.map, &Files::new()).await;
    let found = json(&alone, "primes.json");
    assert_eq!(found["count"], 664_579);
    assert_eq!((&found["first"], &found["last"]), (&2.into(), &9_999_991.into()));
    assert_eq!(found["twin_pairs"], 58_980);
    assert_eq!((&found["widest_gap"], &found["widest_gap_after"]), (&154.into(), &4_652_353.into()));
    for cut in [Cut { tasks: 4, fan_in: FLAT }, Cut { tasks: 7, fan_in: 2 }] {
        assert_eq!(programs.cut(Wasm, &job, cut, nothing).await, alone, "{cut:?}");
    }
    // Ranges with nothing in them, and more tasks than numbers.
    let job = Job { map: &["count", "from=24", "to=30"], ..job };
    let left = programs.cut(Wasm, &job, Cut { tasks: 9, fan_in: 4 }, nothing).await;
    let found = json(&left, "primes.json");
    assert_eq!((&found["count"], &found["last"], &found["to"]), (&1.into(), &29.into(), &30.into()));
}

/// Primes of many sizes, Mersenne's and Fermat's among them, and composite numbers that fool
/// weaker tests.
const NUMBERS: &str = "\
2\n3\n97\n65537\n1048573\n1048583\n4294967291\n2305843009213693951\n18446744073709551557\n\
618970019642690137449562111\n170141183460469231731687303715884105727\n\
340282366920938463463374607431768211297\n# not primes\n91\n561\n3215031751\n341550071728321\n\
3825123056546413051\n18446744073709551617\n340282366920938463463374607431768211455\n";

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_made_and_checked_and_a_forged_one_is_named() {
    let programs = Programs::new();
    let input = |text: &str| files([("numbers", text.as_bytes())]);
    let proved = programs.alone(Wasm, "primes", &["prove"], &input(NUMBERS)).await;
    assert_eq!(proved, programs.alone(Native, "primes", &["prove"], &input(NUMBERS)).await);
    let summary = json(&proved, "certificates.json");
    assert_eq!(
        (&summary["prime"], &summary["composite"], &summary["unproved"]),
        (&12.into(), &7.into(), &0.into())
    );
    let lines: Vec<&str> = NUMBERS.lines().collect();
    let job = Job { program: "primes", map: &["prove"], reduce: "merge" };
    let part = |task| input(&lines[4 * task as usize..lines.len().min(4 * task as usize + 4)].join("\n"));
    assert_eq!(programs.cut(Wasm, &job, Cut { tasks: 5, fan_in: 2 }, part).await, proved);

    let certificates = String::from_utf8(proved["certificates.txt"].clone()).unwrap();
    let checked = programs.alone(Wasm, "primes", &["verify"], &input(&certificates)).await;
    assert_eq!(json(&checked, "verified.json")["right"], 19);
    for (from, to) in [
        ("91\tcomposite\td 7", "97\tcomposite\td 7"),
        ("97\tprime\t97:", "91\tprime\t91:"),
        ("1048583\tprime\t1048583:179/2,101/2,29/2,2/5", "1048583\tprime\t1048583:2/5"),
        ("1048583:179/2,101/2", "1048583:179/1,101/2"),
        ("\tw 3\n", "\tw 1\n"),
    ] {
        assert!(certificates.contains(from), "{certificates}");
        let forged = input(&certificates.replace(from, to));
        let said = programs.tried(Wasm, "primes", &["verify"], &Env::new(), &forged).await.unwrap_err();
        assert!(said.contains("1 of 19 certificates are wrong"), "{to}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_mean_nothing_are_refused_in_words() {
    let programs = Programs::new();
    for (program, args, words) in [
        ("montecarlo", vec!["price", "strik=1"], "no setting is named \"strik\""),
        ("montecarlo", vec!["price", "volatility=-1"], "volatility=-1 is not between"),
        ("montecarlo", vec!["price", "option=lookback"], "none of european-call"),
        ("montecarlo", vec!["combine"], "no sums.tsv under /in"),
        ("primes", vec!["count", "from=9", "to=8"], "to=8 is not between 9 and"),
        ("primes", vec!["prove"], "one file is read"),
    ] {
        let said = programs.tried(Wasm, program, &args, &Env::new(), &Files::new()).await.unwrap_err();
        assert!(said.contains("exited with code 2") && said.contains(words), "{said}");
    }
}

/// A small room with every shape and material, a lens, and things that move over three frames.
const SCENE: &str = r#"{
  "image": { "width": 40, "height": 23, "samples": 9, "bounces": 5, "frames": 3 },
  "seed": 3,
  "camera": { "from": [0, 1.5, 6], "at": [0, 1, 0], "view": 40, "aperture": 0.05,
    "keys": [ { "frame": 0 }, { "frame": 2, "from": [1, 1.5, 6] } ] },
  "sky": { "below": [0.2, 0.2, 0.2], "above": [0.4, 0.5, 0.7] },
  "materials": {
    "floor": { "type": "diffuse", "color": [0.7, 0.7, 0.7], "checker": { "color": [0.2, 0.2, 0.2], "size": 1 } },
    "lamp": { "type": "light", "color": [8, 7, 6] },
    "glass": { "type": "glass", "index": 1.5 },
    "metal": { "type": "metal", "color": [0.9, 0.8, 0.6], "roughness": 0.1 },
    "coat": { "type": "glossy", "color": [0.2, 0.3, 0.8] }
  },
  "objects": [
    { "shape": "plane", "point": [0, 0, 0], "normal": [0, 1, 0], "material": "floor" },
    { "shape": "quad", "corner": [-1, 3.5, -1], "u": [2, 0, 0], "v": [0, 0, 2], "material": "lamp" },
    { "shape": "sphere", "center": [0, 0.8, 0], "radius": 0.8, "material": "glass",
      "keys": [ { "frame": 0, "move": [0, 0, 0] }, { "frame": 2, "move": [0, 1, 0] } ] },
    { "shape": "sphere", "center": [1.6, 0.3, 1], "radius": 0.3, "material": "lamp" },
    { "shape": "box", "min": [-2.4, 0, -1], "max": [-1.2, 1.2, 0.2], "turn": 30, "material": "metal" },
    { "shape": "triangle", "points": [[1, 0, -1], [2.5, 0, -1.5], [1.8, 2, -1.2]], "material": "coat" }
  ]
}"#;

/// The environment of a place of a grid.
fn grid(x: u32, y: u32, frames: u32) -> impl Fn(u32) -> Env {
    move |task| {
        env([
            ("CIRO_TASK_INDEX", task),
            ("CIRO_TASK_COUNT", x * y * frames),
            ("CIRO_GRID_X", task % x),
            ("CIRO_GRID_Y", task / x % y),
            ("CIRO_GRID_FRAME", task / x / y),
            ("CIRO_GRID_XS", x),
            ("CIRO_GRID_YS", y),
            ("CIRO_GRID_FRAMES", frames),
        ])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_the_same_bytes_however_it_is_cut_and_on_this_machine() {
    let programs = Programs::new();
    let scene = files([("scene.json", SCENE.as_bytes())]);
    let alone = programs.alone(Wasm, "render", &["trace"], &scene).await;
    let names: Vec<&str> = alone.keys().map(String::as_str).collect();
    assert_eq!(names, ["animation.png", "frame-0000.png", "frame-0001.png", "frame-0002.png"]);
    assert_eq!(alone, programs.alone(Native, "render", &["trace"], &scene).await);
    assert_ne!(alone["frame-0000.png"], alone["frame-0002.png"], "things move");
    let job = Job { program: "render", map: &["trace"], reduce: "assemble" };
    let inputs = |_| scene.clone();
    for (on, x, y, frames, fan_in) in
        [(Wasm, 2, 2, 1, FLAT), (Wasm, 3, 1, 3, 2), (Native, 4, 3, 2, 5), (Native, 1, 1, 5, 3)]
    {
        let cut = Cut { tasks: x * y * frames, fan_in };
        let placed = programs.placed(on, &job, cut, grid(x, y, frames), inputs).await;
        assert_eq!(placed, alone, "{on:?} {x} by {y} by {frames}, {fan_in} at once");
    }
    let stripes = programs.cut(Wasm, &job, Cut { tasks: 5, fan_in: FLAT }, inputs).await;
    assert_eq!(stripes, alone, "an array cuts the picture into stripes");
}

/// The picture's bytes are read by another program.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_a_png_that_others_read() {
    let programs = Programs::new();
    let scene = files([("scene.json", SCENE.as_bytes())]);
    let left = programs.alone(Native, "render", &["trace"], &scene).await;
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &left {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let script = "import struct, sys, zlib
for name in ['frame-0000.png', 'animation.png']:
    data = open(sys.argv[1] + '/' + name, 'rb').read()
    assert data[:8] == b'\\x89PNG\\r\\n\\x1a\\n'
    at, chunks = 8, []
    while at < len(data):
        length, = struct.unpack('>I', data[at:at + 4])
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        assert struct.unpack('>I', data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + length
    assert chunks[0][0] == b'IHDR' and chunks[-1][0] == b'IEND'
    for kind, body in chunks:
        if kind in (b'IDAT', b'fdAT'):
            rows = zlib.decompress(body if kind == b'IDAT' else body[4:])
            assert len(rows) == 23 * (1 + 3 * 40), len(rows)
    print(name, [kind.decode() for kind, _ in chunks].count('fcTL'))
";
    let path = folder.path().to_str().unwrap();
    let output = std::process::Command::new("python3").args(["-c", script, path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "frame-0000.png 0\nanimation.png 3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scene_that_is_wrong_is_refused_with_line_and_column() {
    let programs = Programs::new();
    for (from, to, words) in [
        ("\"seed\": 3,", "\"seed\": 3", "line 4, column 3: expected `,` or `}`, found '\"'"),
        ("\"width\": 40", "\"width\": \"40\"", "line 2, column 23: expected a number, found a text"),
        ("\"radius\": 0.8", "\"radios\": 0.8", "line 17, column 5: an object needs \"radius\""),
        (
            "\"index\": 1.5 }",
            "\"index\": 1.5, \"x\": 0 }",
            "a material has no \"x\"; it has type, color, index",
        ),
        ("\"material\": \"coat\"", "\"material\": \"coal\"", "no such material; there are floor, lamp"),
        ("[0, 1, 0], \"material\"", "[0, 1], \"material\"", "expected 3 numbers, found 2"),
        ("\"shape\": \"box\"", "\"shape\": \"bix\"", "there are sphere, plane, box, triangle, quad"),
        ("\n  ]\n}", "\n  ]\n", "expected `,` or `}`, the file ends"),
    ] {
        let text = SCENE.replacen(from, to, 1);
        assert_ne!(text, SCENE, "{from} stands there");
        let scene = files([("scene.json", text.as_bytes())]);
        let said = programs.tried(Wasm, "render", &["trace"], &Env::new(), &scene).await.unwrap_err();
        assert!(said.contains(words), "{to}: {said}");
    }
}

/// The checked-in network: what training gives, and good enough for digits that it never saw.
#[tokio::test(flavor = "multi_thread")]
async fn digits_are_read_and_the_network_is_what_training_gives() {
    let programs = Programs::new();
    let model = std::fs::read(module("models/x").with_file_name("digits.net")).unwrap();
    let trained = programs.alone(Native, "infer", &["train"], &Files::new()).await;
    assert!(trained["digits.net"] == model, "jobs/models/digits.net is not what `infer train` gives");
    let small = ["train", "count=300", "epochs=2", "hidden=8"];
    let learned = programs.alone(Wasm, "infer", &small, &Files::new()).await;
    assert_eq!(learned, programs.alone(Native, "infer", &small, &Files::new()).await);

    let drawn = programs.alone(Native, "infer", &["generate", "count=1000"], &Files::new()).await;
    let text = String::from_utf8(drawn["digits.txt"].clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1_000);
    let input =
        |lines: &[&str]| files([("model", &model[..]), ("digits", (lines.join("\n") + "\n").as_bytes())]);
    let alone = programs.alone(Wasm, "infer", &["classify"], &input(&lines)).await;
    assert_eq!(alone, programs.alone(Native, "infer", &["classify"], &input(&lines)).await);
    let report = json(&alone, "report.json");
    assert!(report["accuracy"].as_f64().unwrap() >= 0.95, "{report}");
    assert_eq!(report["confusion"][3].as_array().unwrap().len(), 10);
    let job = Job { program: "infer", map: &["classify"], reduce: "report" };
    let part = |task| input(&lines[250 * task as usize..250 * (task as usize + 1)]);
    assert_eq!(programs.cut(Wasm, &job, Cut { tasks: 4, fan_in: 3 }, part).await, alone);

    let torn = files([("model", &model[..model.len() - 1]), ("digits", lines[0].as_bytes())]);
    let said = programs.tried(Wasm, "infer", &["classify"], &Env::new(), &torn).await.unwrap_err();
    assert!(said.contains("ends too early"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_hashes_is_proved_and_nothing_else_is() {
    let programs = Programs::new();
    let left = programs.alone(Wasm, "prove", &["prove", "start=5", "links=63"], &Files::new()).await;
    let (claim, proof) = (&left["claim.json"], &left["proof.bin"]);
    let verify = async |claim: &[u8], proof: &[u8]| {
        let inputs = files([("claim", claim), ("proof", proof)]);
        programs.tried(Wasm, "prove", &["verify"], &Env::new(), &inputs).await
    };
    let verified = verify(claim, proof).await.unwrap();
    assert_eq!(json(&verified, "verified.json"), serde_json::json!({ "proved": true, "links": 63 }));
    let text = String::from_utf8(claim.clone()).unwrap();
    for (from, to) in
        [("\"start\": \"5\"", "\"start\": \"6\""), ("63", "62"), ("\"result\": \"", "\"result\": \"1")]
    {
        let said = verify(text.replacen(from, to, 1).as_bytes(), proof).await.unwrap_err();
        assert!(said.contains("the claim is not proved") || said.contains("not below"), "{said}");
    }
    let mut bent = proof.clone();
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    assert!(verify(claim, &bent).await.is_err());
    assert!(verify(claim, &proof[..middle]).await.is_err());
}
