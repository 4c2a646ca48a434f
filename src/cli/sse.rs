//! Reads server-sent events (WHATWG HTML §9.2.6) out of bytes that come cut anywhere.

use std::time::Duration;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The last id seen up to this event.
    pub(crate) id: Option<String>,
    /// Its type; `message` if the stream names none.
    pub(crate) event: String,
    /// Its data, lines joined by `\n`.
    pub(crate) data: String,
}

/// The state between two pieces of a stream.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    /// The last byte was `\r`: a `\n` that follows belongs to the same line end.
    after_cr: bool,
    past_first_line: bool,
    id: Option<String>,
    event: String,
    data: Option<String>,
    retry: Option<Duration>,
}

impl Parser {
    /// Takes the next bytes and gives the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    frames.extend(self.line(&line));
                }
                _ => self.line.push(byte),
            }
        }
        frames
    }

    /// How long the server asks to wait before a new connection.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn line(&mut self, line: &[u8]) -> Option<Frame> {
        let line = if self.past_first_line { line } else { line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line) };
        self.past_first_line = true;
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.into()),
            },
            "event" => self.event = value.into(),
            "id" if !value.contains('\0') => self.id = Some(value.into()),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis);
            }
            // Comments, which begin with a colon and so have an empty field name, and fields that we do not know.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Frame> {
        let event = std::mem::take(&mut self.event);
        let data = self.data.take()?;
        let event = if event.is_empty() { "message".into() } else { event };
        Some(Frame { id: self.id.clone(), event, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: Option<&str>, event: &str, data: &str) -> Frame {
        Frame { id: id.map(Into::into), event: event.into(), data: data.into() }
    }

    fn whole(text: &str) -> Vec<Frame> {
        Parser::default().push(text.as_bytes())
    }

    #[test]
    fn a_stream_of_ours() {
        let text = "retry: 2000\n\nid: 1\nevent: state\ndata: {\"a\":1}\n\n: beat\n\nid: 2\nevent: done\ndata: {}\n\n";
        assert_eq!(whole(text), [frame(Some("1"), "state", "{\"a\":1}"), frame(Some("2"), "done", "{}")]);
    }

    #[test]
    fn any_cut_gives_the_same() {
        let text = "\u{feff}retry: 5\r\n\r\n:\u{e9}\nid: 7\revent: e\u{301}\r\ndata: \u{1f600}\ndata:\ndata:  two\r\r\ndata: x\n\n";
        let bytes = text.as_bytes();
        let want = whole(text);
        assert_eq!(want, [frame(Some("7"), "e\u{301}", "\u{1f600}\n\n two"), frame(Some("7"), "message", "x")]);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut parser = Parser::default();
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                let got: Vec<_> = pieces.into_iter().flat_map(|piece| parser.push(piece)).collect();
                assert_eq!(got, want, "cut at {first} and {second}");
                assert_eq!(parser.retry(), Some(Duration::from_millis(5)));
            }
        }
        let mut parser = Parser::default();
        assert_eq!(bytes.iter().flat_map(|byte| parser.push(&[*byte])).collect::<Vec<_>>(), want);
    }

    #[test]
    fn all_three_line_ends() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["id: 1", "data: a", "data: b", "", ""].join(end);
            assert_eq!(whole(&text), [frame(Some("1"), "message", "a\nb")], "{end:?}");
        }
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(
            whole(
                "data: YHOO\ndata: +2\ndata: 10\n\n: test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
            ),
            [
                frame(None, "message", "YHOO\n+2\n10"),
                frame(Some("1"), "message", "first event"),
                frame(Some(""), "message", "second event"),
                frame(Some(""), "message", " third event"),
            ]
        );
        // An empty `data` makes an event; the block that never ends does not.
        assert_eq!(whole("data\n\ndata\ndata\n\ndata:"), [frame(None, "message", ""), frame(None, "message", "\n")]);
        assert_eq!(whole("data:test\n\ndata: test\n\n"), vec![frame(None, "message", "test"); 2]);
    }

    #[test]
    fn what_is_no_event_is_passed_over() {
        assert_eq!(whole(": comment\n\nevent: lonely\n\nfoo: bar\nfoobar\ndata: x\n\n"), [frame(None, "message", "x")]);
        assert_eq!(whole("id: a\0b\ndata: x\n\n"), [frame(None, "message", "x")]);
        let mut parser = Parser::default();
        parser.push(b"retry: 10\nretry: soon\nretry:\nretry: -1\n\n");
        assert_eq!(parser.retry(), Some(Duration::from_millis(10)));
    }

    #[test]
    fn bytes_that_are_not_utf8_do_no_harm() {
        assert_eq!(Parser::default().push(b"data: \xff\n\n"), [frame(None, "message", "\u{fffd}")]);
    }
}
