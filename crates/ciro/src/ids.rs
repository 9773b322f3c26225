//! Ids as people give them: full, a unique suffix, `last`, or `-` for standard input.

use crate::again::again;
use crate::error::{Exit, Failure};
use ciro_api::client::{Client, Error};
use ciro_api::page::{Page, PageQuery};
use ciro_core::id::{BackupId, BatchId, DeliveryId, JobId, KeyId, TenantId, WebhookId, WorkerId};
use std::fmt::Display;
use std::io::{self, Read};
use std::str::FromStr;

/// The shortest suffix that is looked for.
const MIN_SUFFIX: usize = 6;
/// Pages of 200 that are looked through for a suffix.
const MAX_PAGES: usize = 50;
/// The longest text that is read from standard input, bytes.
const MAX_STDIN_BYTES: u64 = 1 << 20;

/// The job that is meant.
///
/// # Errors
/// When it is no id, nothing matches, or several do.
pub(crate) async fn job(client: &Client, text: &str) -> Result<JobId, Failure> {
    if text == "last" {
        let newest = PageQuery { limit: Some(1), ..PageQuery::default() };
        let page = again(|| client.job_list(&newest)).await?;
        let none = || {
            Failure::new(Exit::NotFound, "there is no job yet")
                .hint("`ciro job submit --help` shows how to make one")
        };
        return page.items.first().map(|job| job.id).ok_or_else(none);
    }
    let text = one(text)?;
    resolve(&text, JobId::PREFIX, "ciro job list", async |page: &PageQuery| {
        let page = client.job_list(page).await?;
        Ok(ids_of(page, |job| job.id))
    })
    .await
}

/// The jobs that are meant; `-` stands for one id on each line of standard input.
///
/// # Errors
/// When one is no id, does not match, or matches several.
pub(crate) async fn jobs(client: &Client, texts: &[String]) -> Result<Vec<JobId>, Failure> {
    let mut ids = Vec::with_capacity(texts.len());
    for text in texts {
        if text == "-" {
            for line in stdin_lines()? {
                ids.push(job(client, &line).await?);
            }
        } else {
            ids.push(job(client, text).await?);
        }
    }
    Ok(ids)
}

/// The worker that is meant.
///
/// # Errors
/// When it is no id, nothing matches, or several do.
pub(crate) async fn worker(client: &Client, text: &str) -> Result<WorkerId, Failure> {
    let text = one(text)?;
    resolve(&text, WorkerId::PREFIX, "ciro worker list", async |page: &PageQuery| {
        let page = client.worker_list(page).await?;
        Ok(ids_of(page, |worker| worker.id))
    })
    .await
}

/// The batch that is meant.
///
/// # Errors
/// When it is no id, nothing matches, or several do.
pub(crate) async fn batch(client: &Client, text: &str) -> Result<BatchId, Failure> {
    let text = one(text)?;
    resolve(&text, BatchId::PREFIX, "ciro batch list", async |page: &PageQuery| {
        let page = client.batch_list(page).await?;
        Ok(ids_of(page, |batch| batch.id))
    })
    .await
}

/// The key that is meant.
///
/// # Errors
/// When it is no id, nothing matches, or several do.
pub(crate) async fn key(client: &Client, text: &str) -> Result<KeyId, Failure> {
    let text = one(text)?;
    resolve(&text, KeyId::PREFIX, "ciro key list", async |page: &PageQuery| {
        let page = client.key_list(page).await?;
        Ok(ids_of(page, |key| key.id))
    })
    .await
}

/// The backup that is meant.
///
/// # Errors
/// When it is no id, nothing matches, or several do.
pub(crate) async fn backup(client: &Client, text: &str) -> Result<BackupId, Failure> {
    let text = one(text)?;
    resolve(&text, BackupId::PREFIX, "ciro backup list", async |page: &PageQuery| {
        let page = client.backup_list(page).await?;
        Ok(ids_of(page, |backup| backup.id))
    })
    .await
}

