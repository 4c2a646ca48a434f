//! Finds the place in a JSON text that a JSON pointer means.

use super::out::{Paint, tame};

/// A place in a text, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Where the member or element of `pointer` (`#/network/1/units`) is: a member at its key, an element at its value.
/// What is missing is found at the nearest that is there; the whole document is nowhere in particular.
pub(crate) fn locate(text: &str, pointer: &str) -> Option<Place> {
    let path = pointer.strip_prefix('#').unwrap_or(pointer).strip_prefix('/')?;
    let path: Vec<String> = path.split('/').map(token).collect();
    let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
    let mut found = None;
    // `None` says that the text is no JSON from some place on; what was found before it counts.
    let _ = scan.value(Some(&path), &mut found);
    let before = text.get(..found?)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Some(Place { line, column })
}

/// The line of a place and a caret under its column.
pub(crate) fn excerpt(text: &str, place: Place, paint: Paint) -> Option<String> {
    let line: String = text.lines().nth(place.line - 1)?.replace('\t', " ");
    // Long lines are shown around the place.
    let skip = if line.chars().count() > 100 { place.column.saturating_sub(40) } else { 0 };
    let shown: String = line.chars().skip(skip).take(100).collect();
    let number = place.line.to_string();
    let caret = " ".repeat((place.column - 1).saturating_sub(skip));
    let (bar, blank) = (paint.dim("|"), " ".repeat(number.len()));
    Some(format!("{} {bar} {}\n{blank} {bar} {caret}{}", paint.dim(&number), tame(&shown), paint.red("^")))
}

/// A token of a URI fragment pointer, decoded (RFC 6901 §4 and §6).
fn token(encoded: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = encoded.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).replace("~1", "/").replace("~0", "~")
}

/// Walks over JSON; every step gives `None` at a text that is none.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// Walks over one value, following `path` if this value is on it.
    fn value(&mut self, path: Option<&[String]>, found: &mut Option<usize>) -> Option<()> {
        match self.peek()? {
            b'{' => self.items(b'}', |scan, _| {
                let start = scan.at;
                let key = scan.string()?;
                scan.expect(b':')?;
                scan.step(path, &key, start, found)
            }),
            b'[' => self.items(b']', |scan, index| {
                scan.peek()?;
                let start = scan.at;
                scan.step(path, &index.to_string(), start, found)
            }),
            b'"' => self.string().map(drop),
            _ => {
                let rest = &self.bytes[self.at..];
                let length = rest.iter().position(|byte| b",]} \t\r\n".contains(byte)).unwrap_or(rest.len());
                self.at += length;
                (length > 0).then_some(())
            }
        }
    }

    /// Walks over the value of one member or element.
    fn step(&mut self, path: Option<&[String]>, name: &str, start: usize, found: &mut Option<usize>) -> Option<()> {
        match path {
            Some([first, rest @ ..]) if first == name => {
                *found = Some(start);
                self.value(Some(rest), found)
            }
            _ => self.value(None, found),
        }
    }

    fn items(&mut self, close: u8, mut item: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.at += 1;
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        for index in 0.. {
            self.peek()?;
            item(self, index)?;
            match self.peek()? {
                b',' => self.at += 1,
                byte if byte == close => break,
                _ => return None,
            }
        }
        self.at += 1;
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        self.expect(b'"')?;
        let start = self.at - 1;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_slice(&self.bytes[start..self.at]).ok()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"{
  "dataset": {"name": "digits"},
  "network": [
    {"type": "affine", "untis": 50}, {"type": "relu"},
    {"type": "affine", "é": [1, "a\"}", -2.5e3], "a/b~c d": null}
  ],
  "epochs": 5
}"#;

    fn at(pointer: &str) -> Option<(usize, usize)> {
        locate(SPEC, pointer).map(|place| (place.line, place.column))
    }

    #[test]
    fn members_and_elements() {
        assert_eq!(at("#/dataset"), Some((2, 3)));
        assert_eq!(at("#/dataset/name"), Some((2, 15)));
        assert_eq!(at("#/network/0/untis"), Some((4, 24)));
        assert_eq!(at("#/network/1"), Some((4, 38)));
        assert_eq!(at("#/network/2/%C3%A9/2"), Some((5, 41)));
        assert_eq!(at("#/network/2/a~1b~0c%20d"), Some((5, 50)));
        assert_eq!(at("/epochs"), Some((7, 3)));
    }

    #[test]
    fn what_is_missing_is_found_at_its_parent() {
        assert_eq!(at("#/network/0/units"), Some((4, 5)));
        assert_eq!(at("#/dataset/name/deeper"), Some((2, 15)));
        assert_eq!((at("#/loss"), at("#"), at("")), (None, None, None));
    }

    #[test]
    fn broken_json_gives_what_was_found() {
        assert_eq!(locate(r#"{"a": {"b": [1, 2"#, "#/a/b/1").map(|place| place.column), Some(17));
        for text in ["", "{", "[", "{\"a", "{\"a\\", "{\"a\" 1}", "nul", "{]", "[1 2]", "[,]"] {
            assert_eq!(locate(text, "#/zzz"), None, "{text}");
        }
    }

    #[test]
    fn an_excerpt_points() {
        let place = locate(SPEC, "#/epochs").expect("it is there");
        assert_eq!(excerpt(SPEC, place, Paint::without_colours()).expect("a line"), "7 |   \"epochs\": 5\n  |   ^");
        let long = format!("{}{{\"x\": 1}}", " ".repeat(300));
        let place = locate(&long, "#/x").expect("it is there");
        let shown = excerpt(&long, place, Paint::without_colours()).expect("a line");
        let (above, below) = shown.split_once('\n').expect("two lines");
        assert_eq!(above.find('"'), below.find('^'));
    }
}
