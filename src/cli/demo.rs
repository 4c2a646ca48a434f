//! `dojang demo`: everything at once, with nothing to prepare.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::client::{Ask, Client};
use super::display::{Display, summary};
use super::embed::Embedded;
use super::error::{CliError, Ended};
use super::format::percent;
use super::host_args::HostArgs;
use super::logging;
use super::out::{self, Paint, say, tame};
use super::picture::{Mood, Picture, columns, draw};
use super::serve::{PowerArgs, parse_listen, say_taken};
use super::stop::Stop;
use super::train::say_accepted;
use super::watch::{Show, Watched, ended, follow};
use crate::app::Bound;
use crate::job::event::Done;
use crate::job::view::Job;

/// What the demo trains: the two-layer net of *Deep Learning from Scratch* chapter 4 on drawn digits.
const SPEC: &str = r#"{"name": "demo: two-layer net", "model": "demo", "dataset": {"name": "digits"}, "network": [{"type": "affine", "units": 256}, {"type": "relu"}, {"type": "affine", "units": 10}], "optimizer": {"type": "adam", "learning_rate": 0.001}, "batch_size": 100, "epochs": 8}"#;

/// The least share of test pictures that the demo's net reads right.
const EXPECTED: f64 = 0.9;
/// Pictures that are drawn.
const SHOWN: usize = 6;

const EXAMPLES: &str = "\
Examples:
  dojang demo
  dojang demo --until-done    for scripts: exit code 0 if the net reads 90 % or more of the test pictures
  dojang demo --data-dir ./dojang-data    keeps the model for `dojang serve`";

/// See it work: train a small network, predict, leave the dashboard up
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Address and port to listen on; a free port if it is taken
    #[arg(long, env = "DOJANG_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", value_parser = parse_listen)]
    listen: SocketAddr,
    /// Folder of the database [default: a fresh one, removed at the end]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    data_dir: Option<PathBuf>,
    /// Stop after the predictions
    #[arg(long)]
    until_done: bool,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    power: PowerArgs,
}

/// Serves, trains, predicts.
pub(crate) async fn run(args: DemoArgs) -> Result<Ended, CliError> {
    logging::start(None, "warn")?;
    let stop = Stop::listen().map_err(|error| CliError::Other(format!("cannot listen for signals: {error}")))?;
    let mut config = args.power.config(args.listen, args.data_dir.clone().unwrap_or_default());
    config.hosts = args.hosts.allowed();
    // Before anything is made, the folder not least.
    let bound = match Bound::new(config.clone()).await {
        Err(error) if error.is_taken_port() => {
            config.listen.set_port(0);
            let bound = Bound::new(config).await?;
            say_taken(args.listen, bound.addr()?);
            bound
        }
        bound => bound?,
    };
    // Kept until the server is gone; removed then.
    let (bound, _fresh) = match args.data_dir {
        Some(_) => (bound, None),
        None => {
            let fresh = tempfile::Builder::new().prefix("dojang-demo-").tempdir();
            let fresh = fresh.map_err(CliError::file("a temporary folder".as_ref()))?;
            (bound.in_dir(fresh.path()), Some(fresh))
        }
    };
    let server = Embedded::start(bound).await?;
    let client = server.client()?;
    let work = async {
        say(&format!("dashboard: {}", Paint::stderr().cyan(&client.server())));
        let Some(ended) = show(&client, &stop).await? else {
            return Ok(if args.until_done { Ended::Badly } else { Ended::Well });
        };
        if ended == Ended::Well && !args.until_done {
            say(&format!("\nThe dashboard stays at {}; Ctrl-C ends the demo.", Paint::stderr().cyan(&client.server())));
            stop.requested().await;
        }
        Ok(ended)
    };
    server.during(work).await
}

/// Trains and predicts; `None` if somebody stopped it.
async fn show(client: &Client, stop: &Stop) -> Result<Option<Ended>, CliError> {
    let job = client.submit(SPEC.into()).await?;
    say_accepted(&job);
    let mut display = Show::Display(Display::new(&job));
    let done = match follow(client, &job, stop, &mut display).await? {
        Watched::Done(done) => done,
        Watched::Interrupted => return Ok(None),
    };
    out::result(&summary(&job, &done, Paint::stdout())).map_err(CliError::Stdout)?;
    if ended(&done) == Ended::Badly {
        return Ok(Some(Ended::Badly));
    }
    predict(client, &job, &done).await?;
    let well = done.test_accuracy.is_some_and(|accuracy| accuracy >= EXPECTED);
    if !well {
        let (is, least) = (percent(done.test_accuracy), percent(Some(EXPECTED)));
        say(&Paint::stderr().red(&format!("test accuracy {is}: less than {least}, something is wrong")));
        return Ok(Some(Ended::Badly));
    }
    try_it(client, &job)?;
    Ok(Some(Ended::Well))
}

