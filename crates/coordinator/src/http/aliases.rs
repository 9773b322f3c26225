//! The unversioned paths that the first CIRO clients use: the same handlers, because the path is
//! rewritten before it is routed. A problem still names the path that was asked for.

use super::around::AskedFor;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// First segments whose paths are the same below `/v1`.
const ROOTS: [&str; 3] = ["jobs", "workers", "status"];

/// Sends an unversioned path to its versioned one.
pub(super) fn rewrite(request: &mut Request) {
    let path = request.uri().path();
    let first = path.get(1..).unwrap_or_default().split('/').next().unwrap_or_default();
    if !ROOTS.contains(&first) {
        return;
    }
    let asked = path.to_owned();
    let target = match request.uri().query() {
        Some(query) => format!("/v1{path}?{query}"),
        None => format!("/v1{path}"),
    };
    let Ok(target) = PathAndQuery::try_from(target) else {
        return;
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(target);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(AskedFor(asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn unversioned_paths_reach_their_versioned_twins() {
        for (asked, reached) in [
            ("/jobs", "/v1/jobs"),
            ("/jobs/stats?x=1", "/v1/jobs/stats?x=1"),
            ("/status", "/v1/status"),
            ("/health", "/health"),
            ("/jobsx", "/jobsx"),
            ("/v1/jobs", "/v1/jobs"),
            ("/", "/"),
        ] {
            let mut request = Request::builder().uri(asked).body(Body::empty()).unwrap();
            rewrite(&mut request);
            assert_eq!(request.uri().to_string(), reached);
        }
    }
}
