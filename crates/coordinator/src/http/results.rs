//! The routes of results: the manifest of a job's files, and each file as one body.

use super::artifacts::bytes_of;
use super::error::{ApiError, ApiResult, internal};
use super::extract::Id;
use super::problems::Code;
use crate::app::App;
use crate::artifacts::range::chain;
use crate::artifacts::{Opened, Source};
use crate::auth::{Principal, Scope};
use crate::results;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use ciro_api::job::{JobResult, ResultFile};
use ciro_core::id::JobId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of results.
pub fn routes() -> OpenApiRouter<App> {
    // The router needs a wildcard for a path with slashes, of which the contract knows nothing.
    let (_, mut documented, method) = routes!(file);
    let mut router = OpenApiRouter::new().routes(routes!(result));
    router.get_openapi_mut().paths.paths.append(&mut documented.paths);
    router.route("/v1/jobs/{id}/result/files/{*path}", method)
}

/// Look at an ended job's result.
///
/// Of a job that did not complete it is what its completed tasks left, marked as `partial`.
#[utoipa::path(get, path = "/v1/jobs/{id}/result", operation_id = "job_result", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$")),
    responses((status = 200, description = "Its files, each as ordered parts.", body = JobResult),
        (status = 409, description = "The job has not ended yet, or ended without any task's result.")))]
async fn result(State(app): State<App>, who: Principal, Id(id): Id<JobId>) -> ApiResult<Json<JobResult>> {
    who.require(Scope::JobsRead)?;
    let found = results::get(&app, who.tenant(), id).await?;
    Ok(Json(JobResult::clone(&found)))
}

/// Download one file of an ended job's result.
#[utoipa::path(get, path = "/v1/jobs/{id}/result/files/{path}", operation_id = "job_result_file", tag = "jobs", security(("bearer" = [])),
    params(("id" = String, Path, description = "The job.", pattern = "^job_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
        ("path" = String, Path, description = "The file's path, as the result lists it; it may hold `/`."),
        ("Range" = Option<String>, Header, description = "`bytes=first-last`, for files of one part.")),
    responses((status = 200, description = "The file's parts end to end.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 409, description = "The job has not ended yet, or ended without any task's result."),
        (status = 410, description = "The result is no longer kept."),
        (status = 416, description = "The range lies outside the file.")))]
async fn file(
    State(app): State<App>,
    who: Principal,
    Path((id, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    who.require(Scope::JobsRead)?;
    let id: JobId = id
        .parse()
        .map_err(|error: ciro_core::id::IdError| super::page::parameter("id", error.to_string()))?;
    let file = results::file(&app, who.tenant(), id, &path).await?;
    let mut response = body_of(&app, &file, headers.get(RANGE).and_then(|range| range.to_str().ok())).await?;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    Ok(response)
}

async fn body_of(app: &App, file: &ResultFile, range: Option<&str>) -> ApiResult<Response> {
    let vault = app.artifacts.vault().clone();
    let parts: Vec<_> = file.parts.iter().map(|part| (part.artifact, part.length)).collect();
    let (looked_in, wanted) = (vault.clone(), parts.clone());
    let opened = app.tasks.blocking(move || {
        let gone = wanted.iter().any(|(hash, _)| !looked_in.path(hash).is_file());
        match wanted.as_slice() {
            _ if gone => Ok(None),
            [(hash, _)] => Ok(looked_in.read(hash)?.map(Some)),
            _ => Ok::<_, std::io::Error>(Some(None)),
        }
    });
    match opened.await.map_err(|error| internal(&error))?.map_err(|error| internal(&error))? {
        None => Err(ApiError::because(Code::Gone, "the result's bytes are no longer kept")),
        Some(Some(one)) => bytes_of(Opened { size: one.size, source: Source::File(one.file) }, range).await,
        Some(None) => {
            let mut response = Response::new(Body::from_stream(chain(vault, parts)));
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(file.length));
            Ok(response)
        }
    }
}
