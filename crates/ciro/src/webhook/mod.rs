//! `ciro webhook`: URLs that are told what happens. Making and changing them here, what became of
//! deliveries too; the check of a message as its receiver has it is in `verify` and needs no server.

mod verify;

pub(crate) use verify::verify;

use crate::again::{again, idempotency_key};
use crate::cli::Context;
use crate::clock;
use crate::error::{Exit, Failure};
use crate::ids;
use crate::list::{ListArgs, PageArgs};
use crate::table;
use crate::units::{duration, pair};
use ciro_api::client::Error;
use ciro_api::webhook::{
    Delivery, DeliveryDetail, DeliveryState, DisabledReason, NewWebhook, Webhook, WebhookChange,
};
use ciro_core::id::{DeliveryId, WebhookId};
use std::time::{Duration, Instant};

const CREATE: &str = "\
The secret is shown once, here. Receivers check with it that a message is genuine: docs/webhooks.md has
the few lines for a shell and for Python.

Examples:
  ciro webhook create https://hooks.example/ciro --event 'job.*'
  ciro webhook create https://hooks.example/done --event job.completed --event job.failed --label team=a
  ciro webhook create http://127.0.0.1:9000/ --concurrency 1      beside `ciro dev`, one after the other";

const EDIT: &str = "\
What is not named stays. What happens while a webhook is disabled is not sent later.

Examples:
  ciro webhook edit 4c5d7e --disable
  ciro webhook edit 4c5d7e --event 'job.*' --event worker.offline
  ciro webhook edit 4c5d7e --every-event --no-label";

const TEST: &str = "\
Sends a message of type `webhook.test` and waits for its first attempt. The exit code is 0 when it arrived.

Examples:
  ciro webhook test 4c5d7e
  ciro webhook test 4c5d7e -o json | jq .history";

const DELIVERIES: &str = "\
Examples:
  ciro webhook deliveries 4c5d7e --filter state:failed
  ciro webhook deliveries 4c5d7e --filter state:failed -o id | xargs -n1 ciro webhook redeliver 4c5d7e
  ciro webhook deliveries 4c5d7e 9f8e7d          one, with its body and its attempts";

/// URLs that are told what happens.
#[derive(Debug, clap::Subcommand)]
pub enum WebhookCommand {
    /// Have a URL told what happens from now on
    #[command(after_help = CREATE)]
    Create {
        /// Where messages go: https and a public host
        url: String,
        /// Its name, for people
        #[arg(long, default_value = "")]
        name: String,
        /// What it is told of
        #[command(flatten)]
        wants: Wants,
        /// Messages that may be on their way at once, 1 to 16
        #[arg(long, value_name = "N")]
        concurrency: Option<u32>,
    },
    /// List the webhooks
    #[command(after_help = "Example:\n  ciro webhook list -o json")]
    List(PageArgs),
    /// Look at a webhook
    #[command(after_help = "Example:\n  ciro webhook get 4c5d7e")]
    Get {
        /// Its id
        id: String,
    },
    /// Change a webhook, disable or enable it
    #[command(after_help = EDIT)]
    Edit(EditArgs),
    /// Remove a webhook with what waits for it
    #[command(after_help = "Example:\n  ciro webhook delete 4c5d7e")]
    Delete {
        /// Its id
        id: String,
    },
    /// Send a message that is about nothing, and say whether it arrived
    #[command(after_help = TEST)]
    Test {
        /// Its id
        id: String,
        /// How long to wait for the attempt
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
        timeout: Duration,
    },
    /// Give a webhook another secret; for a time messages carry a signature of each
    #[command(after_help = "Example:\n  ciro webhook rotate 4c5d7e -o json | jq -r .secret")]
    Rotate {
        /// Its id
        id: String,
    },
    /// List what was sent to a webhook, the newest first, or look at one delivery
    #[command(after_help = DELIVERIES)]
    Deliveries {
        /// The webhook
        id: String,
        /// One delivery
        delivery: Option<String>,
        /// Which of them
        #[command(flatten)]
        list: ListArgs,
    },
    /// Send a delivery again, under its old id
    #[command(after_help = "Example:\n  ciro webhook redeliver 4c5d7e 9f8e7d")]
    Redeliver {
        /// The webhook
        id: String,
        /// The delivery
        delivery: String,
    },
    /// Check a message as its receiver has it: signature, time, body
    #[command(after_help = verify::HELP)]
    Verify(verify::VerifyArgs),
}

/// What a webhook is told of.
#[derive(Debug, clap::Args)]
pub struct Wants {
    /// A type of events, or `job.*` for every type of jobs; all unless given
    #[arg(long = "event", value_name = "TYPE")]
    events: Vec<String>,
    /// Only of jobs of this kind
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only of jobs that have this label
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
}

