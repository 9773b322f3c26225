//! Whether a port is free, and who has it otherwise.

use super::Check;
use ciro_api::client::Client;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

/// `LISTEN` in the kernel's table of sockets.
const LISTENING: &str = "0A";

pub(super) async fn check(port: u16) -> Check {
    const NAME: &str = "port";
    if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
        return Check::ok(NAME, format!("{port} is free"));
    }
    let url = format!("http://127.0.0.1:{port}");
    if let Ok(client) = Client::new(&url, None)
        && super::server::health(&client).await.is_ok()
    {
        return Check::ok(NAME, format!("a coordinator answers at {url}"));
    }
    let who = holder(port).map(|who| format!(" by {who}")).unwrap_or_default();
    Check::failed(NAME, format!("{port} is in use{who}"), "stop that program, or `ciro dev --port 0`")
}

/// Which program listens on the port: `pid 4211 (nginx)`, where this user may see it.
pub(crate) fn holder(port: u16) -> Option<String> {
    let socket = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| socket(table, port))?;
    let wanted = format!("socket:[{socket}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let numbered =
        processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let owner = numbered.map(|entry| entry.path()).find(|process| has(process, &wanted))?;
    let name = std::fs::read_to_string(owner.join("comm")).unwrap_or_default();
    Some(format!("pid {} ({})", owner.file_name()?.to_str()?, name.trim()))
}

/// The inode of the socket that listens on the port.
fn socket(table: &str, port: u16) -> Option<String> {
    let text = std::fs::read_to_string(table).ok()?;
    let listens = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().and_then(|address| address.rsplit_once(':'));
        let here = local.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port));
        here && fields.nth(1) == Some(LISTENING)
    };
    let line = text.lines().find(listens)?;
    line.split_whitespace().nth(9).map(str::to_owned)
}

fn has(process: &Path, wanted: &str) -> bool {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else {
        return false;
    };
    let mut targets = descriptors.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    targets.any(|target| target.as_os_str() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let who = holder(port).unwrap();
        assert!(who.starts_with(&format!("pid {} (", std::process::id())), "{who}");
        drop(listener);
        assert_eq!(holder(port), None);
    }
}
