//! What handlers take in: bodies, queries, ids in paths, idempotency keys. Every way in which a
//! request can be malformed ends here as a problem that names the place.
//! Bytes are parsed straight from the buffer; only a failure is parsed a second time, to find out
//! where it lies.

use super::error::{ApiError, ApiResult};
use super::problems::Code;
use super::unknown::nearest;
use crate::app::App;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::{Bytes, BytesMut};
use ciro_api::MAX_JSON_BYTES;
use ciro_core::id::IdError;
use ciro_store::Idempotency;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// How deep a JSON body may be nested.
pub const MAX_JSON_DEPTH: usize = 32;
/// The longest `Idempotency-Key`, bytes.
pub const MAX_IDEMPOTENCY_KEY: usize = 255;

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The id of a request that may change something.
#[derive(Debug, Clone)]
pub(super) struct RequestName(pub(super) HeaderValue);

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// A JSON body of a call that may carry an idempotency key, and that key.
#[derive(Debug)]
pub struct Keyed<T> {
    /// The body.
    pub value: T,
    /// The key and what it is used for here.
    pub idempotency: Option<Idempotency>,
}

/// No body, and perhaps an idempotency key.
#[derive(Debug)]
pub struct KeyedEmpty(pub Option<Idempotency>);

/// The parameters of the query.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// The id at the end of the path.
#[derive(Debug)]
pub struct Id<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, app: &App) -> ApiResult<Json<T>> {
        json_content(request.headers().get(CONTENT_TYPE).map(|v| v.as_bytes()))?;
        let (_, body) = request.into_parts();
        parse(&read_body(app, body, MAX_JSON_BYTES).await?).map(Json)
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Keyed<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, app: &App) -> ApiResult<Keyed<T>> {
        json_content(request.headers().get(CONTENT_TYPE).map(|v| v.as_bytes()))?;
        let (parts, body) = request.into_parts();
        let raw = read_body(app, body, MAX_JSON_BYTES).await?;
        let idempotency = idempotency(&parts, &raw)?;
        Ok(Keyed { value: parse(&raw)?, idempotency })
    }
}

impl FromRequest<App> for KeyedEmpty {
    type Rejection = ApiError;
    async fn from_request(request: Request, app: &App) -> ApiResult<KeyedEmpty> {
        let (parts, body) = request.into_parts();
        let raw = read_body(app, body, MAX_JSON_BYTES).await?;
        idempotency(&parts, &raw).map(KeyedEmpty)
    }
}

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> ApiResult<Query<T>> {
        let text = parts.uri.query().unwrap_or_default();
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
        serde_path_to_error::deserialize(pairs).map(Query).map_err(|error| {
            let words = error.inner().to_string();
            let name = error.path().to_string();
            let at = if name == "." { "query".to_owned() } else { name };
            let detail = nearest(&words).unwrap_or(words);
            ApiError::because(Code::BadParameter, format!("{at}: {detail}")).at(at, "bad_parameter", detail)
        })
    }
}

impl<T: FromStr<Err = IdError> + Send> FromRequestParts<App> for Id<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> ApiResult<Id<T>> {
        let malformed = |detail: String| {
            ApiError::because(Code::BadParameter, format!("id: {detail}")).at("id", "bad_parameter", detail)
        };
        let Path(text) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| malformed("the id in the path is not text".to_owned()))?;
        text.parse().map(Id).map_err(|error: IdError| malformed(error.to_string()))
    }
}

/// The id of the request, where it may change something.
#[must_use]
pub fn request_name(parts: &Parts) -> Option<String> {
    let RequestName(name) = parts.extensions.get()?;
    name.to_str().ok().map(str::to_owned)
}

/// Whether a body says that it is JSON.
fn json_content(content_type: Option<&[u8]>) -> ApiResult<()> {
    let Some(value) = content_type else {
        return Err(ApiError::because(Code::UnsupportedMediaType, "the request has no Content-Type"));
    };
    let essence = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(value).chars().take(100).collect::<String>();
    Err(ApiError::because(Code::UnsupportedMediaType, format!("`{shown}` is not application/json")))
}