/// The tenant that is meant.
///
/// # Errors
/// When it is no id, nothing matches, or several do.
pub(crate) async fn tenant(client: &Client, text: &str) -> Result<TenantId, Failure> {
    let text = one(text)?;
    resolve(&text, TenantId::PREFIX, "ciro tenant list", async |page: &PageQuery| {
        let page = client.tenant_list(page).await?;
        Ok(ids_of(page, |tenant| tenant.id))
    })
    .await
}

/// The webhook that is meant.
///
/// # Errors
/// When it is no id, nothing matches, or several do.
pub(crate) async fn webhook(client: &Client, text: &str) -> Result<WebhookId, Failure> {
    let text = one(text)?;
    resolve(&text, WebhookId::PREFIX, "ciro webhook list", async |page: &PageQuery| {
        let page = client.webhook_list(page).await?;
        Ok(ids_of(page, |webhook| webhook.id))
    })
    .await
}

/// The delivery of a webhook that is meant.
///
/// # Errors
/// When it is no id, nothing matches, or several do.
pub(crate) async fn delivery(client: &Client, webhook: WebhookId, text: &str) -> Result<DeliveryId, Failure> {
    let text = one(text)?;
    resolve(&text, DeliveryId::PREFIX, "ciro webhook deliveries", async |page: &PageQuery| {
        let page = client.delivery_list(webhook, page).await?;
        Ok(ids_of(page, |delivery| delivery.id))
    })
    .await
}

fn ids_of<T, I>(page: Page<T>, id: impl Fn(&T) -> I) -> Page<I> {
    Page { items: page.items.iter().map(id).collect(), next_cursor: page.next_cursor }
}

async fn resolve<I, F>(text: &str, prefix: &str, list: &str, mut fetch: F) -> Result<I, Failure>
where
    I: FromStr + Display + Copy,
    F: AsyncFnMut(&PageQuery) -> Result<Page<I>, Error>,
{
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let suffix = suffix_of(text, prefix).ok_or_else(|| {
        Failure::usage(format!(
            "`{text}` is not a {prefix}'s id: give {prefix}_…, or its last {MIN_SUFFIX} characters or more"
        ))
        .hint(format!("`{list}` shows the ids"))
    })?;
    let mut page = PageQuery { limit: Some(200), ..PageQuery::default() };
    let mut matches: Vec<I> = Vec::new();
    for _ in 0..MAX_PAGES {
        let answer = again(async || fetch(&page).await).await?;
        matches.extend(answer.items.into_iter().filter(|id| id.to_string().ends_with(&suffix)));
        page.cursor = answer.next_cursor;
        if page.cursor.is_none() || matches.len() > 1 {
            break;
        }
    }
    match matches[..] {
        [id] => Ok(id),
        [] => Err(Failure::new(Exit::NotFound, format!("no {prefix}'s id ends with `{suffix}`"))
            .hint(format!("`{list}` shows the ids"))),
        [a, b, ..] => {
            Err(Failure::usage(format!("`{suffix}` is the end of several ids, {a} and {b} among them"))
                .hint("give more of its characters"))
        }
    }
}

fn suffix_of(text: &str, prefix: &str) -> Option<String> {
    let body =
        text.strip_prefix(prefix).and_then(|t| t.strip_prefix('_')).unwrap_or(text).to_ascii_lowercase();
    let plain =
        body.len() >= MIN_SUFFIX && body.len() <= 26 && body.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then_some(body)
}

/// `-` read from standard input, which must then hold exactly one id.
fn one(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut lines = stdin_lines()?;
    match lines.len() {
        1 => Ok(lines.remove(0)),
        n => Err(Failure::usage(format!("`-` wants one id on standard input, and there are {n}"))),
    }
}

fn stdin_lines() -> Result<Vec<String>, Failure> {
    let mut text = String::new();
    io::stdin()
        .take(MAX_STDIN_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Failure::io("cannot read ids from standard input", &error))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_long_enough_and_plain() {
        assert_eq!(suffix_of("job_4c5d7e", "job").as_deref(), Some("4c5d7e"));
        assert_eq!(suffix_of("4C5D7E", "job").as_deref(), Some("4c5d7e"));
        for bad in ["4c5d7", "../../etc", "worker_4c5d7e", "", "job_"] {
            assert_eq!(suffix_of(bad, "job"), None, "{bad}");
        }
    }
}
