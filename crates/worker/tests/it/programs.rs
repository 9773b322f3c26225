//! The built-in programs against what is known: results do not depend on how the job is cut or how
//! high the tree of reducers is, and the module gives the same bytes as a program of this machine.

use crate::programs_bench::{Cut, Env, Files, Job, Machine, Programs, files};
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
