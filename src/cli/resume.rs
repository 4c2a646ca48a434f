//! `dojang resume`: lets a job go on.

use clap::Args;
use uuid::Uuid;

use super::client::Client;
use super::error::{CliError, Ended};
use super::out;
use super::watch::ServerArgs;

/// Let a job go on that was paused or cancelled, from its last checkpoint
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The job's id
    #[arg(value_name = "ID")]
    id: Uuid,
    #[command(flatten)]
    server: ServerArgs,
}

/// Resumes a job; one that waits or runs stays as it is, one that has ended by itself is an error.
pub(crate) async fn run(args: ResumeArgs) -> Result<Ended, CliError> {
    let job = Client::new(args.server.server)?.ask_of(args.id, "resume").await?;
    out::result(job.status.as_str()).map_err(CliError::Stdout)?;
    Ok(Ended::Well)
}
