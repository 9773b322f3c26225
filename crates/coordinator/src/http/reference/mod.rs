//! The API reference at `/docs/api`: one page, made from the OpenAPI document and nothing else. It
//! carries its own style and script, so that it reads the same offline and when it is saved.
//!
//! The document becomes a [`model::Reference`], which the template writes down.

mod model;
mod schema;
mod snippets;

use crate::app::App;
use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::Reference;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const STYLE: &str = include_str!("../../../templates/reference.css");
const SCRIPT: &str = include_str!("../../../templates/reference.js");

#[derive(Debug, Template)]
#[template(path = "reference.html")]
struct Page<'a> {
    reference: &'a Reference,
    style: &'static str,
    script: &'static str,
}

/// The route of the reference.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(reference))
}

/// Read this reference: every operation, with commands to copy.
#[utoipa::path(get, path = "/docs/api", operation_id = "reference", tag = "system", security(()),
    responses((status = 200, description = "A page to read.", body = String, content_type = "text/html")))]
async fn reference() -> ([(HeaderName, HeaderValue); 4], Bytes) {
    static PAGE: LazyLock<Bytes> = LazyLock::new(|| {
        let document = serde_json::to_value(super::document()).unwrap_or_default();
        let reference = Reference::of(&document);
        let page = Page { reference: &reference, style: STYLE, script: SCRIPT };
        page.render().map_or_else(|error| Bytes::from(error.to_string()), Bytes::from)
    });
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            hash_source(STYLE),
            hash_source(SCRIPT)
        );
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, POLICY.clone()),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, PAGE.clone())
}

/// What a content security policy calls an inline text.
fn hash_source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}
