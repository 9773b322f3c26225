//! One thread that starts every attempt's process. The kernel ties the death signal of a child to
//! the *thread* that started it, and the threads of a runtime come and go; this one lives as long
//! as the executor.

use std::io;
use std::sync::mpsc;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Order {
    command: Command,
    runtime: Handle,
    started: oneshot::Sender<io::Result<Child>>,
}

/// Handle of the thread; the thread ends with the last one.
#[derive(Debug, Clone)]
pub(crate) struct Spawner(mpsc::Sender<Order>);

impl Spawner {
    pub(crate) fn new() -> io::Result<Self> {
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::Builder::new().name("attempt-spawner".into()).spawn(move || {
            for mut order in received {
                let _runtime = order.runtime.enter();
                // Where nobody waits any more the child is dropped, which kills it.
                let _ = order.started.send(order.command.spawn());
            }
        })?;
        Ok(Spawner(orders))
    }

    /// Starts `command`. Waiting callers are as many as there are attempts: no other bound is needed.
    pub(crate) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (started, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.0.send(Order { command, runtime: Handle::current(), started }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