/// What is changed.
#[derive(Debug, clap::Args)]
pub struct EditArgs {
    /// Its id
    id: String,
    /// Where messages go
    #[arg(long)]
    url: Option<String>,
    /// Its name, for people
    #[arg(long)]
    name: Option<String>,
    /// What it is told of
    #[command(flatten)]
    wants: Wants,
    /// Every type of events
    #[arg(long, conflicts_with = "events")]
    every_event: bool,
    /// Jobs of every kind
    #[arg(long, conflicts_with = "kinds")]
    every_kind: bool,
    /// Jobs with whatever labels
    #[arg(long, conflicts_with = "labels")]
    no_label: bool,
    /// Messages that may be on their way at once, 1 to 16
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// Tell it what happens from now on
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Tell it nothing
    #[arg(long)]
    disable: bool,
}

pub(crate) async fn run(command: WebhookCommand, context: &Context) -> Result<(), Failure> {
    let client = &context.client;
    match command {
        WebhookCommand::Create { url, name, wants, concurrency } => {
            let Wants { events, kinds, labels } = wants;
            let labels = labels.into_iter().collect();
            create(NewWebhook { url, name, events, kinds, labels, concurrency }, context).await
        }
        WebhookCommand::List(page) => {
            let webhooks = page.fetch(context, async |query| client.webhook_list(query).await).await?;
            context.out.many(&webhooks, |webhook| webhook.id.to_string(), list)
        }
        WebhookCommand::Get { id } => {
            let id = ids::webhook(client, &id).await?;
            show(&again(|| client.webhook_get(id)).await?, context)
        }
        WebhookCommand::Edit(args) => edit(args, context).await,
        WebhookCommand::Delete { id } => {
            let id = ids::webhook(client, &id).await?;
            again(|| client.webhook_delete(id)).await?;
            context.out.remark(&format!("{id} is gone: nothing more is sent to it"));
            Ok(())
        }
        WebhookCommand::Test { id, timeout } => {
            let id = ids::webhook(client, &id).await?;
            test(id, timeout, context).await
        }
        WebhookCommand::Rotate { id } => {
            let id = ids::webhook(client, &id).await?;
            rotate(id, context).await
        }
        WebhookCommand::Deliveries { id, delivery, list } => {
            let id = ids::webhook(client, &id).await?;
            match delivery {
                Some(text) => {
                    let delivery = ids::delivery(client, id, &text).await?;
                    show_delivery(&again(|| client.delivery_get(id, delivery)).await?, context)
                }
                None => {
                    let found =
                        list.fetch(context, async |query| client.delivery_list(id, query).await).await?;
                    context.out.many(&found, |delivery| delivery.id.to_string(), deliveries)
                }
            }
        }
        WebhookCommand::Redeliver { id, delivery } => {
            let id = ids::webhook(client, &id).await?;
            let delivery = ids::delivery(client, id, &delivery).await?;
            let asked = again(|| client.delivery_redeliver(id, delivery)).await?;
            let shown = asked.id.to_string();
            context.out.one(&asked, &shown, || format!("{shown} is sent again"))
        }
        // It needs no server and was run before.
        WebhookCommand::Verify(_) => Ok(()),
    }
}

async fn create(new: NewWebhook, context: &Context) -> Result<(), Failure> {
    let once = idempotency_key();
    let made = again(|| context.client.webhook_create(&new, Some(&once))).await.map_err(lost)?;
    context.out.one(&made, &made.id.to_string(), || {
        table::record([("id", made.id.to_string()), ("secret", made.secret.clone())])
    })?;
    context.out.remark("The secret is shown this once: give it to the receiver now.");
    Ok(())
}

async fn rotate(id: WebhookId, context: &Context) -> Result<(), Failure> {
    let once = idempotency_key();
    let made = again(|| context.client.webhook_rotate(id, Some(&once))).await.map_err(lost)?;
    context.out.one(&made, &made.id.to_string(), || {
        table::record([("id", made.id.to_string()), ("secret", made.secret.clone())])
    })?;
    let until = table::ago(made.previous_until, clock::now());
    context.out.remark(&format!(
        "The one before signs as well and stops {until}: give the new one to the receiver."
    ));
    Ok(())
}

/// An answer that was lost cannot be had again, for it is the secret: the hint says what to do.
fn lost(error: Error) -> Failure {
    let shown = error.code() == Some("secret_already_shown");
    let failure = Failure::from(error);
    if shown {
        failure.hint("its answer was lost on the way: `ciro webhook list` shows the id, `ciro webhook rotate` makes another secret")
    } else {
        failure
    }
}

async fn edit(args: EditArgs, context: &Context) -> Result<(), Failure> {
    let id = ids::webhook(&context.client, &args.id).await?;
    let Wants { events, kinds, labels } = args.wants;
    let some = |given: Vec<String>, none: bool| (none || !given.is_empty()).then_some(given);
    let change = WebhookChange {
        url: args.url,
        name: args.name,
        events: some(events, args.every_event),
        kinds: some(kinds, args.every_kind),
        labels: (args.no_label || !labels.is_empty()).then(|| labels.into_iter().collect()),
        concurrency: args.concurrency,
        enabled: if args.enable || args.disable { Some(args.enable) } else { None },
    };
    if change == WebhookChange::default() {
        return Err(Failure::usage("nothing is to be changed").hint("ciro webhook edit --help"));
    }
    show(&again(|| context.client.webhook_change(id, &change)).await?, context)
}

