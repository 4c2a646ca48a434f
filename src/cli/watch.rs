//! `dojang watch`: a job as it trains.

use clap::Args;
use reqwest::Url;
use uuid::Uuid;

use super::client::{Client, parse_server};
use super::display::{Display, summary};
use super::error::{CliError, Ended};
use super::follow::{Follow, Seen};
use super::format::span;
use super::logging;
use super::out::{self, Paint, say};
use super::stop::Stop;
use crate::job::event::{Done, EventBody};
use crate::job::status::Status;
use crate::job::view::Job;

const EXAMPLES: &str = "\
Examples:
  dojang watch 0199d5c0-7b5e-7cc1-b8a1-0c6f2f6f9a11
  dojang watch 0199d5c0-7b5e-7cc1-b8a1-0c6f2f6f9a11 --json | jq 'select(.type == \"epoch\") | .test_accuracy'

What has already happened is shown first. A connection that breaks off is taken up again without loss.
Exit code: 0 if the job succeeded, 1 otherwise.";

/// Watch a job as it trains
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WatchArgs {
    /// The job's id
    #[arg(value_name = "ID")]
    id: Uuid,
    /// Print the events to stdout, one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Which server is called.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// The server's address
    #[arg(long, env = "DOJANG_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080", value_parser = parse_server)]
    pub(crate) server: Url,
}

/// How the events of a job are shown.
#[derive(Debug)]
pub(crate) enum Show {
    /// On stderr, for people.
    Display(Display),
    /// On stdout, for programs.
    Json,
}

/// How watching ended.
#[derive(Debug)]
pub(crate) enum Watched {
    /// The job ended.
    Done(Box<Done>),
    /// Whoever watches has enough.
    Interrupted,
}

/// Watches a job until it ends.
pub(crate) async fn run(args: WatchArgs) -> Result<Ended, CliError> {
    logging::start(None, "warn")?;
    let stop = Stop::listen().map_err(|error| CliError::Other(format!("cannot listen for signals: {error}")))?;
    let client = Client::new(args.server.server)?;
    let job = client.job(args.id).await?;
    let mut show = if args.json { Show::Json } else { Show::Display(Display::new(&job)) };
    let watched = follow(&client, &job, &stop, &mut show).await?;
    match (watched, args.json) {
        (Watched::Done(done), true) => Ok(ended(&done)),
        (Watched::Done(done), false) => {
            out::result(&summary(&job, &done, Paint::stdout())).map_err(CliError::Stdout)?;
            Ok(ended(&done))
        }
        (Watched::Interrupted, _) => {
            say_goes_on(&client, &job);
            Ok(Ended::Badly)
        }
    }
}

/// Shows a job's events, from the first, until it ends or somebody asks to stop.
pub(crate) async fn follow(client: &Client, job: &Job, stop: &Stop, show: &mut Show) -> Result<Watched, CliError> {
    let mut follow = Follow::new(client, job.id);
    // A stream goes on after the end of a job that was resumed since; the last end is the one after which it breaks off.
    let mut done = None;
    let result = loop {
        let seen = tokio::select! {
            seen = follow.next() => seen,
            () = stop.requested() => break Ok(Watched::Interrupted),
        };
        match seen {
            Ok(Seen::Entry(entry)) => {
                match show {
                    Show::Json => tokio::select! {
                        written = out::result_in_background(entry.text.replace('\n', " ")) => {
                            written.map_err(CliError::Stdout)?;
                        }
                        () = stop.requested() => break Ok(Watched::Interrupted),
                    },
                    Show::Display(display) => entry.event.iter().for_each(|event| display.event(event)),
                }
                done = match entry.event.map(|event| event.body) {
                    Some(EventBody::Done(done)) => Some(done),
                    _ => None,
                };
            }
            Ok(Seen::Lost { why, wait }) => {
                if let Some(done) = done {
                    break Ok(Watched::Done(Box::new(done)));
                }
                let line = format!("connection lost ({why}); again in {}", span(wait.as_secs_f64()));
                let line = Paint::stderr().yellow(&line);
                match show {
                    Show::Json => say(&line),
                    Show::Display(display) => display.line(&line),
                }
            }
            Err(error) => break Err(error.into()),
        }
    };
    if let Show::Display(display) = show {
        display.end();
    }
    result
}

/// The exit of a command that waited for this end.
pub(crate) fn ended(done: &Done) -> Ended {
    if done.status == Status::Succeeded { Ended::Well } else { Ended::Badly }
}

/// Says that nobody watches any more but the job goes on.
pub(crate) fn say_goes_on(client: &Client, job: &Job) {
    let server = client.server();
    say(&format!(
        "no longer watching; job {id} goes on\n  watch it:  dojang watch {id} --server {server}\n  cancel it: dojang cancel {id} --server {server}",
        id = job.id
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mock::{Mock, job, lines};

    #[tokio::test]
    async fn a_job_is_watched_to_its_end() {
        for (status, want) in [("succeeded", Ended::Well), ("failed", Ended::Badly), ("cancelled", Ended::Badly)] {
            let mock = Mock::start(vec![Mock::stream(&lines(status))]);
            let client = Client::new(parse_server(&mock.url()).expect("an address")).expect("a client");
            let job = job();
            let mut show = Show::Display(Display::new(&job));
            let (stop, _) = Stop::for_test();
            let watched = follow(&client, &job, &stop, &mut show).await.expect("a stream");
            let Watched::Done(done) = watched else { panic!("nobody interrupted") };
            assert_eq!(ended(&done), want);
            let text = summary(&job, &done, Paint::without_colours());
            assert!(text.contains(status) && text.contains("test accuracy 97.70 %"), "{text}");
        }
    }

    #[tokio::test]
    async fn the_end_of_a_job_that_was_resumed_is_its_last() {
        let cancelled = lines("cancelled");
        let (known, last) = (cancelled.matches("id: ").count(), lines("succeeded"));
        let later = |line: &str| match line.strip_prefix("id: ").and_then(|id| id.parse::<usize>().ok()) {
            Some(id) => format!("id: {}\n", id + known),
            None => format!("{line}\n"),
        };
        let resumed: String = last.lines().map(later).collect();
        let resumed = (1..=known)
            .rev()
            .fold(resumed, |text, id| text.replace(&format!("{{\"id\":{id},"), &format!("{{\"id\":{},", id + known)));
        let mock = Mock::start(vec![Mock::stream(&format!("{cancelled}{resumed}"))]);
        let client = Client::new(parse_server(&mock.url()).expect("an address")).expect("a client");
        let (stop, _) = Stop::for_test();
        let watched = follow(&client, &job(), &stop, &mut Show::Json).await.expect("a stream");
        assert!(matches!(watched, Watched::Done(done) if done.status == Status::Succeeded));
    }

    #[tokio::test]
    async fn whoever_asks_stops_watching() {
        let mock = Mock::start(vec![]);
        let client = Client::new(parse_server(&mock.url()).expect("an address")).expect("a client");
        let (stop, ask) = Stop::for_test();
        ask.cancel();
        let watched = follow(&client, &job(), &stop, &mut Show::Json).await;
        // Both may be ready at once: the answer is one or the other, and never a hang.
        assert!(matches!(watched, Ok(Watched::Interrupted) | Err(_)));
    }
}
