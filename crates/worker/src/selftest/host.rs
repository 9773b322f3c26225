//! What stands outside for probes to reach: listeners on this machine's loopback and its sockets, a
//! file with a secret. Whether anything came is asked of these, not of the probes.

use super::Bench;
use std::fs;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

/// Targets, while they stand.
#[derive(Debug)]
pub(super) struct Host {
    tcp: TcpListener,
    udp: UdpSocket,
    abstract_socket: UnixListener,
    path_socket: UnixListener,
    abstract_name: String,
    socket_path: PathBuf,
    secret: PathBuf,
}

impl Host {
    pub(super) fn new(bench: &Bench) -> io::Result<Host> {
        let abstract_name = format!("ciro-selftest-{}", std::process::id());
        let (socket_path, secret) = (bench.path().join("socket"), bench.path().join("secret"));
        fs::write(&secret, "secret")?;
        let host = Host {
            tcp: TcpListener::bind("127.0.0.1:0")?,
            udp: UdpSocket::bind("127.0.0.1:0")?,
            abstract_socket: UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?,
            path_socket: UnixListener::bind(&socket_path)?,
            abstract_name,
            socket_path,
            secret,
        };
        host.tcp.set_nonblocking(true)?;
        host.udp.set_nonblocking(true)?;
        host.abstract_socket.set_nonblocking(true)?;
        host.path_socket.set_nonblocking(true)?;
        Ok(host)
    }

    /// What the probe `name` has to know of it.
    pub(super) fn args(&self, name: &str) -> io::Result<Vec<String>> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        Ok(match name {
            "tcp-loopback" => vec![self.tcp.local_addr()?.to_string()],
            "udp-loopback" => vec![self.udp.local_addr()?.to_string()],
            "abstract-socket" => vec![self.abstract_name.clone()],
            "path-socket" => vec![path(&self.socket_path)],
            "host-file" | "host-file-by-proc" => vec![path(&self.secret)],
            "signal-worker" => vec![std::process::id().to_string()],
            _ => Vec::new(),
        })
    }

    /// What was reached, if anything was.
    pub(super) fn reached(&self) -> Option<&'static str> {
        let reached = [
            (self.tcp.accept().is_ok(), "a TCP connection came"),
            (self.udp.recv(&mut [0; 16]).is_ok(), "a datagram came"),
            (self.abstract_socket.accept().is_ok(), "a connection to the abstract socket came"),
            (self.path_socket.accept().is_ok(), "a connection to the socket came"),
        ];
        reached.into_iter().find_map(|(came, what)| came.then_some(what))
    }
}
