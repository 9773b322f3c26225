//! Hears that other coordinators wrote: a connection of its own that listens, and tells the writer. What
//! it misses, the writer finds by itself when it looks once a second.

use super::address::Address;
use super::turns::CHANNEL;
use crate::queue::Asks;
use crate::sql::Linked;
use ciro_core::id::CoordinatorKey;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::{AsyncMessage, Error};

/// Between two notices to the writer. Where others write all the time its own turns show it what they did;
/// to look at every one of their groups would cost them and it more than the groups do.
const APART: Duration = Duration::from_millis(5);
/// How soon the end of the store is noticed, and how long after a lost connection another is tried.
const BETWEEN: Duration = Duration::from_secs(1);

/// Begins to listen for what others than `me` write, until nobody takes questions from the queue any more.
/// Behind a pooler that gives each transaction another session there is nothing to be heard.
///
/// # Errors
/// When a thread or a runtime cannot be had.
pub(crate) fn listen(address: &Address, me: CoordinatorKey, queue: Arc<Asks<Linked>>) -> std::io::Result<()> {
    if address.pooled {
        return Ok(());
    }
    let address = address.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let hear = move || {
        runtime.block_on(async {
            while !queue.is_closed() {
                if let Err(error) = hear(&address, me, &queue).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "others are not heard");
                }
                tokio::time::sleep(BETWEEN).await;
            }
        });
    };
    std::thread::Builder::new().name("ciro-ear".into()).spawn(hear).map(drop)
}

async fn hear(address: &Address, me: CoordinatorKey, queue: &Asks<Linked>) -> Result<(), Error> {
    let (client, mut connection) = address.config.connect(address.tls.clone()).await?;
    let text = format!("LISTEN {CHANNEL}");
    let mut begun = pin!(client.batch_execute(&text));
    let mut listens = false;
    // What was said before it listened is heard now.
    queue.notice();
    let (mut told, mut owes) = (Instant::now(), false);
    while !queue.is_closed() {
        if owes && told.elapsed() >= APART {
            queue.notice();
            (told, owes) = (Instant::now(), false);
        }
        let wait = if owes { APART.saturating_sub(told.elapsed()) } else { BETWEEN };
        tokio::select! {
            done = &mut begun, if !listens => {
                done?;
                listens = true;
            }
            said = poll_fn(|cx| connection.poll_message(cx)) => match said {
                Some(Ok(AsyncMessage::Notification(said))) => {
                    owes |= !is_of(said.payload(), me);
                }
                Some(other) => drop(other?),
                None => return Ok(()),
            },
            () = tokio::time::sleep(wait) => {}
        }
    }
    Ok(())
}

/// Whether a notice, `<turn> <coordinator>`, is this one's own.
fn is_of(payload: &str, me: CoordinatorKey) -> bool {
    payload.split_once(' ').is_some_and(|(_, by)| by.parse() == Ok(me.0))
}
