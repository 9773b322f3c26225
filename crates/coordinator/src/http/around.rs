//! What happens around every request: it gets an id, is counted and bounded, a panic is caught,
//! and whatever is not a success becomes a problem document.
//! One layer and one boxed future for all of it, because it lies on the path of every submit.

use super::error::ApiError;
use super::extract::RequestName;
use super::problems::{Code, code_of_status};
use crate::app::App;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use ciro_core::id::RequestId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};
use std::time::Instant;
use tower::{Layer, Service};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_CIRO_VERSION: HeaderName = HeaderName::from_static("x-ciro-version");
const VERSION: HeaderValue = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));
/// The longest `X-Request-Id` that is taken over from a client.
pub(crate) const MAX_REQUEST_ID: usize = 128;

/// The path as the client wrote it, where an alias was rewritten.
#[derive(Debug, Clone)]
pub(super) struct AskedFor(pub(super) String);

/// Marks an answer that is not a success and still has a body of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnBody;

impl IntoResponseParts for OwnBody {
    type Error = Infallible;
    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.extensions_mut().insert(self);
        Ok(parts)
    }
}

/// Wraps every route.
#[derive(Debug, Clone)]
pub(super) struct Around(pub(super) App);

impl<S> Layer<S> for Around {
    type Service = AroundService<S>;
    fn layer(&self, inner: S) -> AroundService<S> {
        AroundService { inner, app: self.0.clone() }
    }
}

/// One wrapped route.
#[derive(Debug, Clone)]
pub(super) struct AroundService<S> {
    inner: S,
    app: App,
}

impl<S> Service<Request> for AroundService<S>
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let app = self.app.clone();
        let begun = Instant::now();
        let seen = Seen::of(&request, &app);
        if seen.sheds && app.metrics.in_flight.get() >= app.hot().limits.requests_in_flight as u64 {
            app.metrics.shed.inc();
            let refused =
                ApiError::because(Code::Overloaded, "too many requests are in hand").into_response();
            return Box::pin(async move { Ok(seen.finish(&app, begun, refused)) });
        }
        // The calls that change something rarely are among these; the work channel is not.
        if !seen.parked && seen.method != "GET" {
            request.extensions_mut().insert(RequestName(seen.request_id.clone()));
        }
        let inner = self.inner.call(request);
        Box::pin(async move {
            let _in_hand = InHand::new(&app, seen.sheds);
            let response = match AssertUnwindSafe(inner).catch_unwind().await {
                Ok(Ok(response)) => response.into_response(),
                Ok(Err(never)) => match never {},
                Err(panic) => caught(&app, &seen, panic.as_ref()),
            };
            Ok(seen.finish(&app, begun, response))
        })
    }
}

/// Counts a request as in hand for as long as this lives, also when its caller goes away.
struct InHand(Option<App>);

impl InHand {
    fn new(app: &App, counts: bool) -> InHand {
        if counts {
            app.metrics.in_flight.inc();
        }
        InHand(counts.then(|| app.clone()))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(app) = &self.0 {
            app.metrics.in_flight.dec();
        }
    }
}

/// What of a request is needed when its answer is there.
struct Seen {
    path: Option<MatchedPath>,
    uri: Uri,
    asked: Option<AskedFor>,
    method: &'static str,
    request_id: HeaderValue,
    sheds: bool,
    parked: bool,
}

impl Seen {
    fn of(request: &Request, app: &App) -> Seen {
        let path = request.extensions().get::<MatchedPath>().cloned();
        let template = path.as_ref().map_or("", MatchedPath::as_str);
        // Parked calls are bounded by their own count; the rest of the work channel must get
        // through when everything else is turned away.
        let waits = template.ends_with("/status") && request.uri().query().is_some();
        let work = template.starts_with("/v1/work/");
        Seen {
            uri: request.uri().clone(),
            asked: request.extensions().get().cloned(),
            method: method_name(request.method()),
            request_id: request_id(request.headers(), app),
            sheds: !(work || waits),
            parked: work || waits,
            path,
        }
    }

    /// The path that the client asked for.
    fn instance(&self) -> &str {
        self.asked.as_ref().map_or(self.uri.path(), |AskedFor(path)| path)
    }

    fn finish(self, app: &App, begun: Instant, mut response: Response) -> Response {
        let status = response.status();
        if (status.is_client_error() || status.is_server_error())
            && response.extensions().get::<OwnBody>().is_none()
        {
            response = self.problem(response, app);
        }
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, self.request_id);
        headers.insert(X_CIRO_VERSION, VERSION);
        let took = (!self.parked).then(|| begun.elapsed());
        app.metrics.http.answered(self.path, self.method, response.status().as_u16(), took);
        response
    }

    /// The answer with a problem document as its body; its other headers stay.
    fn problem(&self, response: Response, app: &App) -> Response {
        let (mut parts, _) = response.into_parts();
        let error = parts
            .extensions
            .remove::<ApiError>()
            .unwrap_or_else(|| ApiError::new(code_of_status(parts.status.as_u16())));
        app.metrics.problem(error.code());
        let request_id = self.request_id.to_str().unwrap_or_default();
        let problem = error.into_problem(self.instance(), request_id);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        parts.headers.remove(CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(body))
    }
}

/// The client's id of the request if it is a decent one, else a new one.
fn request_id(headers: &HeaderMap, app: &App) -> HeaderValue {
    let decent = |value: &&HeaderValue| {
        !value.is_empty()
            && value.len() <= MAX_REQUEST_ID
            && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if let Some(value) = headers.get(X_REQUEST_ID).filter(decent) {
        return value.clone();
    }
    let id = RequestId(app.clock.uuid());
    HeaderValue::try_from(id.to_string()).unwrap_or(HeaderValue::from_static("req"))
}

fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

fn caught(app: &App, seen: &Seen, panic: &(dyn std::any::Any + Send)) -> Response {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    app.metrics.panics.inc();
    tracing::error!(
        request.id = seen.request_id.to_str().unwrap_or_default(),
        path = seen.instance(),
        panic = words,
        "a request panicked; it was answered with 500"
    );
    ApiError::new(Code::Internal).into_response()
}
