//! Waiting. A descriptor is always ready, so a set that names one returns at once; a set of clocks
//! really waits for the earliest and moves the virtual clock there.

use super::abi::{
    CLOCK_ABSOLUTE, EVENT_BYTES, EVENT_CLOCK, EVENT_FD_READ, EVENT_FD_WRITE, Errno, SUBSCRIPTION_BYTES,
};
use super::descriptors::Descriptor;
use super::fault::Stop;
use super::guest::Guest;

const MAX_SUBSCRIPTIONS: u32 = 1024;

/// What is waited for.
#[derive(Clone, Copy)]
enum Wait {
    Until { deadline_ns: u64 },
    Ready { bytes: u64 },
    Wrong(Errno),
}

struct Subscription {
    user_data: u64,
    kind: u8,
    wait: Wait,
}

pub(super) fn poll_oneoff(
    guest: &mut Guest<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    ready: u32,
) -> Result<(), Stop> {
    if count == 0 || count > MAX_SUBSCRIPTIONS {
        return Err(Errno::Inval.into());
    }
    let asked = (0..count)
        .map(|index| read_subscription(guest, subscriptions.checked_add(index * SUBSCRIPTION_BYTES)))
        .collect::<Result<Vec<_>, Stop>>()?;
    let deadlines = asked.iter().map(|subscription| match subscription.wait {
        Wait::Until { deadline_ns } => Some(deadline_ns),
        Wait::Ready { .. } | Wait::Wrong(_) => None,
    });
    // One that is not a clock is an answer already, and makes the whole set ready.
    if let Some(earliest) = deadlines.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min()) {
        guest.host.clock.sleep_until(earliest);
    }
    let mut written = 0;
    for subscription in &asked {
        if let Some((errno, bytes)) = outcome(guest, subscription.wait) {
            let at = events.checked_add(written * EVENT_BYTES).ok_or(Errno::Fault)?;
            guest.put(at, &event(subscription, errno, bytes))?;
            written += 1;
        }
    }
    guest.put_u32(ready, written)
}

/// Error number and readable bytes of one that has come true.
fn outcome(guest: &Guest<'_>, wait: Wait) -> Option<(u16, u64)> {
    match wait {
        Wait::Until { deadline_ns } => guest.host.clock.has_reached(deadline_ns).then_some((0, 0)),
        Wait::Ready { bytes } => Some((0, bytes)),
        Wait::Wrong(errno) => Some((errno as u16, 0)),
    }
}

fn event(subscription: &Subscription, errno: u16, bytes: u64) -> [u8; EVENT_BYTES as usize] {
    let mut event = [0; EVENT_BYTES as usize];
    event[0..8].copy_from_slice(&subscription.user_data.to_le_bytes());
    event[8..10].copy_from_slice(&errno.to_le_bytes());
    event[10] = subscription.kind;
    event[16..24].copy_from_slice(&bytes.to_le_bytes());
    event
}

fn read_subscription(guest: &Guest<'_>, at: Option<u32>) -> Result<Subscription, Stop> {
    let at = at.filter(|at| at.checked_add(SUBSCRIPTION_BYTES).is_some()).ok_or(Errno::Fault)?;
    let kind = guest.u8(at + 8)?;
    let wait = match kind {
        EVENT_CLOCK => {
            let (id, timeout, flags) = (guest.u32(at + 16)?, guest.u64(at + 24)?, guest.u16(at + 40)?);
            match guest.host.clock.deadline_ns(id, timeout, flags & CLOCK_ABSOLUTE != 0) {
                Ok(deadline_ns) => Wait::Until { deadline_ns },
                Err(errno) => Wait::Wrong(errno),
            }
        }
        EVENT_FD_READ | EVENT_FD_WRITE => match readiness(guest, guest.u32(at + 16)?, kind) {
            Ok(bytes) => Wait::Ready { bytes },
            Err(errno) => Wait::Wrong(errno),
        },
        _ => return Err(Errno::Inval.into()),
    };
    Ok(Subscription { user_data: guest.u64(at)?, kind, wait })
}

/// Bytes left to read; writing is always possible.
fn readiness(guest: &Guest<'_>, fd: u32, kind: u8) -> Result<u64, Errno> {
    match (guest.host.descriptors.get(fd)?, kind) {
        (Descriptor::Empty, EVENT_FD_READ) | (Descriptor::Log(_), EVENT_FD_WRITE) => Ok(0),
        (Descriptor::File(file), EVENT_FD_READ) if file.read => {
            Ok(guest.host.tree.stat(file.ino)?.size.saturating_sub(file.position))
        }
        (Descriptor::File(file), EVENT_FD_WRITE) if file.write => Ok(0),
        _ => Err(Errno::Badf),
    }
}
