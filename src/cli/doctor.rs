//! `dojang doctor`: looks over the data.

use std::path::{Path, PathBuf};

use clap::Args;

use super::error::{CliError, Ended};
use super::format::count;
use super::lock::DataLock;
use super::out::{self, say};
use crate::store::{Inspection, StoreError, vacuum};

const EXAMPLES: &str = "\
Examples:
  dojang doctor --data-dir /var/lib/dojang
  dojang doctor --vacuum            also make the database compact; no server may run

Prints each fault on a line of its own, and exits with 1 if there is any. Nothing is changed but by --vacuum.";

/// Check the database and the SHA-256 of all weights and checkpoints, also while a server runs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// If all is well, write the database anew without free pages; needed once where it was made without auto_vacuum
    #[arg(long)]
    vacuum: bool,
}

/// The data folder of those commands that need no server.
#[derive(Debug, Clone, Args)]
pub(crate) struct FolderArgs {
    /// Folder of the database and the datasets
    #[arg(long, env = "DOJANG_DATA_DIR", value_name = "DIR", default_value = "./dojang-data")]
    pub(crate) data_dir: PathBuf,
}

impl FolderArgs {
    /// The database in the folder.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn database(&self) -> Result<PathBuf, CliError> {
        let file = self.data_dir.join("dojang.db");
        std::fs::metadata(&file).map_err(CliError::file(&file))?;
        Ok(file)
    }
}

/// Looks everything over and tells what it finds.
pub(crate) async fn run(args: DoctorArgs) -> Result<Ended, CliError> {
    let file = args.folder.database()?;
    let failed = failed_on(&file);
    let mut inspection = Inspection::open(&file).await.map_err(&failed)?;
    let findings = inspection.look_over().await.map_err(&failed)?;
    for fault in &findings.faults {
        out::result(&out::tame(fault)).map_err(CliError::Stdout)?;
    }
    if !findings.faults.is_empty() {
        say("the damaged weights and checkpoints are not used; a backup may have them whole");
        return Ok(Ended::Badly);
    }
    let (weights, checkpoints) = (count(findings.weights as usize), count(findings.checkpoints as usize));
    out::result(&format!("no faults; weights: {weights}, checkpoints: {checkpoints}")).map_err(CliError::Stdout)?;
    if !args.vacuum && !inspection.gives_space_back().await.map_err(&failed)? {
        say("freed space is not given back to the disk; `dojang doctor --vacuum` changes that, once");
    }
    inspection.close().await.map_err(&failed)?;
    if args.vacuum {
        make_compact(&args.folder.data_dir, &file).await?;
    }
    Ok(Ended::Well)
}

async fn make_compact(data_dir: &Path, file: &Path) -> Result<(), CliError> {
    let _lock = DataLock::take(data_dir)?;
    let bytes = || std::fs::metadata(file).map(|file| file.len()).map_err(CliError::file(file));
    let before = bytes()?;
    vacuum(file).await.map_err(failed_on(file))?;
    let line = format!("bytes before: {}, now: {}", count(before as usize), count(bytes()? as usize));
    out::result(&line).map_err(CliError::Stdout)
}

/// Turns the failure of a database into one that names its file.
pub(crate) fn failed_on(file: &Path) -> impl Fn(StoreError) -> CliError + '_ {
    |error| CliError::Other(format!("{}: {error}", file.display()))
}
