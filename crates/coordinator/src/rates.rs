//! How much each caller may ask for: a budget per key, one per address without a key, and one per
//! address for tokens that are refused; and requests a second of all keys of a tenant that has a
//! quota of them. Handlers charge what a call turns out to cost beyond its
//! price at the door.
//!
//! A key's account hangs on its [`Principal`], which the check of tokens keeps for some seconds, so a
//! call of a known key looks into no map here. The maps are bounded: what was not used for longest
//! is forgotten, and begins with a full bucket when it comes back.

mod address;
mod bucket;

pub use address::{Network, NotANetwork, one_caller};
pub use bucket::{Bucket, Level, Quota};

use crate::auth::Principal;
use crate::config::RateLimits;
use crate::http::error::{ApiError, ApiResult};
use crate::http::problems::Code;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use ciro_core::id::{KeyId, TenantKey};
use moka::sync::Cache;
use parking_lot::RwLock;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// A bucket that nobody used for a window is full, so that forgetting it then changes nothing.
const LONGEST_WINDOW: Duration = Duration::from_secs(3_600);
/// Keys and addresses that are remembered, each.
pub(crate) const REMEMBERED: u64 = 65_536;

/// Which budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Budget {
    /// A key's or a session's.
    Key,
    /// An address's, for calls without a key.
    Anonymous,
    /// An address's, for tokens that are refused.
    Refused,
}

/// Whose bucket a key's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The key of the configuration.
    Configured,
    /// An API key.
    Key(KeyId),
    /// A session, by the hash of its token.
    Session([u8; 32]),
}

/// A bucket and what it is filled up to.
#[derive(Debug, Clone)]
pub struct Account {
    budget: Budget,
    bucket: Arc<Bucket>,
    terms: Arc<Terms>,
    /// Requests of the whole tenant, where that has a quota.
    tenant: Option<(Arc<Bucket>, Quota)>,
}

impl Account {
    fn quota(&self) -> Option<Quota> {
        self.terms.quotas[self.budget as usize]
    }
}

/// What the settings say.
#[derive(Debug)]
struct Terms {
    quotas: [Option<Quota>; 3],
    policies: [HeaderValue; 3],
    proxies: Vec<Network>,
}

impl Terms {
    fn new(limits: &RateLimits, proxies: Vec<Network>) -> Arc<Terms> {
        let window = Duration::from_secs(limits.window_s);
        let policy = |budget: Budget| {
            let text = format!("\"{}\";q={};w={}", budget.name(), limits.units(budget), limits.window_s);
            HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"default\""))
        };
        Arc::new(Terms {
            quotas: Budget::ALL.map(|budget| Quota::new(limits.units(budget), window)),
            policies: Budget::ALL.map(policy),
            proxies,
        })
    }
}

/// Every budget.
#[derive(Debug)]
pub struct Rates {
    origin: Instant,
    /// Read where an account is found, not where it is charged.
    terms: RwLock<Arc<Terms>>,
    holders: Cache<Holder, Arc<Bucket>>,
    addresses: Cache<(Budget, IpAddr), Arc<Bucket>>,
    tenants: Cache<TenantKey, Arc<Bucket>>,
}

impl Budget {
    const ALL: [Budget; 3] = [Budget::Key, Budget::Anonymous, Budget::Refused];

    /// Its name in the headers.
    const fn name(self) -> &'static str {
        match self {
            Budget::Key => "default",
            Budget::Anonymous => "anonymous",
            Budget::Refused => "refused-tokens",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Budget::Key => "this key has asked for more than it may",
            Budget::Anonymous => "this address has asked for more than it may without a key",
            Budget::Refused => "too many tokens from this address were refused",
        }
    }
}

impl Rates {
    /// Budgets as configured, all full. `proxies` are those that were read from `limits`.
    #[must_use]
    pub fn new(limits: &RateLimits, proxies: Vec<Network>) -> Rates {
        Rates {
            origin: Instant::now(),
            terms: RwLock::new(Terms::new(limits, proxies)),
            holders: Cache::builder().max_capacity(REMEMBERED).time_to_idle(LONGEST_WINDOW).build(),
            addresses: Cache::builder().max_capacity(REMEMBERED).time_to_idle(LONGEST_WINDOW).build(),
            tenants: Cache::builder().max_capacity(REMEMBERED).time_to_idle(LONGEST_WINDOW).build(),
        }
    }

    /// Takes over other settings. Accounts that were found before keep the old ones.
    pub(crate) fn change(&self, limits: &RateLimits, proxies: Vec<Network>) {
        *self.terms.write() = Terms::new(limits, proxies);
    }

