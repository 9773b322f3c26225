//! Webhooks, as those who are told see them: each event once under one id, signed, tried again as
//! promised, and no receiver's trouble is another's.

use crate::env::{Env, until};
use crate::receiver::{Answer, Got, OK, Receiver};
use crate::server::Server;
use crate::worker::FakeWorker;
use ciro_api::job::NewJob;
use ciro_api::page::PageQuery;
use ciro_api::webhook::{DeliveryState, DisabledReason, NewWebhook, Webhook, WebhookChange};
use ciro_coordinator::config::Config;
use ciro_core::id::WebhookId;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::process::Command;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Loopback may be called, and what takes days takes moments.
fn quick(config: &mut Config) {
    config.webhooks.allow_loopback = true;
    config.webhooks.retry_ms = vec![10; 4];
    config.webhooks.timeout_ms = 20_000;
}

fn sleep() -> NewJob {
    NewJob { kind: "sleep".into(), ..NewJob::default() }
}

fn hook(receiver: &Receiver) -> NewWebhook {
    NewWebhook { url: receiver.url.clone(), events: vec!["job.*".into()], ..NewWebhook::default() }
}

async fn changed(env: &Env, id: WebhookId, what: &str, is: impl Fn(&Webhook) -> bool) -> Webhook {
    until(what, || async { Some(env.client.webhook_get(id).await.unwrap()).filter(|webhook| is(webhook)) })
        .await
}

