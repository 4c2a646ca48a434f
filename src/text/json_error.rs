//! Errors of JSON texts as sentences: the parser's own words name its parts ("EOF while parsing an object").

use serde_json::Error;
use serde_json::error::Category;

/// The way in which `text` is not JSON, with line and column, to follow "not readable as JSON: ".
///
/// `error` is what the parser said of the text. Messages that a caller's own `Deserialize` has made stay as they are.
pub fn json_error(error: &Error, text: &[u8]) -> String {
    if let Some(sentence) = encoding_error(text) {
        return sentence;
    }
    let at = place(error.line(), error.column());
    let message = message(error);
    match error.classify() {
        Category::Eof => format!("it ends too early {at}"),
        Category::Io => "it could not be read to its end".into(),
        Category::Syntax => format!("{} {at}", syntax(&message)),
        Category::Data if is_of_serde(&message) => format!("a value is not of the type that is needed {at}"),
        Category::Data => format!("{message} {at}"),
    }
}

fn place(line: usize, column: usize) -> String {
    // The parser counts the columns of a line from 0 where it ends before the first character.
    format!("(line {}, column {})", line.max(1), column.max(1))
}

/// The parser's message without the place that it appends.
fn message(error: &Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).map_or_else(|| text.clone(), str::to_owned)
}

fn syntax(message: &str) -> &'static str {
    match message {
        "trailing characters" => "there is something after its end",
        "trailing comma" => "there is a comma too many before a closing bracket",
        "recursion limit exceeded" => "it is nested too deeply",
        "number out of range" => "a number is too large for 64 bits",
        "invalid number" => "a number is not written as JSON writes it",
        "key must be a string" => "a key is not a text in double quotes",
        "expected `:`" => "a colon is missing after a key",
        "expected `,` or `]`" => "a comma or the closing `]` is missing",
        "expected `,` or `}`" => "a comma or the closing `}` is missing",
        "invalid escape" | "unexpected end of hex escape" => "a text has an escape that JSON does not know",
        "invalid unicode code point" | "lone leading surrogate in hex escape" => {
            "a text has an escape that is no character"
        }
        _ if message.starts_with("control character") => {
            "a text has a control character as it is; JSON writes it as an escape, such as \\n"
        }
        _ => "it is not JSON here",
    }
}

/// Whether a message is one that serde makes for derived types.
fn is_of_serde(message: &str) -> bool {
    const BEGINNINGS: [&str; 7] = [
        "invalid type",
        "invalid value",
        "invalid length",
        "unknown variant",
        "unknown field",
        "missing field",
        "duplicate field",
    ];
    BEGINNINGS.iter().any(|beginning| message.starts_with(beginning))
}

/// What is wrong with the encoding of a text that should be UTF-8 without a byte order mark (RFC 8259 §8.1).
fn encoding_error(text: &[u8]) -> Option<String> {
    match text {
        [0xef, 0xbb, 0xbf, ..] => {
            return Some("it begins with a byte order mark (EF BB BF), which JSON does not have".into());
        }
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some("it is UTF-32; UTF-8 is needed".into()),
        // In UTF-16 one byte of each of JSON's own characters is zero.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=255, ..] | [1..=255, 0, ..] => {
            return Some("it is UTF-16, by its first bytes; UTF-8 is needed".into());
        }
        _ => {}
    }
    let sound = std::str::from_utf8(text).err()?.valid_up_to();
    let before = &text[..sound];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Some(format!("it is not UTF-8 {}", place(line, column)))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn sentence(text: &[u8]) -> String {
        json_error(&serde_json::from_slice::<Value>(text).expect_err("no JSON"), text)
    }

    #[test]
    fn every_kind_of_error_is_a_sentence_with_its_place() {
        for (text, expected) in [
            (&b"{"[..], "it ends too early (line 1, column 1)"),
            (b"[1", "it ends too early (line 1, column 2)"),
            (b"{\"a", "it ends too early (line 1, column 3)"),
            (b"{\"a\": tru", "it ends too early (line 1, column 9)"),
            (b"{\n", "it ends too early (line 2, column 1)"),
            (b"nonsense", "it is not JSON here (line 1, column 2)"),
            (b"{\"a\": NaN}", "it is not JSON here (line 1, column 7)"),
            (b"{} x", "there is something after its end (line 1, column 4)"),
            (b"[1,]", "there is a comma too many before a closing bracket (line 1, column 4)"),
            (b"{\"a\": 1,}", "there is a comma too many before a closing bracket (line 1, column 9)"),
            (b"{a: 1}", "a key is not a text in double quotes (line 1, column 2)"),
            (b"{\"a\" 1}", "a colon is missing after a key (line 1, column 6)"),
            (b"[1 2]", "a comma or the closing `]` is missing (line 1, column 4)"),
            (b"{\"a\": 1 2}", "a comma or the closing `}` is missing (line 1, column 9)"),
            (b"[01]", "a number is not written as JSON writes it (line 1, column 3)"),
            (b"1e999", "a number is too large for 64 bits (line 1, column 5)"),
            (br#"["\x"]"#, "a text has an escape that JSON does not know (line 1, column 4)"),
            (br#"["\ud800"]"#, "a text has an escape"),
            (b"[\"a\nb\"]", "a text has a control character"),
            (b"[\"\xff\"]", "it is not UTF-8 (line 1, column 3)"),
            (b"{\n \"a\": \xc3}", "it is not UTF-8 (line 2, column 7)"),
            (b"\xff\xfe", "it is UTF-16, by its first bytes; UTF-8 is needed"),
            (b"{\0}\0", "it is UTF-16, by its first bytes; UTF-8 is needed"),
            (b"\0{\0}", "it is UTF-16, by its first bytes; UTF-8 is needed"),
            (b"\xff\xfe\0\0", "it is UTF-32; UTF-8 is needed"),
            (b"\xef\xbb\xbf{}", "it begins with a byte order mark (EF BB BF), which JSON does not have"),
        ] {
            let found = sentence(text);
            assert!(found.starts_with(expected), "{}: {found}", text.escape_ascii());
        }
        assert!(sentence("[".repeat(4000).as_bytes()).starts_with("it is nested too deeply"));
    }

    #[test]
    fn messages_of_derived_types_are_not_echoed() {
        let text = b"[1, \"x\"]";
        let error = serde_json::from_slice::<Vec<u8>>(text).expect_err("no numbers");
        assert_eq!(json_error(&error, text), "a value is not of the type that is needed (line 1, column 7)");
    }
}