/// Draws test pictures with what the model takes them for.
async fn predict(client: &Client, job: &Job, done: &Done) -> Result<(), CliError> {
    let samples = client.test_samples(&job.spec.dataset.name, SHOWN).await?;
    if samples.is_empty() {
        return Err(CliError::Other("the server gives no test pictures".into()));
    }
    let model = match (&done.model, done.model_version) {
        (Some(model), Some(version)) => format!("{model}@{version}"),
        _ => format!("job:{}", job.id),
    };
    // All pictures in one request: a body of N × 784 bytes.
    let body = samples.iter().flat_map(|sample| sample.pixels.iter().copied()).collect();
    let ask = Ask { model: Some(&model), kind: "application/octet-stream", body, return_input: false };
    let (_, predicted) = client.predict(ask).await?;
    if predicted.predictions.len() != samples.len() {
        let (asked, got) = (samples.len(), predicted.predictions.len());
        return Err(CliError::Other(format!("asked about {asked} pictures, the server answers about {got}")));
    }
    let pictures: Vec<Picture> = samples
        .into_iter()
        .zip(&predicted.predictions)
        .map(|(sample, prediction)| {
            let right = prediction.label == sample.label;
            let mut caption = format!("reads {} {}", tame(&prediction.class), percent(Some(prediction.confidence)));
            if !right {
                caption.push_str(&format!(", is {}", sample.label));
            }
            Picture { pixels: sample.pixels, caption, mood: if right { Mood::Right } else { Mood::Wrong } }
        })
        .collect();
    let lines = draw(&pictures, columns(), Paint::stdout());
    out::result(&format!("\nTest pictures, and what {} reads:\n", tame(&predicted.model.selector())))
        .map_err(CliError::Stdout)?;
    lines.iter().try_for_each(|line| out::result(line)).map_err(CliError::Stdout)
}

fn try_it(client: &Client, job: &Job) -> Result<(), CliError> {
    let (server, id) = (client.server(), job.id);
    let text = format!(
        "Try it:
  curl {server}/v1/jobs/{id}
  curl -N {server}/v1/jobs/{id}/events
  curl '{server}/v1/datasets/digits/samples?split=test&offset=7&limit=1' | jq '{{image: .data[0].pixels}}' | curl -d @- {server}/predict
  curl -T digit.png -X POST -H 'content-type: image/png' {server}/predict
  curl -O -J {server}/v1/jobs/{id}/weights
  curl -d '{SPEC}' {server}/v1/jobs"
    );
    out::result(&text).map_err(CliError::Stdout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::parse_server;
    use crate::cli::mock::{Mock, job, lines};
    use crate::job::spec::TrainSpec;

    #[test]
    fn the_spec_is_sound() {
        let spec = TrainSpec::parse(SPEC.as_bytes()).expect("no faults");
        assert_eq!((spec.dataset.name.as_str(), spec.epochs), ("digits", Some(8)));
        assert!(!SPEC.contains('\''), "it stands between quotes in a shell command");
    }

    async fn shown(status: &str, predictions: usize) -> (Result<Option<Ended>, CliError>, Vec<String>) {
        let json = |text: &str| Mock::answer("200 OK", "application/json", text);
        let sample = format!("{{\"index\":0,\"label\":7,\"pixels\":{:?}}}", vec![9; 784]);
        let prediction = r#"{"label":7,"class":"7","confidence":0.9,"probabilities":[0.9]}"#;
        let predictions = vec![prediction; predictions].join(",");
        let mock = Mock::start(vec![
            json(&serde_json::to_string(&job()).expect("JSON")),
            Mock::stream(&lines(status)),
            json(&format!("{{\"data\":[{sample},{sample}],\"has_more\":false,\"last_id\":null}}")),
            json(&format!("{{\"model\":{{\"name\":\"demo\",\"version\":1}},\"predictions\":[{predictions}]}}")),
        ]);
        let client = Client::new(parse_server(&mock.url()).expect("an address")).expect("a client");
        let (stop, _) = Stop::for_test();
        let shown = show(&client, &stop).await;
        (shown, mock.requests())
    }

    #[tokio::test]
    async fn it_goes_its_way() {
        let (ended, requests) = shown("succeeded", 2).await;
        assert_eq!(ended.expect("it went well"), Some(Ended::Well));
        assert!(requests[2].starts_with("GET /v1/datasets/digits/samples?split=test&limit=6 "), "{}", requests[2]);
        assert!(requests[3].starts_with("POST /predict?model=digits%401 "), "{}", requests[3]);
        assert!(requests[3].contains("content-length: 1568\r\n"), "two pictures of 784 bytes");
    }

    #[tokio::test]
    async fn it_fails_loudly() {
        assert_eq!(shown("failed", 2).await.0.expect("it was watched"), Some(Ended::Badly));
        assert!(shown("succeeded", 1).await.0.is_err());
    }
}
