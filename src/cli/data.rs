//! `dojang data`: the datasets, without a server.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::error::{CliError, Ended};
use super::format::count;
use super::out::{self, Paint, say};
use super::picture::{Mood, Picture, columns, draw};
use crate::data::fetch::{self, Network};
use crate::data::library::{Library, Options};
use crate::data::mnist;

const EXAMPLES: &str = "\
Examples:
  dojang data list
  dojang data fetch mnist           download it now, not at its first use
  dojang data show digits --offset 100";

/// List, download and look at datasets
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// The datasets there are, and whether they are to be had
    List(Folders),
    /// Download a dataset into the data folder; what is there already is kept
    Fetch {
        /// The dataset
        #[arg(value_enum)]
        name: Fetchable,
        #[command(flatten)]
        folders: Folders,
    },
    /// Draw some pictures of a dataset
    Show {
        /// The dataset
        name: String,
        /// Which part
        #[arg(long, value_enum, default_value_t = Part::Test)]
        split: Part,
        /// The first picture
        #[arg(long, value_name = "N", default_value_t = 0)]
        offset: usize,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=200))]
        count: u16,
        #[command(flatten)]
        folders: Folders,
    },
}

/// What can be downloaded.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Fetchable {
    Mnist,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    Train,
    Test,
}

/// Where datasets are looked for.
#[derive(Debug, Clone, Args)]
struct Folders {
    /// Folder of the database and the downloaded datasets
    #[arg(long, env = "DOJANG_DATA_DIR", value_name = "DIR", default_value = "./dojang-data")]
    data_dir: PathBuf,
    /// Folder with the four MNIST files (idx, gzipped or not)
    #[arg(long, env = "DOJANG_MNIST_DIR", value_name = "DIR")]
    mnist_dir: Option<PathBuf>,
}

impl Folders {
    fn datasets(&self) -> PathBuf {
        self.data_dir.join("datasets")
    }

    fn library(&self) -> Library {
        let (datasets_dir, mnist_dir) = (self.datasets(), self.mnist_dir.clone());
        Library::with_options(&Options { datasets_dir, mnist_dir, network: Network::Allowed })
    }
}

/// Runs one of the commands. They block: the data floor knows no async.
pub(crate) async fn run(args: DataArgs) -> Result<Ended, CliError> {
    let work = move || match args.command {
        DataCommand::List(folders) => list(&folders),
        DataCommand::Fetch { name: Fetchable::Mnist, folders } => fetch_mnist(&folders),
        DataCommand::Show { name, split, offset, count, folders } => {
            show(&folders, &name, split, offset, usize::from(count))
        }
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| CliError::Other(error.to_string()))?
}

fn list(folders: &Folders) -> Result<Ended, CliError> {
    let paint = Paint::stdout();
    for listing in folders.library().list() {
        let info = listing.info;
        let state = match (listing.available, &listing.detail) {
            (true, None) => paint.green("ready"),
            (true, Some(detail)) => paint.yellow(detail),
            (false, detail) => paint.red(detail.as_deref().unwrap_or("missing")),
        };
        let samples = format!("{} + {} samples", count(info.train_samples), count(info.test_samples));
        out::result(&format!(
            "{}  {} · {} classes · {samples} · {state}",
            paint.bold(&info.name),
            info.input,
            info.classes
        ))
        .and_then(|()| out::result(&format!("    {}", info.description)))
        .map_err(CliError::Stdout)?;
    }
    Ok(Ended::Well)
}

fn fetch_mnist(folders: &Folders) -> Result<Ended, CliError> {
    let folder = folders.datasets().join("mnist");
    if mnist::check(&folder).is_ok() {
        say(&format!("mnist is in {} already", folder.display()));
        return Ok(Ended::Well);
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{msg:30} {bar:30} {bytes:>10} of {total_bytes:>10}  {bytes_per_sec}")
    {
        bar.set_style(style);
    }
    let mut show = |progress: fetch::Progress<'_>| {
        bar.set_message(progress.file.to_owned());
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let fetched = fetch::mnist(&folder, &mut show);
    bar.finish_and_clear();
    fetched.map_err(|error| CliError::Other(error.to_string()))?;
    say(&format!("mnist is in {}", folder.display()));
    Ok(Ended::Well)
}

fn show(folders: &Folders, name: &str, split: Part, offset: usize, number: usize) -> Result<Ended, CliError> {
    let dataset = folders.library().load(name).map_err(|error| CliError::Other(error.to_string()))?;
    let part = match split {
        Part::Train => &dataset.train,
        Part::Test => &dataset.test,
    };
    let width = dataset.info.input.len();
    let caption = |index: usize| {
        let label = usize::from(part.labels[index]);
        format!("{index}: {}", dataset.info.class_names.get(label).map_or("?", String::as_str))
    };
    let pictures: Vec<_> = (offset..offset.saturating_add(number).min(part.len()))
        .map(|index| Picture {
            pixels: part.inputs[index * width..(index + 1) * width].to_vec(),
            caption: caption(index),
            mood: Mood::Plain,
        })
        .collect();
    if pictures.is_empty() {
        return Err(CliError::Other(format!("`{name}` has only {} samples there", part.len())));
    }
    for line in draw(&pictures, columns(), Paint::stdout()) {
        out::result(&line).map_err(CliError::Stdout)?;
    }
    Ok(Ended::Well)
}
