//! The accept loop: HTTP/1.1 by hyper, with the timeouts and the cap that axum's plain `serve` does not set.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::router::router;
use super::socket::Socket;
use super::timer::PatientTimer;
use crate::supervisor::{Failpoint, Supervisor, Task};

/// How long clients may take, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// Longest wait for a request's header, so also the longest idle time between two requests.
    pub header_timeout: Duration,
    /// Longest time that a reader may take nothing.
    pub write_stall: Duration,
    /// Longest wait of a request for memory that others hold.
    pub memory_wait: Duration,
    /// Longest wait for connections to end at shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            header_timeout: Duration::from_secs(30),
            // With what its buffers hold before it shows, a reader that stalls is gone after half a minute.
            write_stall: Duration::from_secs(20),
            memory_wait: Duration::from_secs(10),
            drain: Duration::from_secs(3),
        }
    }
}

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
}

impl Server {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub async fn bind(addr: SocketAddr, limits: Limits) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(addr).await?, limits })
    }

    /// The bound address.
    ///
    /// # Errors
    /// If the system does not tell it.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` resolves, then lets the requests under way finish.
    pub async fn serve(self, api: Api, supervisor: &Supervisor, stop: impl Future<Output = ()>) {
        let (stalled, router) = (api.meters.stalled.clone(), router(api));
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(self.limits.connections));
        let accept = || async {
            loop {
                supervisor.failpoint(Failpoint::AcceptLoop);
                let permit = room.clone().acquire_owned().await;
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let socket = Socket::new(stream, self.limits.write_stall, stalled.clone());
                        self.handle(socket, router.clone(), &graceful, permit);
                    }
                    Err(error) => {
                        // Out of file descriptors, mostly: others will close some.
                        tracing::warn!(%error, "failed to accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        let mut stop = std::pin::pin!(stop);
        // Never cancelled: the loop is dropped at a stop, and ends by itself only if it cannot be kept alive.
        let never = CancellationToken::new();
        tokio::select! {
            () = supervisor.run(Task::AcceptLoop, &never, accept) => stop.await,
            () = &mut stop => {}
        }
        drop(self.listener);
        if tokio::time::timeout(self.limits.drain, graceful.shutdown()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }

    fn handle(&self, socket: Socket, router: Router, graceful: &GracefulShutdown, permit: impl Send + 'static) {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(PatientTimer).header_read_timeout(self.limits.header_timeout).max_buf_size(64 << 10);
        let io = TokioIo::new(socket);
        let connection = graceful.watch(http.serve_connection(io, TowerToHyperService::new(router)));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
}
