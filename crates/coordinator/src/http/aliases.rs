//! The unversioned paths that the first CIRO clients use: the same handlers, because the path is
//! rewritten before it is routed. A problem still names the path that was asked for.

use super::around::AskedFor;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Beginnings of paths, whole segments of them, and what they are called below `/v1`; the first that fits.
const NAMES: [(&str, &str); 5] = [
    ("/jobs", "/v1/jobs"),
    ("/workers", "/v1/workers"),
    ("/status", "/v1/status"),
    // What it counted is part of the status.
    ("/blockchain/metrics", "/v1/chain/status"),
    ("/blockchain", "/v1/chain"),
];

/// Sends an unversioned path to its versioned one.
pub(super) fn rewrite(request: &mut Request) {
    let path = request.uri().path();
    let named = NAMES.iter().find_map(|(name, versioned)| {
        let rest = path.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{versioned}{rest}"))
    });
    let Some(versioned) = named else { return };
    let asked = path.to_owned();
    let target = match request.uri().query() {
        Some(query) => format!("{versioned}?{query}"),
        None => versioned,
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
            ("/blockchain/transactions?limit=1", "/v1/chain/transactions?limit=1"),
            ("/blockchain/metrics", "/v1/chain/status"),
            ("/blockchain/metricsx", "/v1/chain/metricsx"),
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
