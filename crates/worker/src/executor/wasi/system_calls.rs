//! Arguments, environment, time, randomness; and what a job cannot do: signals and sockets.

use super::abi::Errno;
use super::clock::Clock;
use super::fault::Stop;
use super::guest::Guest;

type Answer = Result<(), Stop>;

/// Bytes of `texts` with a NUL behind each. The request bounds them far below 4 GiB.
fn packed_bytes(texts: &[String]) -> u32 {
    texts.iter().map(|text| text.len() as u32 + 1).sum()
}

fn put_sizes(guest: &mut Guest<'_>, count: u32, size: u32, texts: (u32, u32)) -> Answer {
    guest.put_u32(count, texts.0)?;
    guest.put_u32(size, texts.1)
}

/// Writes `texts` NUL-terminated one behind the other, and a table of pointers to them.
fn put_texts(guest: &mut Guest<'_>, table: u32, buffer: u32, texts: &[String]) -> Answer {
    let (mut slot, mut at) = (table, buffer);
    for text in texts {
        guest.put_u32(slot, at)?;
        guest.put(at, text.as_bytes())?;
        let end = at.checked_add(text.len() as u32).ok_or(Errno::Fault)?;
        guest.put(end, &[0])?;
        at = end.checked_add(1).ok_or(Errno::Fault)?;
        slot = slot.checked_add(4).ok_or(Errno::Fault)?;
    }
    Ok(())
}

pub(super) fn args_sizes_get(guest: &mut Guest<'_>, count: u32, size: u32) -> Answer {
    let sizes = (guest.host.args.len() as u32, packed_bytes(&guest.host.args));
    put_sizes(guest, count, size, sizes)
}

pub(super) fn args_get(guest: &mut Guest<'_>, argv: u32, buffer: u32) -> Answer {
    let args = guest.host.args.clone();
    put_texts(guest, argv, buffer, &args)
}

pub(super) fn environ_sizes_get(guest: &mut Guest<'_>, count: u32, size: u32) -> Answer {
    let sizes = (guest.host.env.len() as u32, packed_bytes(&guest.host.env));
    put_sizes(guest, count, size, sizes)
}

pub(super) fn environ_get(guest: &mut Guest<'_>, environ: u32, buffer: u32) -> Answer {
    let env = guest.host.env.clone();
    put_texts(guest, environ, buffer, &env)
}

pub(super) fn clock_res_get(guest: &mut Guest<'_>, id: u32, resolution: u32) -> Answer {
    guest.put_u64(resolution, Clock::resolution_ns(id)?)
}

pub(super) fn clock_time_get(guest: &mut Guest<'_>, id: u32, _precision: u64, time: u32) -> Answer {
    let now = guest.host.clock.read_ns(id)?;
    guest.put_u64(time, now)
}

pub(super) fn random_get(guest: &mut Guest<'_>, buffer: u32, length: u32) -> Answer {
    let start = buffer as usize;
    let end = start.checked_add(length as usize).ok_or(Errno::Fault)?;
    let bytes = guest.memory.get_mut(start..end).ok_or(Errno::Fault)?;
    guest.host.random.fill(bytes);
    Ok(())
}

/// There is nobody to yield to.
pub(super) fn sched_yield(_: &mut Guest<'_>) -> Answer {
    Ok(())
}

pub(super) fn proc_raise(_: &mut Guest<'_>, _signal: u32) -> Answer {
    Err(Errno::Nosys.into())
}

pub(super) fn sock_accept(_: &mut Guest<'_>, _fd: u32, _flags: u32, _accepted: u32) -> Answer {
    Err(Errno::Nosys.into())
}

pub(super) fn sock_recv(
    _: &mut Guest<'_>,
    _fd: u32,
    _data: u32,
    _count: u32,
    _flags: u32,
    _size: u32,
    _out_flags: u32,
) -> Answer {
    Err(Errno::Nosys.into())
}

pub(super) fn sock_send(
    _: &mut Guest<'_>,
    _fd: u32,
    _data: u32,
    _count: u32,
    _flags: u32,
    _size: u32,
) -> Answer {
    Err(Errno::Nosys.into())
}

pub(super) fn sock_shutdown(_: &mut Guest<'_>, _fd: u32, _how: u32) -> Answer {
    Err(Errno::Nosys.into())
}