fn types(got: &[Got]) -> Vec<String> {
    got.iter().map(Got::type_).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_is_told_as_streams_tell_it_signed_and_in_order() {
    let env = Env::with(quick).await;
    let (all, filtered, foreign) =
        (Receiver::start(OK).await, Receiver::start(OK).await, Receiver::start(OK).await);
    let made =
        env.client.webhook_create(&NewWebhook { concurrency: Some(1), ..hook(&all) }, None).await.unwrap();
    let only = NewWebhook {
        events: vec!["job.completed".into()],
        kinds: vec!["sleep".into()],
        labels: BTreeMap::from([("team".into(), "a".into())]),
        ..hook(&filtered)
    };
    let only = env.client.webhook_create(&only, None).await.unwrap();
    let theirs =
        env.stranger.webhook_create(&NewWebhook { events: vec![], ..hook(&foreign) }, None).await.unwrap();
    assert!(made.secret.starts_with("whsec_") && made.secret != only.secret && made.secret != theirs.secret);

    let mut worker = FakeWorker::join(&env.client, 1).await;
    let labelled = NewJob { labels: BTreeMap::from([("team".into(), "a".into())]), ..sleep() };
    let mut jobs = Vec::new();
    for job in [sleep(), labelled] {
        jobs.push(env.submit(&job).await);
        let lease = worker.take(1).await.remove(0);
        worker.succeed(&lease, &[]).await;
        env.ended(*jobs.last().unwrap()).await;
    }
    let got = all.wait_for(4).await;
    assert_eq!(types(&got), ["job.queued", "job.completed", "job.queued", "job.completed"]);
    let told = filtered.wait_for(1).await;
    assert_eq!(told[0].json()["subject"], jobs[1].to_string());

    // The same envelope as a stream, byte for byte what was signed.
    let mut stream = env.client.event_stream("/v1/events?after=0&types=job.*", None).await.unwrap();
    for got in &got {
        let frame = stream.next().await.unwrap().unwrap();
        assert_eq!(got.json(), frame.json::<serde_json::Value>().unwrap());
        assert!(got.is_signed_with(&made.secret) && !got.is_signed_with(&only.secret));
        assert_eq!(got.headers["content-type"], "application/json");
    }
    let ids: HashSet<&str> = got.iter().map(Got::id).collect();
    assert_eq!(ids.len(), 4, "each event has its own id");
    assert!(foreign.got().is_empty(), "a tenant hears of its own only");

    // What became of it can be looked at, and asked for again under the same id.
    let delivered =
        PageQuery { filter: Some("state:delivered".into()), limit: Some(3), ..PageQuery::default() };
    let page = until("four written ends", || async {
        let first = env.client.delivery_list(made.id, &delivered).await.unwrap();
        let next = PageQuery { cursor: Some(first.next_cursor.clone()?), ..PageQuery::default() };
        let rest = env.client.delivery_list(made.id, &next).await.unwrap().items;
        (rest.len() == 1).then_some([first.items, rest].concat())
    })
    .await;
    let oldest = &page[3];
    assert_eq!((oldest.id.to_string().as_str(), oldest.status, oldest.attempts), (got[0].id(), Some(204), 1));
    let detail = env.client.delivery_get(made.id, oldest.id).await.unwrap();
    assert_eq!((detail.body.as_bytes(), detail.history.len()), (got[0].body.as_slice(), 1));
    assert!(env.stranger.delivery_get(made.id, oldest.id).await.is_err());
    env.client.delivery_redeliver(made.id, oldest.id).await.unwrap();
    let again = all.wait_for(5).await;
    assert_eq!((again[4].id(), &again[4].body), (got[0].id(), &got[0].body));

    // While two secrets overlap each message carries a signature of both.
    let rotated = env.client.webhook_rotate(made.id, None).await.unwrap();
    let test = env.client.webhook_test(made.id, None).await.unwrap();
    let got = all.wait_for(6).await.remove(5);
    assert_eq!((got.type_().as_str(), got.id()), ("webhook.test", test.id.to_string().as_str()));
    assert!(
        got.is_signed_with(&made.secret)
            && got.is_signed_with(&rotated.secret)
            && got.signatures().len() == 2
    );

    env.client.webhook_delete(made.id).await.unwrap();
    env.client.webhook_get(made.id).await.unwrap_err();
    env.submit(&sleep()).await;
    assert_eq!(env.client.webhook_list(&PageQuery::default()).await.unwrap().items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_what_cannot_be_is_refused() {
    let server = Server::start().await;
    let wrong = [
        (json!({ "url": "http://example.com/" }), "/url"),
        (json!({ "url": "https://127.0.0.1/" }), "/url"),
        (json!({ "url": "https://[::ffff:169.254.169.254]/" }), "/url"),
        (json!({ "url": "https://hooks.example/", "events": ["job.*,attempt.*"] }), "/events/0"),
        (json!({ "url": "https://hooks.example/", "events": ["<script>"] }), "/events/0"),
        (json!({ "url": "https://hooks.example/", "kinds": ["sleeep"] }), "/kinds/0"),
        (json!({ "url": "https://hooks.example/", "labels": { "a b": "c" } }), "/labels/a b"),
        (json!({ "url": "https://hooks.example/", "concurrency": 17 }), "/concurrency"),
        (json!({ "url": "https://hooks.example/", "name": "x".repeat(101) }), "/name"),
    ];
    for (body, pointer) in wrong {
        let refused = server.post("/v1/webhooks", &body).await;
        refused.is_problem(422, "validation_failed");
        assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{refused:?}");
    }
    let body = json!({ "url": "https://hooks.example/", "events": ["worker.removed"] });
    let keyed = |path: &str| {
        let request = server.request(reqwest::Method::POST, path).bearer_auth(&server.admin);
        request.header("idempotency-key", "once").json(&body)
    };
    let made = crate::server::send(keyed("/v1/webhooks")).await;
    assert_eq!((made.status, made.headers["cache-control"].to_str().unwrap()), (201, "no-store"), "{made:?}");
    let again = crate::server::send(keyed("/v1/webhooks")).await;
    again.is_problem(409, "secret_already_shown");
    let id = made.json["id"].as_str().unwrap();
    assert!(again.json["detail"].as_str().unwrap().contains(id));
    let path = made.headers["location"].to_str().unwrap();
    let shown = server.get(path).await;
    assert!(shown.status == 200 && !shown.text.contains("whsec_"), "{shown:?}");
    let rotate = || {
        let request = server.request(reqwest::Method::POST, &format!("{path}/rotate-secret"));
        crate::server::send(request.bearer_auth(&server.admin).header("idempotency-key", "rotated"))
    };
    let rotated = rotate().await;
    assert!(rotated.status == 200 && rotated.json["secret"] != made.json["secret"], "{rotated:?}");
    rotate().await.is_problem(409, "secret_already_shown");
    let off = server.call("PATCH", path, Some(&server.admin), Some(&json!({ "enabled": false }))).await;
    assert_eq!(
        (off.json["enabled"].as_bool(), off.json["disabled_reason"].as_str()),
        (Some(false), Some("asked"))
    );
    server.post(&format!("{path}/test"), &json!({})).await.is_problem(409, "webhook_disabled");
    server.get(&format!("{path}/deliveries?filter=state:lost")).await.is_problem(400, "bad_filter");
    let unknown = "delivery_00000000000000000000000001";
    server.get(&format!("{path}/deliveries/{unknown}")).await.is_problem(404, "delivery_not_found");
    server.get(&format!("{path}/deliveries/nothing")).await.is_problem(400, "bad_parameter");
    server
        .call("PATCH", path, Some(&server.admin), Some(&json!({ "colour": 1 })))
        .await
        .is_problem(400, "unknown_field");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_receiver_is_tried_again_then_given_up_then_disabled() {
    let env = Env::with(|config| {
        quick(config);
        config.webhooks.disable_after_ms = 1_500;
    })
    .await;
    let receiver = Receiver::start(Answer::Status(500, "", "out of order")).await;
    let made = env.client.webhook_create(&hook(&receiver), None).await.unwrap();
    env.submit(&sleep()).await;
    let failed = PageQuery { filter: Some("state:failed".into()), ..PageQuery::default() };
    let given_up = until("the end of the schedule", || async {
        env.client.delivery_list(made.id, &failed).await.unwrap().items.pop()
    })
    .await;
    assert_eq!((given_up.attempts, given_up.status), (5, Some(500)));
    let got = receiver.got();
    assert!(
        got.len() == 5 && got.iter().all(|one| one.id() == got[0].id() && one.body == got[0].body),
        "{got:?}"
    );
    let detail = env.client.delivery_get(made.id, given_up.id).await.unwrap();
    assert!(
        detail.history.len() == 5 && detail.history.iter().all(|attempt| attempt.reply == "out of order")
    );
    let failing = env.client.webhook_get(made.id).await.unwrap();
    assert!(failing.enabled && failing.failing_since.is_some());

    // It comes back: what was given up is asked for, and nothing is held against it.
    receiver.answer(OK);
    env.client.delivery_redeliver(made.id, given_up.id).await.unwrap();
    changed(&env, made.id, "the receiver to be well", |webhook| {
        webhook.failing_since.is_none() && webhook.pending == 0
    })
    .await;

    // Nothing but failures for longer than is allowed.
    receiver.answer(Answer::Status(503, "", ""));
    let id = env.client.delivery_redeliver(made.id, given_up.id).await.unwrap().id;
    let disabled = until("the webhook to be disabled", || async {
        let webhook = env.client.webhook_get(made.id).await.unwrap();
        if webhook.enabled && webhook.pending == 0 {
            // Refused where it was disabled since; the next look finds out.
            drop(env.client.delivery_redeliver(made.id, id).await);
        }
        Some(webhook).filter(|webhook| !webhook.enabled)
    })
    .await;
    assert_eq!(disabled.disabled_reason, Some(DisabledReason::Failing));

    // 410 is the receiver's own word. What happened while it was disabled is not sent afterwards.
    env.submit(&sleep()).await;
    receiver.answer(Answer::Status(410, "", ""));
    let enable = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    env.client.webhook_change(made.id, &enable).await.unwrap();
    env.client.webhook_test(made.id, None).await.unwrap();
    let gone = changed(&env, made.id, "the webhook to be disabled", |webhook| !webhook.enabled).await;
    assert_eq!(gone.disabled_reason, Some(DisabledReason::Gone));
    let queued = receiver
        .got()
        .iter()
        .filter(|got| got.type_() == "job.queued")
        .map(|got| got.id().to_owned())
        .collect::<HashSet<_>>();
    assert_eq!(queued.len(), 1, "only the first job was told of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_time_gets_it() {
    let env = Env::with(quick).await;
    let receiver = Receiver::start(Answer::Status(429, "retry-after: 3600\r\n", "")).await;
    let made = env.client.webhook_create(&hook(&receiver), None).await.unwrap();
    let before = ciro_api::time::Time(ciro_core::time::Timestamp(0));
    env.submit(&sleep()).await;
    let waits = until("an attempt", || async {
        let page = env.client.delivery_list(made.id, &PageQuery::default()).await.unwrap();
        page.items.into_iter().find(|delivery| delivery.attempts == 1)
    })
    .await;
    let made_at = waits.created_at.0;
    let next = waits.next_attempt_at.unwrap_or(before).0;
    assert!(waits.state == DeliveryState::Pending && next.since_ms(made_at) >= 3_600_000, "{waits:?}");
    env.submit(&sleep()).await;
    changed(&env, made.id, "another delivery to wait", |webhook| webhook.pending == 2).await;
    assert_eq!(receiver.got().len(), 1, "all of its deliveries wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_tarpits_hold_up_nobody() {
    let env = Env::with(|config| {
        quick(config);
        config.webhooks.per_tenant = 200;
        config.webhooks.sends = 128;
    })
    .await;
    let tarpit = Receiver::start(Answer::Silence).await;
    for n in 0..100 {
        let trap = NewWebhook { url: format!("{}/{n}", tarpit.url), concurrency: Some(16), ..hook(&tarpit) };
        env.client.webhook_create(&trap, None).await.unwrap();
    }
    let good = Receiver::start(OK).await;
    env.client.webhook_create(&hook(&good), None).await.unwrap();
    for _ in 0..30 {
        env.submit(&sleep()).await;
    }
    // The tarpits' attempts last 20 s; none of them has ended when all of these have arrived.
    assert_eq!(good.wait_for(30).await.len(), 30);
    let stuck = tarpit.wait_for(100).await;
    let ids: HashSet<&str> = stuck.iter().map(Got::id).collect();
    assert_eq!((stuck.len(), ids.len()), (100, 100), "one attempt for each that is not known to answer");
    env.submit(&sleep()).await;
    good.wait_for(31).await;
    let metrics =
        env.client.request(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in ["ciro_webhook_in_flight 100", "ciro_webhook_attempts_total{outcome=\"delivered\"} "] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_room_is_told_as_one_gap() {
    let env = Env::with(|config| {
        quick(config);
        config.webhooks.pending = 4;
        config.webhooks.retry_ms = vec![200; 32];
    })
    .await;
    let receiver = Receiver::start(Answer::Status(500, "", "")).await;
    let made = env
        .client
        .webhook_create(&NewWebhook { concurrency: Some(1), ..hook(&receiver) }, None)
        .await
        .unwrap();
    for _ in 0..10 {
        env.submit(&sleep()).await;
    }
    changed(&env, made.id, "the room to be full", |webhook| webhook.pending == 4).await;
    let read = || async {
        let metrics =
            env.client.request(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        metrics.contains("ciro_webhook_gap_events_total 6").then_some(())
    };
    until("the rest to be counted", read).await;
    receiver.answer(OK);
    changed(&env, made.id, "everything to be sent", |webhook| webhook.pending == 0).await;
    let told = until("the gap to be told", || async {
        receiver.got().into_iter().find(|got| got.type_() == "webhook.gap")
    })
    .await;
    let events: HashSet<String> = receiver
        .got()
        .iter()
        .filter(|got| got.type_() == "job.queued")
        .map(|got| got.id().to_owned())
        .collect();
    let data = &told.json()["data"];
    assert_eq!((events.len(), data["events"].as_u64()), (4, Some(6)), "{data}");
    // It can be read from the log.
    let first: i64 = data["first"].as_str().unwrap().parse().unwrap();
    let mut stream =
        env.client.event_stream(&format!("/v1/events?after={}&types=job.*", first - 1), None).await.unwrap();
    for _ in 0..6 {
        let frame = stream.next().await.unwrap().unwrap();
        assert!(frame.id.unwrap().parse::<i64>().unwrap() <= data["last"].as_str().unwrap().parse().unwrap());
    }
    env.submit(&sleep()).await;
    until("what comes afterwards", || async {
        (receiver.got().last().unwrap().type_() == "job.queued").then_some(())
    })
    .await;
}

/// A certificate of an authority of its own, made by OpenSSL.
fn certificate(folder: &std::path::Path) -> TlsAcceptor {
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca \
        -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=hook -keyout own.key -out own.csr
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > own.ext
        openssl x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile own.ext -out own.pem";
    let made = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain = vec![CertificateDer::from_pem_file(folder.join("own.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("own.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread")]
async fn https_reaches_whom_the_configured_authority_signed_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_tls(certificate(folder.path())).await;
    let trusting = Env::with(|config| {
        quick(config);
        config.webhooks.ca_file = Some(folder.path().join("ca.pem"));
    })
    .await;
    let made = trusting.client.webhook_create(&hook(&receiver), None).await.unwrap();
    trusting.client.webhook_test(made.id, None).await.unwrap();
    assert!(receiver.wait_for(1).await[0].is_signed_with(&made.secret));

    let strict = Env::with(quick).await;
    let made = strict.client.webhook_create(&hook(&receiver), None).await.unwrap();
    let test = strict.client.webhook_test(made.id, None).await.unwrap();
    let refused = until("an attempt", || async {
        let delivery = strict.client.delivery_get(made.id, test.id).await.unwrap().delivery;
        (delivery.attempts > 0).then_some(delivery)
    })
    .await;
    assert!(refused.error.as_ref().is_some_and(|words| words.contains("certificate")), "{refused:?}");
    assert_eq!(receiver.got().len(), 1);
}