    fn terms(&self) -> Arc<Terms> {
        self.terms.read().clone()
    }

    /// The account of a key or session.
    #[must_use]
    pub fn of_holder(&self, holder: Holder) -> Account {
        let bucket = self.holders.get_with(holder, Arc::default);
        Account { budget: Budget::Key, bucket, terms: self.terms(), tenant: None }
    }

    /// The account of a key whose tenant may make so many requests a second with all of its keys.
    #[must_use]
    pub fn of_tenants_key(&self, holder: Holder, tenant: TenantKey, per_second: Option<u32>) -> Account {
        let quota = per_second.and_then(|most| Quota::new(most.into(), Duration::from_secs(1)));
        let shared = quota.map(|quota| (self.tenants.get_with(tenant, Arc::default), quota));
        Account { tenant: shared, ..self.of_holder(holder) }
    }

    /// The account of the address that a request comes from.
    #[must_use]
    pub fn of_address(&self, budget: Budget, peer: IpAddr, headers: &HeaderMap) -> Account {
        let terms = self.terms();
        let address = one_caller(address::client(peer, headers, &terms.proxies));
        let bucket = self.addresses.get_with((budget, address), Arc::default);
        Account { budget, bucket, terms, tenant: None }
    }

    /// The address that a request comes from, through listed proxies.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        address::client(peer, headers, &self.terms().proxies)
    }

    /// Budgets of keys and of addresses that are remembered.
    #[must_use]
    pub fn remembered(&self) -> (u64, u64) {
        (self.holders.entry_count(), self.addresses.entry_count())
    }

    /// Whether this is a listed proxy, which speaks for many.
    #[must_use]
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        self.terms().proxies.iter().any(|proxy| proxy.contains(peer))
    }

    /// Lets a request of `cost` units in.
    ///
    /// # Errors
    /// `quota_exceeded` of the tenant, else as [`Self::charge`].
    pub fn enter(&self, account: &Account, cost: u64, now: Instant) -> ApiResult<()> {
        if let Some((requests, quota)) = &account.tenant {
            requests.take(*quota, 1, self.ns(now)).map_err(|_| tenant_refused(*quota))?;
        }
        self.charge(account, cost, now)
    }

    /// Takes `cost` units.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn charge(&self, account: &Account, cost: u64, now: Instant) -> ApiResult<()> {
        let Some(quota) = account.quota() else {
            return Ok(());
        };
        account.bucket.take(quota, cost, self.ns(now)).map_err(|wait| refused(account.budget, wait))
    }

    /// Takes what a call costs beyond its price at the door.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn charge_more(&self, principal: &Principal, cost: usize) -> ApiResult<()> {
        match principal.account() {
            Some(account) if cost > 0 => self.charge(account, cost as u64, Instant::now()),
            _ => Ok(()),
        }
    }

    /// Whether there is nothing left.
    ///
    /// # Errors
    /// `rate_limited`, with the time until there is.
    pub fn check(&self, account: &Account, now: Instant) -> ApiResult<()> {
        let Some(quota) = account.quota() else {
            return Ok(());
        };
        match account.bucket.level(quota, self.ns(now)).left {
            0 => Err(refused(account.budget, Duration::from_secs(1))),
            _ => Ok(()),
        }
    }

    /// Says how an account stands. Nothing where there is no limit.
    pub fn tell(&self, headers: &mut HeaderMap, account: &Account, now: Instant) {
        let Some(quota) = account.quota() else {
            return;
        };
        let level = account.bucket.level(quota, self.ns(now));
        headers.insert(RATELIMIT_POLICY, account.terms.policies[account.budget as usize].clone());
        let mut text = Vec::with_capacity(64);
        // Memory takes all that is written.
        let _ = write!(text, "\"{}\";r={};t={}", account.budget.name(), level.left, level.full_in_s);
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
            headers.insert(RATELIMIT, value);
        }
    }

    fn ns(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn tenant_refused(quota: Quota) -> ApiError {
    let detail = format!("the tenant's quota of requests_per_second is used up: {} of {0}", quota.units);
    ApiError::because(Code::QuotaExceeded, detail.clone())
        .at("requests_per_second", "quota", detail)
        .retry_after(1)
}

fn refused(budget: Budget, wait: Duration) -> ApiError {
    let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
    ApiError::because(Code::RateLimited, format!("{}; come back in {seconds} s", budget.words()))
        .retry_after(seconds)
}