/// All bytes of a body, at most `limit`, within `limits.body_ms`.
///
/// # Errors
/// `body_too_large`, `request_timeout`, or that the connection broke.
pub async fn read_body(app: &App, body: Body, limit: usize) -> ApiResult<Bytes> {
    let body_ms = app.hot().limits.body_ms;
    match tokio::time::timeout(Duration::from_millis(body_ms), collect(body, limit)).await {
        Ok(read) => read,
        Err(_) => {
            let detail = format!("the body was not complete after {body_ms} ms");
            Err(ApiError::because(Code::RequestTimeout, detail))
        }
    }
}

async fn collect(body: Body, limit: usize) -> ApiResult<Bytes> {
    let too_large =
        || ApiError::because(Code::BodyTooLarge, format!("the body is larger than {limit} bytes"));
    let mut chunks = body.into_data_stream();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| ApiError::new(Code::BodyUnreadable))?;
        if first.len() + all.len() + chunk.len() > limit {
            return Err(too_large());
        }
        if first.is_empty() && all.is_empty() {
            first = chunk;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
            first = Bytes::new();
        }
        all.extend_from_slice(&chunk);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// A JSON value of type `T`, or where it is not one.
///
/// # Errors
/// `malformed_json`, `unknown_field` or `wrong_type`, with a pointer into the body.
pub fn parse<T: DeserializeOwned>(raw: &[u8]) -> ApiResult<T> {
    refuse_deep(raw)?;
    // A list would be taken for an object's fields in their order.
    if raw.trim_ascii_start().starts_with(b"[") {
        let detail = "the body is a list, and an object is expected";
        return Err(ApiError::because(Code::WrongType, detail).at("", "wrong_type", detail));
    }
    serde_json::from_slice(raw).map_err(|_| explain::<T>(raw))
}

/// Brackets outside of strings, counted in one pass.
fn refuse_deep(raw: &[u8]) -> ApiResult<()> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in raw {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_JSON_DEPTH {
            let detail = format!("the body is nested deeper than {MAX_JSON_DEPTH} levels");
            return Err(ApiError::because(Code::MalformedJson, detail));
        }
    }
    Ok(())
}

fn explain<T: DeserializeOwned>(raw: &[u8]) -> ApiError {
    let mut reader = serde_json::Deserializer::from_slice(raw);
    let error = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => error,
        // The value was right: what follows it is not.
        Ok(_) => return ApiError::because(Code::MalformedJson, "there is something behind the JSON value"),
    };
    let words = error.inner().to_string();
    if !error.inner().is_data() {
        return ApiError::because(Code::MalformedJson, words);
    }
    let pointer = pointer_of(error.path());
    match nearest(&words) {
        Some(detail) => ApiError::because(Code::UnknownField, format!("{pointer}: {detail}")).at(
            pointer,
            "unknown_field",
            detail,
        ),
        None => {
            ApiError::because(Code::WrongType, format!("{pointer}: {words}")).at(pointer, "wrong_type", words)
        }
    }
}

/// The path as a JSON pointer (RFC 6901); the whole body is `/`.
fn pointer_of(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            serde_path_to_error::Segment::Seq { index } => pointer.push_str(&index.to_string()),
            serde_path_to_error::Segment::Map { key } => {
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"))
            }
            serde_path_to_error::Segment::Enum { variant } => pointer.push_str(variant),
            serde_path_to_error::Segment::Unknown => pointer.push('?'),
        }
    }
    if pointer.is_empty() { "/".to_owned() } else { pointer }
}

/// The idempotency key of a request, bound to its method, path and raw body.
fn idempotency(parts: &Parts, raw: &[u8]) -> ApiResult<Option<Idempotency>> {
    let Some(value) = parts.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.as_bytes();
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY {
        let detail =
            format!("Idempotency-Key holds 1 to {MAX_IDEMPOTENCY_KEY} bytes, this one {}", key.len());
        return Err(ApiError::because(Code::BadHeader, detail));
    }
    let mut fingerprint = blake3::Hasher::new();
    for part in [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), raw] {
        fingerprint.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    Ok(Some(Idempotency { key: half(blake3::hash(key)), fingerprint: half(fingerprint.finalize()) }))
}

fn half(hash: blake3::Hash) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    bytes
}
