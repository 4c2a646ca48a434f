//! How `dojang serve` sends news of jobs.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::error::CliError;
use crate::job::webhook::{Reach, parse_url};
use crate::webhooks::{Secret, Settings};

/// Where messages go, and who signs them.
#[derive(Debug, Clone, Args)]
pub(crate) struct WebhookArgs {
    /// URL that is told of every job that ends or is paused, besides the `webhook` of the job itself; needs a secret
    #[arg(long, env = "DOJANG_WEBHOOK_URL", hide_env_values = true, value_name = "URL", help_heading = "Webhooks")]
    webhook_url: Option<Hidden>,
    /// Signs webhooks (Standard Webhooks): whsec_ and 24 to 64 random bytes as base64; better in the variable, as others
    /// can see arguments. Without one, jobs that name a webhook are refused
    #[arg(
        long,
        env = "DOJANG_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        help_heading = "Webhooks"
    )]
    webhook_secret: Option<Hidden>,
    /// Send webhooks to private addresses, too: this machine, its network, its cloud's metadata
    #[arg(long, env = "DOJANG_WEBHOOK_ALLOW_PRIVATE", value_parser = FalseyValueParser::new(), help_heading = "Webhooks")]
    webhook_allow_private: bool,
}

/// A text that is never shown, neither in logs nor in errors.
#[derive(Clone)]
struct Hidden(String);

impl FromStr for Hidden {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl WebhookArgs {
    /// What these arguments ask for; `None` for a server that sends nothing.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn settings(&self) -> Result<Option<Settings>, CliError> {
        let Some(Hidden(secret)) = &self.webhook_secret else {
            if self.webhook_url.is_none() && !self.webhook_allow_private {
                return Ok(None);
            }
            let advice = "webhooks need a secret: --webhook-secret, or DOJANG_WEBHOOK_SECRET";
            return Err(CliError::Usage(format!("{advice}; make one with: echo whsec_$(openssl rand -base64 32)")));
        };
        let secret = Secret::parse(secret).map_err(|error| CliError::Usage(format!("--webhook-secret: {error}")))?;
        let reach = if self.webhook_allow_private { Reach::Any } else { Reach::Public };
        let url = self.webhook_url.as_ref().map(|Hidden(url)| {
            let url = parse_url(url)?;
            reach.refusal(&url).map_or(Ok(url), Err)
        });
        let url = url.transpose().map_err(|error| CliError::Usage(format!("--webhook-url: {error}")))?;
        Ok(Some(Settings { url, reach, ..Settings::new(secret) }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        webhooks: WebhookArgs,
    }

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn settings(args: &[&str]) -> Result<Option<Settings>, String> {
        let command = Command::try_parse_from([&["x"], args].concat()).expect("sound arguments");
        assert!(!format!("{command:?}").contains("MfKQ"), "{command:?}");
        command.webhooks.settings().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_sent_where() {
        assert!(settings(&[]).expect("nothing is asked for").is_none());
        let found = settings(&["--webhook-secret", SECRET]).expect("sound").expect("something");
        assert_eq!((found.url, found.reach), (None, Reach::Public));
        let url = "http://127.0.0.1:9000/hook";
        let found = settings(&["--webhook-secret", SECRET, "--webhook-url", url, "--webhook-allow-private"]);
        let found = found.expect("sound").expect("something");
        assert_eq!((found.url.map(String::from), found.reach), (Some(url.into()), Reach::Any));
    }

    #[test]
    fn what_does_not_go_together() {
        for (args, word) in [
            (&["--webhook-url", "https://example.com/"][..], "need a secret"),
            (&["--webhook-allow-private"], "need a secret"),
            (&["--webhook-secret", "whsec_MfKQ"], "--webhook-secret: it stands for 3 bytes"),
            (&["--webhook-secret", SECRET, "--webhook-url", "example.com"], "--webhook-url: no URL"),
            (&["--webhook-secret", SECRET, "--webhook-url", "http://10.0.0.1/"], "--webhook-allow-private"),
        ] {
            let error = settings(args).expect_err(word);
            assert!(error.contains(word) && !error.contains("MfKQ"), "{args:?}: {error}");
        }
    }
}
