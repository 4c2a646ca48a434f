//! `dojang pause`: asks a job to stop for now.

use clap::Args;
use uuid::Uuid;

use super::client::Client;
use super::error::{CliError, Ended};
use super::out;
use super::watch::ServerArgs;
use crate::job::status::Status;

/// Ask a job to stop for now, with a checkpoint; `dojang resume` goes on from it
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The job's id
    #[arg(value_name = "ID")]
    id: Uuid,
    #[command(flatten)]
    server: ServerArgs,
}

/// Pauses a job; one that is paused stays as it is, one that has ended is an error.
pub(crate) async fn run(args: PauseArgs) -> Result<Ended, CliError> {
    let job = Client::new(args.server.server)?.ask_of(args.id, "pause").await?;
    let line = if job.status == Status::Running { "pausing".into() } else { job.status.to_string() };
    out::result(&line).map_err(CliError::Stdout)?;
    Ok(Ended::Well)
}
