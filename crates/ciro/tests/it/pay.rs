//! Money as the operator, a client and a script type it.

use crate::network::shared;
use serde_json::json;

#[test]
fn the_operator_puts_money_in_and_its_owner_sees_it() {
    let network = shared();
    let id = network.ciro(&["tenant", "create", "payer", "-o", "id"]).ok();
    let id = id.trim();
    let key = network.ciro(&["key", "create", "payer", "--role", "client", "--tenant", id, "-o", "json"]);
    let key = key.json()["key"].as_str().unwrap().to_owned();
    let as_payer = |args: &[&str]| network.ciro(&[args, &["--api-key", &key]].concat());

    let wire = ["pay", "deposit", "2.5STRK", "--tenant", id, "--reference", "invoice-17"];
    let made = network.ciro(&[&wire[..], &["-o", "id"]].concat()).ok();
    assert!(made.starts_with("transfer_"), "{made}");
    assert_eq!(network.ciro(&[&wire[..], &["-o", "id"]].concat()).ok(), made, "a reference comes in once");
    let balance = as_payer(&["pay", "balance", "-o", "json"]).json();
    assert_eq!(balance["available"], json!({ "fri": "2500000000000000000", "strk": "2.5" }));
    assert!(as_payer(&["pay", "balance"]).ok().contains("2500000000000000000"));

    let refused = network.ciro(&["pay", "withdraw", "3STRK", "--tenant", id]).fails(5);
    assert!(
        refused.contains("2500000000000000000 FRI") && refused.contains("3000000000000000000"),
        "{refused}"
    );
    network.ciro(&["pay", "withdraw", "0.5STRK", "--tenant", id, "--note", "back"]).ok();
    as_payer(&["pay", "deposit", "1STRK"]).fails(4);
    as_payer(&["pay", "totals"]).fails(4);
    network.ciro(&["pay", "deposit", "1EUR"]).fails(2);

    let shown = as_payer(&["pay", "ledger"]).ok();
    assert!(shown.contains("invoice-17") && shown.contains("external"), "{shown}");
    let csv = as_payer(&["pay", "ledger", "--csv", "--filter", "code:withdraw"]).ok();
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 2, "{csv}");
    assert!(lines[1].contains(",withdraw,available,") && lines[1].ends_with(",back"), "{csv}");
    assert!(network.ciro(&["pay", "totals"]).ok().contains("owed outside"));

    let job =
        ["job", "run", "sleep", "1", "--max-cost", "1STRK", "--pay-from", "balance", "--quiet", "-o", "id"];
    let job = as_payer(&job).ok();
    let job = job.lines().next().unwrap();
    let settled = as_payer(&["pay", "settlements", "-o", "json"]).json();
    let of = &settled["items"][0];
    assert_eq!((of["job"].as_str(), &of["settlement"]["state"]), (Some(job), &json!("settled")), "{settled}");
    assert_eq!(of["settlement"]["refunded"]["strk"], "1", "the workers of `ciro dev` ask nothing");
    assert!(as_payer(&["pay", "escrows", "--filter", "method:balance"]).ok().contains(job));
    assert!(as_payer(&["pay", "settlements"]).ok().contains("completed"));
    as_payer(&["pay", "escrows", "--filter", "state:gone"]).fails(9);
    let earned = as_payer(&["pay", "earnings", "--since", "90d", "--by", "month", "-o", "json"]).json();
    assert_eq!((&earned["total"]["payments"], &earned["periods"]), (&json!(0), &json!([])), "{earned}");
    assert!(as_payer(&["pay", "earnings"]).ok().contains("together"));
    as_payer(&["pay", "earnings", "--since", "400d"]).fails(9);
}

#[test]
fn a_quote_says_what_a_job_would_cost_and_what_there_is() {
    let network = shared();
    let quote = network.ciro(&["pay", "quote", "sleep", "10", "--split", "array:4", "-o", "json"]).json();
    assert_eq!(quote["plan"]["tasks"], 4);
    assert_eq!(quote["plan"]["cost"]["highest"]["fri"], "0", "the workers of `ciro dev` ask nothing");
    assert!(quote["balance"]["available"]["fri"].is_string(), "{quote}");
    let shown = network.ciro(&["pay", "quote", "sleep", "10"]).ok();
    assert!(shown.contains("by the dearest") && shown.contains("you can spend"), "{shown}");
}
