//! A server inside this process, for `demo` and `train --local`.

use std::future::Future;
use std::net::SocketAddr;

use reqwest::Url;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::error::CliError;
use super::lock::DataLock;
use crate::app::{AppError, Bound, make_data_dir};

/// A running server.
#[derive(Debug)]
pub(crate) struct Embedded {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), AppError>>,
    /// Given back after the server is gone.
    _lock: DataLock,
}

impl Embedded {
    /// Starts one.
    ///
    /// # Errors
    /// If it cannot be built.
    pub(crate) async fn start(bound: Bound) -> Result<Self, CliError> {
        make_data_dir(bound.data_dir())?;
        let lock = DataLock::take(bound.data_dir())?;
        let app = Box::pin(bound.build()).await?;
        let addr = app.addr();
        let stop = CancellationToken::new();
        let until = stop.clone();
        let task = tokio::spawn(Box::pin(app.run_until_stopped(async move { until.cancelled().await })));
        Ok(Self { addr, stop, task, _lock: lock })
    }

    /// A client of it.
    ///
    /// # Errors
    /// If this program cannot make requests.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        let url = Url::parse(&format!("http://{}", self.addr)).map_err(|error| CliError::Other(error.to_string()))?;
        Ok(Client::new(url)?)
    }

    /// Does `work` while the server runs, then stops the server, in whatever way `work` ended.
    ///
    /// # Errors
    /// That of `work`; that of the server.
    pub(crate) async fn during<T>(mut self, work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
        let result = tokio::select! {
            result = Box::pin(work) => result,
            ended = &mut self.task => {
                flatten(ended)?;
                return Err(CliError::Other("the server stopped by itself".into()));
            }
        };
        self.stop.cancel();
        let ended = flatten(self.task.await);
        let value = result?;
        ended?;
        Ok(value)
    }
}

fn flatten(ended: Result<Result<(), AppError>, tokio::task::JoinError>) -> Result<(), CliError> {
    match ended {
        Ok(result) => Ok(result?),
        Err(error) => Err(CliError::Other(format!("the server broke: {error}"))),
    }
}
