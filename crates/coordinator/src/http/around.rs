//! What happens around every request: it gets an id, passes the door, is counted, a panic is caught,
//! and whatever is not a success becomes a problem document.
//! One layer and one boxed future for all of it, because it lies on the path of every submit.

use super::class::{Asked, Class};
use super::door;
use super::error::ApiError;
use super::extract::RequestName;
use super::problems::{Code, code_of_status};
use crate::app::App;
use crate::auth::Token;
use crate::rates::Account;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
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
        let mut seen = Seen::of(&request, &app);
        // The calls that change something rarely are among these; the work channel is not.
        if seen.counts() && seen.method != "GET" {
            request.extensions_mut().insert(RequestName(seen.request_id.clone()));
        }
        let let_in = door::room(&app, seen.asked.class)
            .and_then(|()| door::enter(&app, seen.asked, &mut request, seen.begun, &mut seen.account));
        match let_in {
            Err(refused) => Box::pin(async move { Ok(seen.finish(&app, refused.into_response())) }),
            Ok(None) => Box::pin(in_hand(app, seen, self.inner.call(request))),
            Ok(Some(token)) => {
                // The one that is ready is used; its twin takes its place.
                let twin = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, twin);
                Box::pin(after_check(app, seen, token, request, inner))
            }
        }
    }
}

async fn after_check<S>(
    app: App,
    mut seen: Seen,
    token: Token,
    mut request: Request,
    mut inner: S,
) -> Result<Response, Infallible>
where
    S: Service<Request, Error = Infallible>,
    S::Response: IntoResponse,
{
    let checking = InHand::new(&app, seen.counts());
    match door::enter_checked(&app, seen.asked, &token, &mut request, &mut seen.account).await {
        Err(refused) => Ok(seen.finish(&app, refused.into_response())),
        Ok(()) => {
            drop(checking);
            in_hand(app, seen, inner.call(request)).await
        }
    }
}

async fn in_hand<R: IntoResponse>(
    app: App,
    seen: Seen,
    answer: impl Future<Output = Result<R, Infallible>>,
) -> Result<Response, Infallible> {
    let _in_hand = InHand::new(&app, seen.counts());
    let response = match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(response)) => response.into_response(),
        Ok(Err(never)) => match never {},
        Err(panic) => caught(&app, &seen, panic.as_ref()),
    };
    Ok(seen.finish(&app, response))
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
    /// The path that was asked for, where it is not the route's own. A copy: to keep the URI would
    /// keep the buffer that the head was read into, once for each call that is parked.
    other_path: Option<Box<str>>,
    method: &'static str,
    request_id: HeaderValue,
    begun: Instant,
    asked: Asked,
    account: Option<Account>,
}

impl Seen {
    fn of(request: &Request, app: &App) -> Seen {
        let path = request.extensions().get::<MatchedPath>().cloned();
        let template = path.as_ref().map_or("", MatchedPath::as_str);
        let path_asked =
            request.extensions().get().map_or(request.uri().path(), |AskedFor(path)| path.as_str());
        let has_query = request.uri().query().is_some();
        let has_token = request.headers().contains_key(AUTHORIZATION);
        Seen {
            asked: Asked::of(request.method(), template, has_query, has_token),
            other_path: (path_asked != template).then(|| path_asked.into()),
            method: method_name(request.method()),
            request_id: request_id(request.headers(), app),
            begun: Instant::now(),
            account: None,
            path,
        }
    }

    /// Whether it counts as in hand: what can be turned away, and nothing that may be parked.
    fn counts(&self) -> bool {
        self.asked.class.room(0).is_some()
    }

    /// The path that the client asked for.
    fn instance(&self) -> &str {
        match (&self.other_path, &self.path) {
            (Some(path), _) => path,
            (None, path) => path.as_ref().map_or("", MatchedPath::as_str),
        }
    }

    fn finish(self, app: &App, mut response: Response) -> Response {
        let status = response.status();
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            self.count_refusal(app, &response);
        }
        if (status.is_client_error() || status.is_server_error())
            && response.extensions().get::<OwnBody>().is_none()
        {
            response = self.problem(response, app);
        }
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, self.request_id);
        headers.insert(X_CIRO_VERSION, VERSION);
        let now = Instant::now();
        if let Some(account) = &self.account {
            app.rates.tell(headers, account, now);
        }
        let took = (!matches!(self.asked.class, Class::Work | Class::Waiting))
            .then(|| now.duration_since(self.begun));
        app.metrics.http.answered(self.path, self.method, response.status().as_u16(), took);
        response
    }

    fn count_refusal(&self, app: &App, response: &Response) {
        let class = self.asked.class as usize;
        match response.extensions().get::<ApiError>().map(ApiError::code) {
            Some(Code::Overloaded) => app.metrics.shed[class].inc(),
            Some(Code::RateLimited) => app.metrics.rate_limited[class].inc(),
            _ => {}
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Loaded};
    use crate::settings::Reload;
    use axum::Router;
    use axum::body::to_bytes;
    use axum::routing::get;
    use parking_lot::Mutex;
    use std::fmt::Write as _;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;
    use tracing::field::{Field, Visit};
    use tracing::span;

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<String>>);

    impl Visit for Kept {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            let _ = writeln!(self.0.lock(), "{}={value:?}", field.name());
        }
    }

    impl tracing::Subscriber for Kept {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            let _ = writeln!(self.0.lock(), "{}", event.metadata().level());
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    async fn app(folder: &std::path::Path) -> App {
        let mut config = Config { server_port: 0, ..Config::default() };
        config.database.url = format!("sqlite://{}", folder.join("coordinator.db").display());
        let loaded = Loaded::made(config).unwrap();
        let start = crate::Start {
            loaded,
            shutdown: CancellationToken::new(),
            reload: Reload::default(),
            show: |_| (),
        };
        crate::assemble(start).await.unwrap()
    }

    /// No handler is known to panic, so a route that does is put behind the layer that all of them
    /// are behind.
    #[tokio::test]
    async fn a_panic_is_answered_counted_and_logged() {
        async fn bad() -> &'static str {
            panic!("the words of the panic")
        }
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path()).await;
        let routes: Router<App> =
            Router::new().route("/v1/bad", get(bad)).route("/v1/good", get(async || "good"));
        let mut routes = routes.layer(Around(app.clone())).with_state(app.clone());
        let mut ask = async |path: &str| {
            let request = Request::builder().uri(path).header("x-request-id", "mine").body(Body::empty());
            routes.call(request.unwrap()).await.unwrap()
        };
        let kept = Kept::default();
        let logging = tracing::subscriber::set_default(kept.clone());
        let response = ask("/v1/bad").await;
        drop(logging);
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let problem: ciro_api::problem::Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!((problem.code.as_str(), problem.request_id.as_str()), ("internal", "mine"));
        assert!(!String::from_utf8_lossy(&body).contains("words"), "its words are for the log only");
        assert_eq!(app.metrics.panics.get(), 1);
        let said = kept.0.lock().clone();
        for part in ["ERROR", "panic=\"the words of the panic\"", "request.id=\"mine\"", "path=\"/v1/bad\""] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
        assert_eq!(ask("/v1/good").await.status(), 200, "the next request is served");
        assert_eq!(app.metrics.in_flight.get(), 0, "nothing stays in hand");
        app.store.close().await;
    }
}
