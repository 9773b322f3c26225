//! The routes of artifacts: declare, append, read, drop.

use super::error::{ApiError, ApiResult};
use super::extract::Json;
use super::problems::Code;
use crate::app::App;
use crate::artifacts::range::{Wanted, file_body, wanted};
use crate::artifacts::{self, Opened, Source};
use crate::auth::Principal;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE,
    LOCATION, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ciro_api::artifact::{Artifact, NewArtifact};
use ciro_api::problem::Problem;
use ciro_core::id::Hash;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");

/// The routes of artifacts.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(declare)).routes(routes!(read, head, append, forget))
}

/// Declares an artifact that will be uploaded.
///
/// The bytes then go to its `url` with `PATCH`. Bytes that are stored already still have to be
/// sent by a tenant that has no grant of them: knowing a hash proves nothing.
#[utoipa::path(
    post, path = "/v1/artifacts", tag = "artifacts", operation_id = "declare_artifact",
    request_body = NewArtifact, security(("bearer" = [])),
    responses(
        (status = 201, body = Artifact, description = "An upload began or goes on at `offset`",
         headers(("location" = String, description = "Where the bytes go"))),
        (status = 200, body = Artifact, description = "It is stored already"),
    )
)]
async fn declare(
    State(app): State<App>,
    who: Principal,
    Json(new): Json<NewArtifact>,
) -> ApiResult<Response> {
    let (began, artifact) = artifacts::declare(&app, &who, &new).await?;
    if !began {
        return Ok(axum::Json(artifact).into_response());
    }
    let location = header(&artifact.url)?;
    Ok((StatusCode::CREATED, [(LOCATION, location)], axum::Json(artifact)).into_response())
}

/// Appends bytes to an upload.
///
/// The body begins at `Upload-Offset`, which has to be the number of bytes received so far; what
/// a broken connection delivered stays. The last byte verifies the hash.
#[utoipa::path(
    patch, path = "/v1/artifacts/{hash}", tag = "artifacts", operation_id = "append_artifact",
    params(
        ("hash" = String, Path, pattern = "^[0-9a-f]{64}$", description = "BLAKE3 of the bytes, in hex."),
        ("upload-offset" = u64, Header, description = "Bytes received so far"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The next bytes"),
    security(("bearer" = [])),
    responses(
        (status = 200, body = Artifact, description = "The bytes were taken; `stored` says whether they were the last"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "The upload goes on at another offset, named in `errors`"),
    )
)]
async fn append(
    State(app): State<App>,
    who: Principal,
    hash: Named,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<axum::Json<Artifact>> {
    let offset = upload_offset(&headers)?;
    artifacts::append(&app, &who, hash.0, offset, body).await.map(axum::Json)
}

/// How far an artifact is.
#[utoipa::path(
    head, path = "/v1/artifacts/{hash}", tag = "artifacts", operation_id = "head_artifact",
    params(("hash" = String, Path, pattern = "^[0-9a-f]{64}$", description = "BLAKE3 of the bytes, in hex.")),
    security(("bearer" = [])),
    responses((status = 200, description = "Stored, or on its way", headers(
        ("upload-offset" = u64, description = "Bytes received so far"),
        ("upload-length" = u64, description = "Bytes in all"),
    )))
)]
async fn head(State(app): State<App>, who: Principal, hash: Named) -> ApiResult<Response> {
    let artifact = artifacts::state(&app, &who, hash.0).await?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(UPLOAD_OFFSET, HeaderValue::from(artifact.offset));
    headers.insert(UPLOAD_LENGTH, HeaderValue::from(artifact.size));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if artifact.stored {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(artifact.size));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(ETAG, etag(hash.0)?);
    }
    Ok(response)
}

