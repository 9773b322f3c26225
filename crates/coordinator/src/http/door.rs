//! Who is let in. A request is turned away when too much is in hand for its class, when the writer
//! is behind and it brings more to write, or when its caller has nothing left of the budget.
//! The caller is found out here, once; extractors take over what was found.

use super::class::{Asked, Class};
use super::error::{ApiError, ApiResult};
use super::extract::Peer;
use super::problems::Code;
use crate::app::App;
use crate::auth::{Identified, Shown, Token};
use crate::rates::{Account, Budget};
use axum::extract::Request;
use axum::http::HeaderMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

/// Turns away what is too much for everybody.
///
/// # Errors
/// `overloaded`.
pub(super) fn room(app: &App, class: Class) -> ApiResult<()> {
    let limits = &app.hot().limits;
    let Some(room) = class.room(limits.requests_in_flight) else {
        return Ok(());
    };
    if app.metrics.in_flight.get() >= room as u64 {
        return Err(ApiError::because(Code::Overloaded, "too many requests are in hand"));
    }
    if class == Class::Submit && app.store.queue_wait_ms() > limits.writer_wait_ms {
        return Err(ApiError::because(Code::Overloaded, "requests wait too long to be written"));
    }
    Ok(())
}

/// Finds out who calls and charges them; `account` is then whose. A token that is returned must be
/// looked up first. What is known of the caller goes along with the request.
///
/// # Errors
/// `rate_limited`.
pub(super) fn enter(
    app: &App,
    asked: Asked,
    request: &mut Request,
    now: Instant,
    account: &mut Option<Account>,
) -> ApiResult<Option<Token>> {
    if asked.cost == 0 {
        return Ok(None);
    }
    match app.auth.glance(app, request.headers()) {
        Shown::Known(principal) => {
            *account = principal.account().cloned();
            request.extensions_mut().insert(Identified(Ok(principal)));
        }
        Shown::Unknown(token) if !asked.open => {
            let refusals = account.insert(of_address(app, Budget::Refused, request));
            app.rates.check(refusals, now)?;
            return Ok(Some(token));
        }
        Shown::Nobody | Shown::Malformed(_) | Shown::Unknown(_) => {
            *account = Some(of_address(app, Budget::Anonymous, request));
        }
    }
    match account {
        Some(account) => app.rates.enter(account, asked.cost, now).map(|()| None),
        None => Ok(None),
    }
}

/// Looks a token up and charges whom it speaks for; one that is refused is charged to its address.
/// The handler still decides what becomes of the request.
///
/// # Errors
/// `rate_limited`.
pub(super) async fn enter_checked(
    app: &App,
    asked: Asked,
    token: &Token,
    request: &mut Request,
    account: &mut Option<Account>,
) -> ApiResult<()> {
    let found = app.auth.check(app, token).await;
    let refused = matches!(&found, Err(error) if error.code() == Code::Unauthorized);
    if let Ok(principal) = &found {
        *account = principal.account().cloned();
    }
    request.extensions_mut().insert(Identified(found));
    match account {
        Some(account) => app.rates.enter(account, if refused { 1 } else { asked.cost }, Instant::now()),
        None => Ok(()),
    }
}

fn of_address(app: &App, budget: Budget, request: &Request) -> Account {
    let peer = request.extensions().get().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| *peer);
    let headers: &HeaderMap = request.headers();
    app.rates.of_address(budget, peer, headers)
}
