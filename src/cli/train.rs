//! `dojang train`: submits a spec and watches it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use sha2::{Digest, Sha256};

use super::client::Client;
use super::display::{Display, summary};
use super::embed::Embedded;
use super::error::{CliError, Ended};
use super::format::count;
use super::logging;
use super::out::{self, Paint, say, tame};
use super::serve::ProcessArgs;
use super::spec_file::SpecFile;
use super::stop::Stop;
use super::watch::{ServerArgs, Show, Watched, ended, follow, say_goes_on};
use crate::app::Bound;
use crate::job::event::Done;
use crate::job::view::Job;

const EXAMPLES: &str = "\
Examples:
  dojang train spec.json
  dojang train --recipe two_layer_net
  dojang train spec.json --local --output weights.safetensors
  jq '.epochs = 5' spec.json | dojang train - --local
  id=$(dojang train spec.json --detach)

Ctrl-C ends the watching, not the job; with --local it saves the job, and `dojang serve` on the same data folder \
goes on with it.
Exit code: 0 if the job succeeded (with --detach: was accepted), 1 otherwise.";

/// Submit a job spec and watch it train
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    /// File with the spec, JSON; - reads stdin
    #[arg(value_name = "SPEC", required_unless_present = "recipe", conflicts_with = "recipe")]
    spec: Option<PathBuf>,
    /// Train a recipe as it is; GET /v1/recipes lists them
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
    /// Print the job's id as soon as it is accepted, and do not wait
    #[arg(long, conflicts_with_all = ["local", "output"])]
    detach: bool,
    /// Save the trained weights here, as safetensors
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Train in this process, with the data and resources below; --server is not used then
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    process: ProcessArgs,
}

/// Submits and watches.
pub(crate) async fn run(args: TrainArgs) -> Result<Ended, CliError> {
    logging::start(None, "warn")?;
    let spec = match (&args.recipe, &args.spec) {
        (Some(recipe), _) => SpecFile::recipe(recipe),
        (None, Some(path)) => SpecFile::read(path)?,
        (None, None) => return Err(CliError::Other("a spec or a recipe is needed".into())),
    };
    if let Some(path) = &args.output {
        check_folder(path)?;
    }
    let stop = Stop::listen().map_err(|error| CliError::Other(format!("cannot listen for signals: {error}")))?;
    if args.local {
        return local(&args, &spec, &stop).await;
    }
    let client = Client::new(args.server.server.clone())?;
    if args.detach {
        let job = client.submit(spec.bytes.clone()).await.map_err(|error| spec.explain(error))?;
        out::result(&job.id.to_string()).map_err(CliError::Stdout)?;
        return Ok(Ended::Well);
    }
    let (job, watched) = submit_and_watch(&client, &spec, &stop).await?;
    match watched {
        Watched::Done(done) => finish(&client, &job, &done, args.output.as_deref()).await,
        Watched::Interrupted => {
            say_goes_on(&client, &job);
            Ok(Ended::Badly)
        }
    }
}

