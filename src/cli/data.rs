//! `dojang data`: the datasets, without a server.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::error::{CliError, Ended};
use super::format::count;
use super::given::GivenArgs;
use super::out::{self, Paint, say};
use super::picture::{Mood, Picture, columns, draw};
use crate::data::fashion_mnist::FASHION_MNIST;
use crate::data::fetch::{Network, Progress};
use crate::data::idx_folder::{self, IdxSet};
use crate::data::library::{Library, Options};
use crate::data::mnist::MNIST;
use crate::data::{Dataset, Split};
use crate::engine::samples::Inputs;

/// Values of a sample that are printed.
const SHOWN: usize = 12;

const EXAMPLES: &str = "\
Examples:
  dojang data list
  dojang data fetch mnist           download it now, not at its first use
  dojang data show digits --offset 100
  dojang data show spiral --count 12";

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
    /// Draw some pictures of a dataset, or print its numbers
    Show {
        /// The dataset
        name: String,
        /// Which part
        #[arg(long, value_enum, default_value_t = Part::Test)]
        split: Part,
        /// The first sample
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
    #[value(name = "fashion_mnist")]
    FashionMnist,
}

impl Fetchable {
    fn set(self) -> &'static IdxSet {
        match self {
            Self::Mnist => &MNIST,
            Self::FashionMnist => &FASHION_MNIST,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    Train,
    Test,
}

/// Where datasets are looked for.
#[derive(Debug, Clone, Args)]
struct Folders {
    /// Folder of the database, the downloaded and the uploaded datasets
    #[arg(long, env = "DOJANG_DATA_DIR", value_name = "DIR", default_value = "./dojang-data")]
    data_dir: PathBuf,
    #[command(flatten)]
    given: GivenArgs,
}

impl Folders {
    fn datasets(&self) -> PathBuf {
        self.data_dir.join("datasets")
    }

    fn library(&self) -> Result<Library, CliError> {
        let GivenArgs { mnist_dir, fashion_mnist_dir } = self.given.clone();
        let datasets_dir = self.datasets();
        let options = Options { datasets_dir, mnist_dir, fashion_mnist_dir, network: Network::Allowed };
        options.check().map_err(|error| CliError::Other(error.to_string()))?;
        Ok(Library::with_options(&options))
    }
}

/// Runs one of the commands. They block: the data floor knows no async.
pub(crate) async fn run(args: DataArgs) -> Result<Ended, CliError> {
    let work = move || match args.command {
        DataCommand::List(folders) => list(&folders),
        DataCommand::Fetch { name, folders } => fetch(&folders, name.set()),
        DataCommand::Show { name, split, offset, count, folders } => {
            show(&folders, &name, split, offset, usize::from(count))
        }
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| CliError::Other(error.to_string()))?
}

fn list(folders: &Folders) -> Result<Ended, CliError> {
    let paint = Paint::stdout();
    for listing in folders.library()?.list() {
        let info = listing.info;
        let detail = listing.detail.as_deref().unwrap_or("missing");
        let state = match (listing.available, listing.downloadable) {
            (true, _) => paint.green("ready"),
            (false, true) => paint.yellow(detail),
            (false, false) => paint.red(detail),
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

fn fetch(folders: &Folders, set: &IdxSet) -> Result<Ended, CliError> {
    let folder = folders.datasets().join(set.name);
    if idx_folder::check(&folder).is_ok() {
        say(&format!("{} is in {} already", set.name, folder.display()));
        return Ok(Ended::Well);
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{msg:30} {bar:30} {bytes:>10} of {total_bytes:>10}  {bytes_per_sec}")
    {
        bar.set_style(style);
    }
    let mut show = |progress: Progress<'_>| {
        bar.set_message(progress.file.to_owned());
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let fetched = set.fetch(&folder, &mut show);
    bar.finish_and_clear();
    fetched.map_err(|error| CliError::Other(error.to_string()))?;
    say(&format!("{} is in {}", set.name, folder.display()));
    Ok(Ended::Well)
}

fn show(folders: &Folders, name: &str, split: Part, offset: usize, number: usize) -> Result<Ended, CliError> {
    let dataset = folders.library()?.load(name).map_err(|error| CliError::Other(error.to_string()))?;
    let part = match split {
        Part::Train => &dataset.train,
        Part::Test => &dataset.test,
    };
    let last = offset.saturating_add(number).min(part.len());
    if offset >= last {
        return Err(CliError::Other(format!("`{name}` has only {} samples there", part.len())));
    }
    let lines = match dataset.info.input.axes() {
        [1, 28, 28] => pictures(&dataset, part, offset..last),
        _ => rows(&dataset, part, offset..last),
    };
    for line in lines {
        out::result(&line).map_err(CliError::Stdout)?;
    }
    Ok(Ended::Well)
}

fn caption(dataset: &Dataset, part: &Split, index: usize) -> String {
    let label = usize::from(part.labels[index]);
    format!("{index}: {}", dataset.info.class_names.get(label).map_or("?", String::as_str))
}

fn pictures(dataset: &Dataset, part: &Split, which: Range<usize>) -> Vec<String> {
    let pixels = |index: usize| match part.input(index) {
        Inputs::Bytes(pixels) => pixels.to_vec(),
        // What lies beyond 0–1 is as dark or as bright as can be shown.
        Inputs::Floats(values) => values.iter().map(|value| (value * 255.0) as u8).collect(),
    };
    let picture = |index| Picture { pixels: pixels(index), caption: caption(dataset, part, index), mood: Mood::Plain };
    draw(&which.map(picture).collect::<Vec<_>>(), columns(), Paint::stdout())
}

/// A line a sample: what no picture of 28×28 shows.
fn rows(dataset: &Dataset, part: &Split, which: Range<usize>) -> Vec<String> {
    let row = |index: usize| {
        let mut values: Vec<String> = match part.input(index) {
            Inputs::Bytes(bytes) => bytes.iter().take(SHOWN).map(u8::to_string).collect(),
            Inputs::Floats(numbers) => numbers.iter().take(SHOWN).map(|number| format!("{number:.4}")).collect(),
        };
        if dataset.info.input.len() > SHOWN {
            values.push("…".into());
        }
        format!("{}  {}", caption(dataset, part, index), values.join(" "))
    };
    which.map(row).collect()
}
