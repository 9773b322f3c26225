//! How many connections each address has: one word an address, for as long as it has any, so that
//! there are never more of them than connections.

use crate::rates::one_caller;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Counts of connections by address.
#[derive(Debug)]
pub(super) struct Places {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    each: usize,
}

/// One connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Places {
    /// None taken; `each` address may have so many.
    pub(super) fn new(each: usize) -> Places {
        Places { counts: Arc::default(), each }
    }

    /// One more place for `address`; `None` when it has all that it may have.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = one_caller(address);
        let mut counts = self.counts.lock();
        let taken = counts.get(&address).copied().unwrap_or_default();
        if taken >= self.each {
            return None;
        }
        counts.insert(address, taken + 1);
        Some(Place { counts: self.counts.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        let left = counts.get(&self.address).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            counts.remove(&self.address);
        } else {
            counts.insert(self.address, left);
        }
    }
}

/// What an address with too many connections is told, before a request was read.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    cache-control: no-store\r\n\
    retry-after: 5\r\n\
    connection: close\r\n\
    content-length: 228\r\n\r\n\
    {\"type\":\"/problems/overloaded\",\"title\":\"The coordinator is busy; nothing was changed\",\"status\":503,\
    \"detail\":\"your address has too many connections; close some\",\"instance\":\"/\",\"code\":\"overloaded\",\
    \"request_id\":\"\",\"retryable\":true}";

/// Says why, as far as the socket takes it at once, and hangs up.
pub(super) fn refuse(stream: &TcpStream) {
    // Nobody is owed more than the closed connection.
    let _ = stream.try_write(REFUSAL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let places = Places::new(2);
        let of = |text: &str| places.take(text.parse().unwrap());
        let (one, two) = (of("192.0.2.1"), of("192.0.2.1"));
        assert!(one.is_some() && two.is_some() && of("192.0.2.1").is_none());
        assert!(of("::ffff:192.0.2.1").is_none(), "the same address");
        assert!(of("192.0.2.2").is_some());
        drop(one);
        assert!(of("192.0.2.1").is_some());
        drop(two);
        assert!(places.counts.lock().is_empty(), "nothing is remembered of those who left");
    }

    #[test]
    fn the_refusal_is_a_problem_of_the_length_that_it_says() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let problem: ciro_api::problem::Problem = serde_json::from_str(body).unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (503, "overloaded"));
    }
}
