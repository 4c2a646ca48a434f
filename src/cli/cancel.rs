//! `dojang cancel`: asks a job to stop for good.

use clap::Args;
use uuid::Uuid;

use super::client::Client;
use super::error::{CliError, Ended};
use super::out;
use super::watch::ServerArgs;

/// Ask a job to stop; its last checkpoint is kept, and `dojang resume` goes on from it
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The job's id
    #[arg(value_name = "ID")]
    id: Uuid,
    #[command(flatten)]
    server: ServerArgs,
}

/// Cancels a job; one that has ended stays as it is.
pub(crate) async fn run(args: CancelArgs) -> Result<Ended, CliError> {
    let job = Client::new(args.server.server)?.ask_of(args.id, "cancel").await?;
    let line = if job.status.is_final() { format!("{}", job.status) } else { "stopping".into() };
    out::result(&line).map_err(CliError::Stdout)?;
    Ok(Ended::Well)
}
