//! Pages of lists: how many items, and the signed cursor that says where the next page begins.
//! A cursor carries the list, the tenant, the filter and the order, so that it can neither be made
//! up nor be sent to another list.

use super::error::{ApiError, ApiResult};
use super::problems::Code;
use crate::app::App;
use crate::auth::Principal;
use axum::http::header::{ACCEPT, LINK};
use axum::http::{HeaderMap, HeaderValue};
use ciro_api::page::PageQuery;

/// Items of one page unless said.
const DEFAULT_LIMIT: u32 = 50;
/// The most items of one page.
pub const MAX_LIMIT: u32 = 200;
pub(crate) const MAX_CURSOR: usize = 1_024;
pub(crate) const MAX_FILTER: usize = 512;
const SIGNATURE_LEN: usize = 32;

/// A list of one tenant: what its cursors are bound to.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    app: &'a App,
    name: &'static str,
    scope: i64,
    tenant: i64,
}

/// A page as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Items, 1 to 200.
    pub limit: u32,
    /// The filter, of the query or of the cursor.
    pub filter: String,
    /// What the page before ended with, in the list's own words.
    pub after: Option<String>,
}

impl<'a> List<'a> {
    /// The list `name` of the caller's tenant; `scope` tells lists of different owners apart (the
    /// key of the job whose attempts are listed), else 0.
    #[must_use]
    pub fn new(app: &'a App, principal: &Principal, name: &'static str, scope: i64) -> List<'a> {
        List { app, name, scope, tenant: principal.tenant().0 }
    }

    /// Reads the query of a list.
    ///
    /// # Errors
    /// `bad_parameter` for a limit or filter out of bounds, `bad_cursor` for a cursor of another
    /// list or filter.
    pub fn read(&self, query: PageQuery) -> ApiResult<Asked> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(parameter("limit", format!("is 1 to {MAX_LIMIT}, not {limit}")));
        }
        let filter = query.filter.unwrap_or_default();
        check_filter(&filter)?;
        let Some(cursor) = query.cursor else {
            return Ok(Asked { limit, filter, after: None });
        };
        let (after, carried) = self.open(&cursor).ok_or_else(|| ApiError::new(Code::BadCursor))?;
        if !filter.is_empty() && filter != carried {
            return Err(ApiError::because(Code::BadCursor, "the cursor belongs to another filter"));
        }
        Ok(Asked { limit, filter: carried, after: Some(after) })
    }

    /// The cursor of the page behind `after`.
    #[must_use]
    pub fn cursor(&self, after: &str, filter: &str) -> String {
        format!("{after}.{}.{filter}", self.signature(after, filter))
    }

    /// The headers of a page: where the next one is.
    #[must_use]
    pub fn headers(&self, path: &str, limit: u32, cursor: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(cursor) = cursor {
            let limit = limit.to_string();
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs([("limit", limit.as_str()), ("cursor", cursor)])
                .finish();
            if let Ok(link) = HeaderValue::try_from(format!("<{path}?{query}>; rel=\"next\"")) {
                headers.insert(LINK, link);
            }
        }
        headers
    }

    fn open(&self, cursor: &str) -> Option<(String, String)> {
        if cursor.len() > MAX_CURSOR {
            return None;
        }
        let (after, rest) = cursor.split_once('.')?;
        let (signature, filter) = rest.split_once('.')?;
        let genuine =
            subtle::ConstantTimeEq::ct_eq(signature.as_bytes(), self.signature(after, filter).as_bytes());
        bool::from(genuine).then(|| (after.to_owned(), filter.to_owned()))
    }

    fn signature(&self, after: &str, filter: &str) -> String {
        let bound = format!("{}\n{}\n{}\n{after}\n{filter}", self.name, self.scope, self.tenant);
        let mut text = self.app.auth.sign("cursor", bound.as_bytes()).to_hex().to_string();
        text.truncate(SIGNATURE_LEN);
        text
    }
}

/// Whether the caller names that media type among those that it accepts.
#[must_use]
pub fn wants(headers: &HeaderMap, media_type: &str) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == media_type))
}

/// Refuses a filter that is too long.
///
/// # Errors
/// `bad_parameter`.
pub fn check_filter(filter: &str) -> ApiResult<()> {
    match filter.len() {
        0..=MAX_FILTER => Ok(()),
        length => Err(parameter("filter", format!("holds at most {MAX_FILTER} bytes, this one {length}"))),
    }
}

/// A wrong parameter of the query.
#[must_use]
pub fn parameter(name: &str, detail: impl Into<String>) -> ApiError {
    let detail = detail.into();
    ApiError::because(Code::BadParameter, format!("{name} {detail}")).at(name, "bad_parameter", detail)
}
