//! `dojang backup`: a copy of the data as of one moment.

use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::NamedTempFile;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::doctor::{FolderArgs, failed_on};
use super::error::{CliError, Ended};
use super::format::count;
use super::out;
use crate::data::library::files_below;
use crate::store::Inspection;

const EXAMPLES: &str = "\
Examples:
  dojang backup monday.zip --data-dir /var/lib/dojang
  unzip monday.zip -d restored && dojang serve --data-dir restored

The archive holds the database (jobs, logs, checkpoints, weights, models) and the uploaded and downloaded datasets of \
the data folder; not those of --mnist-dir and --fashion-mnist-dir, which lie elsewhere.";

/// Copy the data into a ZIP archive, also while a server runs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BackupArgs {
    /// The archive to write; it must not be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    folder: FolderArgs,
}

/// Writes the archive: whole, or not at all.
pub(crate) async fn run(args: BackupArgs) -> Result<Ended, CliError> {
    let database = args.folder.database()?;
    let file = args.file;
    if fs::symlink_metadata(&file).is_ok() {
        return Err(CliError::Other(format!("{} exists already; a backup never replaces a file", file.display())));
    }
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // On the disk of the archive, as that is where there is room.
    let work = tempfile::Builder::new().prefix(".dojang-backup-").tempdir_in(parent).map_err(CliError::file(parent))?;
    let copy = work.path().join("dojang.db");
    let mut inspection = Inspection::open(&database).await.map_err(failed_on(&database))?;
    inspection.copy_to(&copy).await.map_err(failed_on(&database))?;
    inspection.close().await.map_err(failed_on(&database))?;
    let datasets = args.folder.data_dir.join("datasets");
    // After the database: what that says is needed is there, unless it is removed right now.
    let pack = move || {
        let bytes = pack(&copy, &datasets, work.path(), &file)?;
        drop(work);
        out::result(&format!("{}: {} bytes", file.display(), count(bytes as usize))).map_err(CliError::Stdout)
    };
    tokio::task::spawn_blocking(pack).await.map_err(|error| CliError::Other(error.to_string()))??;
    Ok(Ended::Well)
}

/// Packs a copy of the database and the datasets into an archive; returns its size.
fn pack(database: &Path, datasets: &Path, work: &Path, file: &Path) -> Result<u64, CliError> {
    let mut archive = ZipWriter::new(NamedTempFile::new_in(work).map_err(CliError::file(work))?);
    add(&mut archive, database, "dojang.db".into()).map_err(CliError::file(database))?;
    for path in files_below(datasets) {
        let inside = path.strip_prefix(datasets).unwrap_or(&path);
        let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        add(&mut archive, &path, format!("datasets/{}", parts.join("/"))).map_err(CliError::file(&path))?;
    }
    let written = archive.finish().map_err(|error| CliError::file(file)(error.into()))?;
    written.as_file().sync_all().map_err(CliError::file(file))?;
    let kept = written.persist_noclobber(file).map_err(|error| CliError::file(file)(error.error))?;
    Ok(kept.metadata().map_err(CliError::file(file))?.len())
}

fn add(archive: &mut ZipWriter<NamedTempFile>, path: &Path, name: String) -> io::Result<()> {
    let source = File::open(path)?;
    // Weights hardly shrink: the fastest level.
    let options = SimpleFileOptions::default()
        .compression_level(Some(1))
        .large_file(source.metadata()?.len() >= u64::from(u32::MAX));
    archive.start_file(name, options)?;
    io::copy(&mut BufReader::new(source), archive)?;
    archive.flush()
}
