//! The command line: one command, one file.
//!
//! - commands: [`serve`], [`demo`], [`train`], [`watch`], [`cancel`], [`pause`], [`resume`], [`predict`], [`data`];
//!   [`backup`] and [`doctor`] care for the data
//! - a server: in this process ([`embed`], [`lock`]), or called over HTTP ([`client`], [`sse`], [`follow`])
//! - a terminal: [`display`], [`picture`], [`format`], [`out`], [`stderr`], [`logging`], [`stop`]
//! - a spec's text: [`spec_file`], [`locate`]; folders of datasets: [`given`]; names of a server: [`host_args`]; news of jobs:
//!   [`webhook_args`]
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 clean, 1 failed, 2 wrong usage.

mod backup;
mod cancel;
mod client;
mod data;
mod demo;
mod display;
mod doctor;
mod embed;
mod error;
mod follow;
mod format;
mod given;
mod host_args;
mod line;
mod locate;
mod lock;
mod logging;
#[cfg(test)]
mod mock;
mod out;
mod pause;
mod picture;
mod predict;
#[cfg(test)]
mod replay_tests;
mod resume;
mod serve;
mod spec_file;
mod sse;
mod stderr;
mod stop;
mod train;
mod watch;
mod webhook_args;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::engine::processor;
use error::{CliError, Ended};
use out::{Paint, say};

const EXAMPLES: &str = "\
Examples:
  dojang demo                       train and predict at once, with nothing to prepare
  dojang serve                      run the server, dashboard at http://127.0.0.1:8080
  dojang train spec.json            submit a job and watch it
  dojang predict digit.png          ask the newest model";

const WRONG_USAGE: u8 = 2;
/// Time that the last lines on stderr have to get out.
const LAST_FLUSH: Duration = Duration::from_millis(500);

/// Training as a service: submit a job, watch the network learn on the CPU, predict over HTTP
#[derive(Debug, Parser)]
#[command(name = "dojang", version, after_help = EXAMPLES, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    Train(train::TrainArgs),
    Watch(watch::WatchArgs),
    Cancel(cancel::CancelArgs),
    Pause(pause::PauseArgs),
    Resume(resume::ResumeArgs),
    Predict(predict::PredictArgs),
    Data(data::DataArgs),
    Backup(backup::BackupArgs),
    Doctor(doctor::DoctorArgs),
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = processor::check() {
        fail(&CliError::Other(error));
        return ExitCode::from(WRONG_USAGE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&CliError::Other(format!("cannot start: {error}"))),
    };
    let result = runtime.block_on(run(cli.command));
    // What still blocks, such as a read from stdin, is not waited for.
    runtime.shutdown_background();
    let code = match result {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Badly) => ExitCode::FAILURE,
        // `dojang watch … | head` has what it wanted.
        Err(CliError::Stdout(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error @ CliError::Usage(_)) => {
            fail(&error);
            ExitCode::from(WRONG_USAGE)
        }
        Err(error) => fail(&error),
    };
    stderr::queue().flush(LAST_FLUSH);
    code
}

async fn run(command: Command) -> Result<Ended, CliError> {
    match command {
        Command::Serve(args) => Box::pin(serve::run(args)).await,
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Train(args) => Box::pin(train::run(args)).await,
        Command::Watch(args) => Box::pin(watch::run(args)).await,
        Command::Cancel(args) => Box::pin(cancel::run(args)).await,
        Command::Pause(args) => Box::pin(pause::run(args)).await,
        Command::Resume(args) => Box::pin(resume::run(args)).await,
        Command::Predict(args) => Box::pin(predict::run(args)).await,
        Command::Data(args) => data::run(args).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
    }
}

fn fail(error: &CliError) -> ExitCode {
    say(&format!("{} {error}", Paint::stderr().red("error:")));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_tells_defaults_and_variables() {
        let mut command = Cli::command();
        let serve = command.find_subcommand_mut("serve").expect("it is there");
        let help = serve.render_long_help().to_string();
        for word in [
            "DOJANG_LISTEN",
            "127.0.0.1:8080",
            "DOJANG_MEMORY_BUDGET",
            "DOJANG_SERVING_MEMORY",
            "DOJANG_MAX_QUEUED",
            "DOJANG_KEEP_CHECKPOINTS",
            "DOJANG_WEBHOOK_SECRET",
            "DOJANG_ALLOWED_HOST",
            "DOJANG_PUBLIC_URL",
            "4GiB",
            "Resources:",
            "Examples:",
        ] {
            assert!(help.contains(word), "{word} is missing:\n{help}");
        }
    }

    #[test]
    fn wrong_usage_is_refused() {
        for args in [
            &["train"][..],
            &["train", "a", "--local", "--detach"],
            &["watch", "7"],
            &["pause"],
            &["resume", "7"],
            &["serve", "--threads", "0"],
            &["serve", "--max-queued", "0"],
            &["serve", "--keep-checkpoints", "some"],
            &["backup"],
            &["serve", "--memory-budget", "much"],
            &["serve", "--serving-memory", "15MiB"],
            &["serve", "--allowed-host", "http://dojang.example"],
            &["serve", "--public-url", "dojang.example"],
            &["predict"],
            &["predict", "a", "--server", "ftp://x"],
        ] {
            assert!(Cli::try_parse_from([&["dojang"], args].concat()).is_err(), "{args:?}");
        }
    }
}