/// The bytes of an artifact, or a range of them.
#[utoipa::path(
    get, path = "/v1/artifacts/{hash}", tag = "artifacts", operation_id = "read_artifact",
    params(
        ("hash" = String, Path, pattern = "^[0-9a-f]{64}$", description = "BLAKE3 of the bytes, in hex."),
        ("range" = Option<String>, Header, description = "`bytes=first-last`, one range"),
        ("if-none-match" = Option<String>, Header, description = "The ETag that the caller has"),
    ),
    security(("bearer" = [])),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "All bytes"),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream", description = "The range"),
        (status = 304, description = "The caller has them: bytes of a hash never change"),
        (status = 416, body = Problem, content_type = "application/problem+json", description = "The range lies outside the bytes"),
    )
)]
async fn read(
    State(app): State<App>,
    who: Principal,
    hash: Named,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let opened = artifacts::open(&app, &who, hash.0).await?;
    let etag = etag(hash.0)?;
    if headers.get(IF_NONE_MATCH).is_some_and(|have| matches(have, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    // A range of another version than the caller has would be of no use to it.
    let asked = headers.get(RANGE).filter(|_| headers.get(IF_RANGE).is_none_or(|have| *have == etag));
    let mut response = bytes_of(opened, asked.and_then(|range| range.to_str().ok())).await?;
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, immutable, max-age=86400"));
    Ok(response)
}

/// Drops the tenant's grant of an artifact.
///
/// What a job needs stays for it; the bytes go when nothing needs them any more.
#[utoipa::path(
    delete, path = "/v1/artifacts/{hash}", tag = "artifacts", operation_id = "drop_artifact",
    params(("hash" = String, Path, pattern = "^[0-9a-f]{64}$", description = "BLAKE3 of the bytes, in hex.")),
    security(("bearer" = [])),
    responses((status = 204, description = "The grant is gone"))
)]
async fn forget(State(app): State<App>, who: Principal, hash: Named) -> ApiResult<StatusCode> {
    artifacts::forget(&app, &who, hash.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The hash at the end of the path.
struct Named(Hash);

impl axum::extract::FromRequestParts<App> for Named {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut axum::http::request::Parts, app: &App) -> ApiResult<Named> {
        let wrong = || {
            let detail = "a hash is 64 hex digits in lower case";
            ApiError::because(Code::BadParameter, format!("hash: {detail}")).at(
                "hash",
                "bad_parameter",
                detail,
            )
        };
        let Path(text) = Path::<String>::from_request_parts(parts, app).await.map_err(|_| wrong())?;
        text.parse().map(Named).map_err(|_| wrong())
    }
}

/// All of some bytes, or the range that was asked for.
pub(super) async fn bytes_of(opened: Opened, range: Option<&str>) -> ApiResult<Response> {
    let size = opened.size;
    let (first, length, status) = match wanted(range, size) {
        Wanted::Whole => (0, size, StatusCode::OK),
        Wanted::Part { first, length } => (first, length, StatusCode::PARTIAL_CONTENT),
        Wanted::Outside => {
            let outside = ApiError::because(Code::RangeNotSatisfiable, format!("there are {size} bytes"));
            return Ok(([(CONTENT_RANGE, header(&format!("bytes */{size}"))?)], outside).into_response());
        }
    };
    let body = match opened.source {
        Source::Builtin(bytes) => {
            let end = usize::try_from(first + length).unwrap_or(bytes.len());
            Body::from(Bytes::from_static(&bytes[usize::try_from(first).unwrap_or(end)..end]))
        }
        Source::File(file) => {
            file_body(file, first, length).await.map_err(|error| super::error::internal(&error))?
        }
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        headers.insert(CONTENT_RANGE, header(&format!("bytes {first}-{}/{size}", first + length - 1))?);
    }
    Ok(response)
}

fn upload_offset(headers: &HeaderMap) -> ApiResult<u64> {
    let text = headers.get(UPLOAD_OFFSET).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        ApiError::because(
            Code::BadHeader,
            "Upload-Offset is the number of bytes received so far; HEAD tells it",
        )
    })
}

fn etag(hash: Hash) -> ApiResult<HeaderValue> {
    header(&format!("\"{hash}\""))
}

/// Whether an `If-None-Match` list names this tag; weak tags count here.
fn matches(have: &HeaderValue, etag: &HeaderValue) -> bool {
    let etag = etag.to_str().unwrap_or_default();
    have.to_str().is_ok_and(|list| {
        list.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
    })
}

fn header(text: &str) -> ApiResult<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| super::error::internal(&error))
}