/// Time between two looks at a test.
const LOOK: Duration = Duration::from_millis(100);

async fn test(id: WebhookId, timeout: Duration, context: &Context) -> Result<(), Failure> {
    let once = idempotency_key();
    let sent = again(|| context.client.webhook_test(id, Some(&once))).await?;
    let detail = first_attempt(id, sent.id, timeout, context).await?;
    show_delivery(&detail, context)?;
    match detail.delivery.state {
        DeliveryState::Delivered => Ok(()),
        _ => Err(Failure::new(Exit::Failure, "the message did not arrive")
            .hint("it is tried again like every other; the attempt above says why it failed")),
    }
}

async fn first_attempt(
    id: WebhookId,
    delivery: DeliveryId,
    timeout: Duration,
    context: &Context,
) -> Result<DeliveryDetail, Failure> {
    let begun = Instant::now();
    loop {
        let detail = again(|| context.client.delivery_get(id, delivery)).await?;
        if detail.delivery.attempts > 0 {
            return Ok(detail);
        }
        if begun.elapsed() >= timeout {
            let words = format!("no attempt was made within {} s", timeout.as_secs());
            return Err(Failure::new(Exit::Timeout, words)
                .hint("a receiver that failed before rests for a while; `ciro webhook deliveries` shows how it goes on"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn show(webhook: &Webhook, context: &Context) -> Result<(), Failure> {
    let now = clock::now();
    context.out.one(webhook, &webhook.id.to_string(), || {
        let when =
            |time: Option<ciro_api::time::Time>| time.map(|at| table::ago(at, now)).unwrap_or_default();
        table::record([
            ("id", webhook.id.to_string()),
            ("url", webhook.url.clone()),
            ("name", webhook.name.clone()),
            ("events", told_of(webhook)),
            ("kinds", webhook.kinds.join(" ")),
            ("labels", table::pairs(&webhook.labels)),
            ("state", state(webhook)),
            ("failing", when(webhook.failing_since)),
            ("pending", webhook.pending.to_string()),
            ("at once", webhook.concurrency.to_string()),
            ("old secret", when(webhook.previous_secret_until.filter(|until| until.0 > now))),
            ("made", table::ago(webhook.created_at, now)),
        ])
    })
}

fn list(webhooks: &[Webhook]) -> String {
    table::table(
        ["id", "url", "events", "pending", "state"],
        webhooks.iter().map(|webhook| {
            [
                webhook.id.to_string(),
                table::brief(&webhook.url, 60),
                told_of(webhook),
                webhook.pending.to_string(),
                state(webhook),
            ]
        }),
    )
}

fn told_of(webhook: &Webhook) -> String {
    if webhook.events.is_empty() { "all".into() } else { webhook.events.join(" ") }
}

fn state(webhook: &Webhook) -> String {
    let why = match webhook.disabled_reason {
        None if webhook.failing_since.is_some() => return "failing".into(),
        None => return "good".into(),
        Some(DisabledReason::Asked) => "",
        Some(DisabledReason::Gone) => ": the receiver is gone",
        Some(DisabledReason::Failing) => ": it failed for too long",
    };
    format!("disabled{why}")
}

fn deliveries(deliveries: &[Delivery]) -> String {
    let now = clock::now();
    table::table(
        ["id", "type", "state", "attempts", "made", "last"],
        deliveries.iter().map(|delivery| {
            let status = delivery.status.map(|status| status.to_string()).unwrap_or_default();
            [
                delivery.id.to_string(),
                delivery.type_.clone(),
                delivery.state.name().to_owned(),
                delivery.attempts.to_string(),
                table::ago(delivery.created_at, now),
                delivery.error.as_ref().map_or(status, |error| table::brief(error, 60)),
            ]
        }),
    )
}

fn show_delivery(detail: &DeliveryDetail, context: &Context) -> Result<(), Failure> {
    let (now, delivery) = (clock::now(), &detail.delivery);
    context.out.one(detail, &delivery.id.to_string(), || {
        let next = delivery.next_attempt_at.map(|at| table::ago(at, now)).unwrap_or_default();
        let head = table::record([
            ("id", delivery.id.to_string()),
            ("type", delivery.type_.clone()),
            ("state", delivery.state.name().to_owned()),
            ("next attempt", next),
            ("body", detail.body.clone()),
        ]);
        let attempts = detail.history.iter().map(|attempt| {
            let status = attempt.status.map(|status| status.to_string()).unwrap_or_default();
            let said = attempt.error.clone().unwrap_or_else(|| table::brief(&attempt.reply, 60));
            [table::ago(attempt.at, now), table::span(attempt.duration_ms), status, said]
        });
        format!("{head}\n\n{}", table::table(["attempt", "took", "status", "said"], attempts))
    })
}
