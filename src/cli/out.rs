//! What is written where: results to stdout, everything else to stderr; colours only where a person looks.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::stderr;

/// Time that a line for whoever watches has to get out.
const SAY_FLUSH: Duration = Duration::from_millis(200);

use crate::text::is_hidden;

/// Writes text in colours, or plain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For results.
    pub(crate) fn stdout() -> Self {
        Self(io::stdout().is_terminal() && wanted())
    }

    /// For everything else.
    pub(crate) fn stderr() -> Self {
        Self(io::stderr().is_terminal() && wanted())
    }

    /// Never any.
    pub(crate) const fn without_colours() -> Self {
        Self(false)
    }

    /// Whether there are colours.
    pub(crate) fn on(self) -> bool {
        self.0
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}

/// <https://no-color.org>, and terminals that say that they have none.
fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// Writes a line of a result.
///
/// # Errors
/// If nobody reads it: a closed pipe ends a command and is no panic.
pub(crate) fn result(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// As [`result`], on a thread that may wait: whoever reads slowly, or not at all, does not keep this task from a signal.
///
/// # Errors
/// As of [`result`].
pub(crate) async fn result_in_background(line: String) -> io::Result<()> {
    tokio::task::spawn_blocking(move || result(&line)).await.map_err(io::Error::other)?
}

/// Writes a line for whoever watches. If nobody takes it soon, it is left to be written later or dropped: a server in this
/// process must not stand still, and not miss a signal, as nobody reads what it says.
pub(crate) fn say(line: &str) {
    let stderr = stderr::queue();
    stderr.push(format!("{line}\n").as_bytes());
    stderr.flush(SAY_FLUSH);
}

/// `text` without control and format characters, but for those that join letters: what comes from a server must not steer the terminal.
pub(crate) fn tame(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) && !matches!(c, '\u{200c}' | '\u{200d}') { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_plain() {
        assert_eq!(Paint::without_colours().red("x"), "x");
        assert_eq!(Paint(true).red("x"), "\x1b[31mx\x1b[0m");
    }

    #[test]
    fn escapes_are_tamed() {
        assert_eq!(tame("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(tame("a\u{202e}b می\u{200c}خ"), "a\u{fffd}b می\u{200c}خ");
    }
}
