//! Connections: accepted up to a bound, and up to another one from each address, without delay of
//! small packets, with a pace that slow senders and slow readers must keep. On shutdown no connection is accepted any more, idle ones are closed, and
//! each of the others ends with the answer that is under way.

use super::aliases;
use super::extract::Peer;
use super::paced::{Pace, Paced, Times};
use super::places::{self, Places};
use crate::app::App;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tower::Service;

pub(crate) const BACKLOG: u32 = 4_096;
/// The largest head of a request, bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Rest after a failed accept (too many open files), so that the loop does not spin.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// An address that is ours, not yet served.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    /// Host and port as bound.
    pub address: SocketAddr,
}

/// Takes the address `host:port`; port 0 picks one.
///
/// # Errors
/// When the name has no address, or the address is in use.
pub async fn bind(host: &str, port: u16) -> io::Result<Listening> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address"));
    for address in lookup_host((host, port)).await? {
        match listen(address) {
            Ok(listener) => {
                return Ok(Listening { address: listener.local_addr()?, listener });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listening {
    /// Serves until the program drains; connections that are open then end on their own tasks.
    pub async fn serve(self, app: App, router: Router) {
        let permits = Arc::new(Semaphore::new(app.config.limits.connections));
        let places = Places::new(app.config.limits.connections_per_address);
        loop {
            let permit = tokio::select! {
                () = app.tasks.draining() => return,
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            let Ok(permit) = permit else { return };
            let accepted = tokio::select! {
                () = app.tasks.draining() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let peer = peer.ip().to_canonical();
                    let place = match app.rates.is_proxy(peer) {
                        true => None,
                        false => match places.take(peer) {
                            Some(place) => Some(place),
                            None => {
                                app.metrics.connections_refused.inc();
                                places::refuse(&stream);
                                continue;
                            }
                        },
                    };
                    let (connection_app, router) = (app.clone(), router.clone());
                    app.tasks.spawn(async move {
                        connection_app.metrics.connections.inc();
                        connection(&connection_app, stream, Peer(peer), router).await;
                        connection_app.metrics.connections.dec();
                        drop((permit, place));
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

async fn connection(app: &App, stream: TcpStream, peer: Peer, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "a connection was gone before it was served");
        return;
    }
    let pace = Pace::default();
    let io = TokioIo::new(Paced::new(stream, pace.clone(), Times::of(&app.config.limits)));
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        pace.busy();
        let mut request: Request = request.map(Body::new);
        aliases::rewrite(&mut request);
        request.extensions_mut().insert(peer);
        let answer = router.clone().call(request);
        let pace = pace.clone();
        async move {
            let answer = answer.await;
            pace.idle();
            answer
        }
    });
    let serving = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).serve_connection(io, service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = app.tasks.draining() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended early");
    }
}