async fn local(args: &TrainArgs, spec: &SpecFile, stop: &Stop) -> Result<Ended, CliError> {
    // The server would find the same faults, but only after it has opened its data.
    spec.check()?;
    let config = args.process.clone().config(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let data_dir = config.data_dir.clone();
    let server = Embedded::start(Bound::new(config).await?).await?;
    let client = server.client()?;
    let work = async {
        let (job, watched) = submit_and_watch(&client, spec, stop).await?;
        match watched {
            Watched::Done(done) => Ok((job.id, Some(finish(&client, &job, &done, args.output.as_deref()).await?))),
            Watched::Interrupted => {
                say("stopping; the job is being saved");
                Ok((job.id, None))
            }
        }
    };
    let (id, ended) = server.during(work).await?;
    if ended.is_none() {
        let folder = data_dir.display();
        say(&format!("job {id} is kept in {folder}; to go on with it: dojang serve --data-dir {folder}"));
    }
    Ok(ended.unwrap_or(Ended::Badly))
}

async fn submit_and_watch(client: &Client, spec: &SpecFile, stop: &Stop) -> Result<(Job, Watched), CliError> {
    let job = client.submit(spec.bytes.clone()).await.map_err(|error| spec.explain(error))?;
    say_accepted(&job);
    let mut show = Show::Display(Display::new(&job));
    let watched = follow(client, &job, stop, &mut show).await?;
    Ok((job, watched))
}

/// Says what was accepted.
pub(crate) fn say_accepted(job: &Job) {
    let paint = Paint::stderr();
    let place = match job.queue_position {
        Some(place) if place > 1 => format!(", number {place} in the queue"),
        _ => String::new(),
    };
    say(&format!(
        "{} {}\n{} parameters, {} training samples, {} test samples, {} epochs{place}",
        paint.bold(&tame(&job.name)),
        paint.dim(&format!("(job {})", job.id)),
        count(job.parameters),
        count(job.train_samples),
        count(job.test_samples),
        job.progress.epochs,
    ));
}

async fn finish(client: &Client, job: &Job, done: &Done, output: Option<&Path>) -> Result<Ended, CliError> {
    out::result(&summary(job, done, Paint::stdout())).map_err(CliError::Stdout)?;
    match output {
        Some(path) if ended(done) == Ended::Well => {
            let weights = client.weights(job.id).await?;
            let sha256 = hex(&Sha256::digest(&weights));
            if done.weights_sha256.as_ref().is_some_and(|wanted| *wanted != sha256) {
                return Err(CliError::Other(format!("the weights arrived broken: their sha256 is {sha256}")));
            }
            save(path, &weights)?;
            say(&format!("saved {} ({} bytes)", path.display(), count(weights.len())));
        }
        Some(path) => say(&format!("nothing is saved to {}", path.display())),
        None => {}
    }
    Ok(ended(done))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A training is not to end with weights that have no place.
fn check_folder(path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        return Err(CliError::Other(format!("{} is a folder; --output needs a file", path.display())));
    }
    if !folder_of(path).is_dir() {
        return Err(CliError::Other(format!("there is no folder {}", folder_of(path).display())));
    }
    Ok(())
}

/// Writes a file whole or not at all.
fn save(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder_of(path)).map_err(CliError::file(path))?;
    file.write_all(bytes).map_err(CliError::file(path))?;
    file.persist(path).map_err(|error| CliError::file(path)(error.error))?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::parse_server;
    use crate::cli::mock::{Mock, job, lines};

    const SPEC: &[u8] = b"{\"dataset\":{\"name\":\"digits\"},\"network\":[{\"type\":\"affine\",\"units\":10}]}";

    async fn train(answers: Vec<Vec<u8>>, output: &str) -> (Result<Ended, CliError>, PathBuf, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spec.json");
        std::fs::write(&path, SPEC).expect("a file");
        let spec = SpecFile::read(&path).expect("the file");
        let mock = Mock::start(answers);
        let client = Client::new(parse_server(&mock.url()).expect("an address")).expect("a client");
        let (stop, _) = Stop::for_test();
        let output = folder.path().join(output);
        let ended = match submit_and_watch(&client, &spec, &stop).await {
            Ok((job, Watched::Done(done))) => finish(&client, &job, &done, Some(&output)).await,
            Ok((_, Watched::Interrupted)) => panic!("nobody interrupted"),
            Err(error) => Err(error),
        };
        (ended, output, folder)
    }

    #[tokio::test]
    async fn weights_are_saved() {
        let accepted = Mock::answer("202 Accepted", "application/json", &serde_json::to_string(&job()).expect("JSON"));
        let weights = Mock::answer("200 OK", "application/octet-stream", "weights");
        let (ended, output, _folder) = train(vec![accepted, Mock::stream(&lines("succeeded")), weights], "w").await;
        assert_eq!(ended.expect("it went well"), Ended::Well);
        assert_eq!(std::fs::read(output).expect("the weights"), b"weights");
    }

    #[tokio::test]
    async fn a_failed_job_saves_nothing() {
        let accepted = Mock::answer("202 Accepted", "application/json", &serde_json::to_string(&job()).expect("JSON"));
        let (ended, output, _folder) = train(vec![accepted, Mock::stream(&lines("failed"))], "w").await;
        assert_eq!(ended.expect("it was watched"), Ended::Badly);
        assert!(!output.exists());
    }

    #[tokio::test]
    async fn a_refused_spec_is_explained() {
        let body = r##"{"detail":"bad","errors":[{"pointer":"#/network/0/units","detail":"too many"},{"pointer":"#/dataset","detail":"no"}]}"##;
        let (ended, ..) =
            train(vec![Mock::answer("422 Unprocessable Content", "application/problem+json", body)], "w").await;
        assert_eq!(ended.expect_err("a refusal").to_string(), "the spec has 2 faults");
    }

    #[test]
    fn weights_need_a_folder() {
        assert!(check_folder(Path::new("weights.safetensors")).is_ok());
        assert!(check_folder(Path::new("no/such/folder/w")).is_err());
        assert!(check_folder(Path::new(".")).is_err());
    }
}
