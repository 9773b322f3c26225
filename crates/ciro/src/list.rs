//! Lists: how much of them is wanted, and page after page of it.

use crate::again::again;
use crate::cli::Context;
use crate::error::Failure;
use ciro_api::client::Error;
use ciro_api::page::{Page, PageQuery};

/// The server's largest page.
const PAGE: u32 = 200;
/// The most that `--all` fetches.
const MOST: usize = 100_000;

/// What `--filter` takes, for people.
pub(crate) const FILTER_HELP: &str =
    "Only these: `field:value field>n label.k=v -negated`, separated by spaces";

/// Which part of a list is wanted, and how much of it.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// How much of it.
    #[command(flatten)]
    pub page: PageArgs,
    #[arg(long, help = FILTER_HELP, value_name = "FILTER", allow_hyphen_values = true)]
    pub filter: Option<String>,
}

impl ListArgs {
    /// Fetches page after page until there is enough.
    ///
    /// # Errors
    /// When a page cannot be fetched.
    pub(crate) async fn fetch<T, F>(&self, context: &Context, page: F) -> Result<Vec<T>, Failure>
    where
        F: AsyncFnMut(&PageQuery) -> Result<Page<T>, Error>,
    {
        self.page.fetch_only(self.filter.clone(), context, page).await
    }
}

/// How much of a list is wanted.
#[derive(Debug, Clone, clap::Args)]
pub struct PageArgs {
    /// At most that many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

impl PageArgs {
    /// Fetches page after page until there is enough.
    ///
    /// # Errors
    /// When a page cannot be fetched.
    pub(crate) async fn fetch<T, F>(&self, context: &Context, page: F) -> Result<Vec<T>, Failure>
    where
        F: AsyncFnMut(&PageQuery) -> Result<Page<T>, Error>,
    {
        self.fetch_only(None, context, page).await
    }

    /// Fetches page after page of what matches `filter` until there is enough.
    ///
    /// # Errors
    /// When a page cannot be fetched.
    pub(crate) async fn fetch_only<T, F>(
        &self,
        filter: Option<String>,
        context: &Context,
        mut page: F,
    ) -> Result<Vec<T>, Failure>
    where
        F: AsyncFnMut(&PageQuery) -> Result<Page<T>, Error>,
    {
        let wanted = if self.all { MOST } else { self.limit as usize };
        let mut items: Vec<T> = Vec::new();
        let mut query = PageQuery { filter, ..PageQuery::default() };
        loop {
            let missing = wanted - items.len();
            query.limit = Some(PAGE.min(u32::try_from(missing).unwrap_or(PAGE)));
            let answer = again(async || page(&query).await).await?;
            items.extend(answer.items);
            items.truncate(wanted);
            query.cursor = answer.next_cursor;
            match (items.len() < wanted, query.cursor.is_some()) {
                (true, true) => {}
                (false, true) => {
                    context.out.remark(&format!("the first {wanted}; there are more (`--limit N`, `--all`)"));
                    return Ok(items);
                }
                (_, false) => return Ok(items),
            }
        }
    }
}
