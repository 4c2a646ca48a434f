//! What a command printed, held against what a document says that it prints.

use std::fmt::Write as _;

/// Members of JSON whose numbers differ from run to run.
const VOLATILE: [&str; 5] = ["samples_per_second", "eta_seconds", "estimated_seconds", "seconds", "id"];

/// How closely numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// To the last digit.
    Exact,
    /// Their places only: fractions, percentages and hashes are those of other kernels.
    Places,
}

/// Whether a text is what is expected, of which each `…` stands for anything.
pub(crate) fn is_printed(expected: &str, found: &str, numbers: Numbers) -> bool {
    let found = normalised(found, numbers);
    let mut rest = found.as_str();
    let parts: Vec<_> = expected.split('…').map(|part| normalised(part, numbers)).collect();
    for (place, part) in parts.iter().enumerate() {
        let part = part.as_str();
        let start = match (place, rest.find(part)) {
            (0, Some(at)) if at > 0 => return false,
            (_, None) => return false,
            (_, Some(at)) => at,
        };
        if place + 1 == parts.len() {
            return rest.ends_with(part);
        }
        rest = &rest[start + part.len()..];
    }
    true
}

/// A text without what differs from run to run: ids, times, ports, durations and speeds.
pub(crate) fn normalised(text: &str, numbers: Numbers) -> String {
    // What takes long says now and then that it lives, or how far it is. Spaces at the end of a line are not seen.
    let text = text.replace(": alive\n\n", "");
    let lines = text.trim().lines().filter(|line| !line.contains(" samples/s ")).map(str::trim_end);
    let text = lines.collect::<Vec<_>>().join("\n");
    let (mut clean, mut rest) = (String::from("\n"), text.as_str());
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"._-:+".contains(c)).unwrap_or(rest.len());
        // The colon of a member of JSON is none of its value.
        let end = if first == ':' { 1 } else { end };
        if end < 2 && !first.is_ascii_alphanumeric() {
            // A number of another length moves what is set in columns.
            if !(numbers == Numbers::Places && first == ' ' && clean.ends_with(' ')) {
                clean.push(first);
            }
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(end);
        let word = replaced(word, &clean, after, numbers).unwrap_or(word);
        clean.push_str(word);
        rest = after;
    }
    clean.split_off(1)
}

/// What stands for a word that differs from run to run; `before` and `after` are the text around it.
fn replaced(word: &str, before: &str, after: &str, numbers: Numbers) -> Option<&'static str> {
    let is_of = |key: &&str| before.ends_with(&format!("\"{key}\":")) || before.ends_with(&format!("\n{key}: "));
    let changes = (is_number(word) && after.starts_with(" s)")) || VOLATILE.iter().any(is_of);
    // A figure on the way is one of the moment at which it was due.
    let of_moment = is_number(word) && before.lines().next_back().is_some_and(|l| l.contains("\"type\":\"metrics\""));
    let of_kernels = numbers == Numbers::Places && (is_fraction(word) || is_hash(word));
    if is_uuid(word) {
        Some("UUID")
    } else if word.parse::<jiff::Timestamp>().is_ok() {
        Some("TIME")
    } else if word.strip_prefix("127.0.0.1:").is_some_and(|port| port.parse::<u16>().is_ok()) {
        Some("127.0.0.1:PORT")
    } else if changes || of_moment || of_kernels {
        Some("N")
    } else {
        None
    }
}

fn is_uuid(word: &str) -> bool {
    let parts: Vec<_> = word.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok()
}

fn is_fraction(word: &str) -> bool {
    is_number(word) && (word.contains('.') || word.contains('e'))
}

/// SHA-256 in hexadecimal digits, whole or its first twelve.
fn is_hash(word: &str) -> bool {
    word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Both texts, for whoever has to find the difference.
pub(crate) fn difference(expected: &str, found: &str, numbers: Numbers) -> String {
    let mut text = String::new();
    for (what, part) in [("expected", expected), ("printed", found)] {
        write!(text, "--- {what}\n{}\n", normalised(part, numbers)).expect("a string takes everything");
    }
    write!(text, "--- printed, as it came\n{found}").expect("a string takes everything");
    text
}

#[test]
fn only_what_differs_from_run_to_run_is_left_out() {
    let expected = r#"id: 3
data: {"id":3,"job":"01a20a5b-f431-740f-a3f4-874120f1b0d7","at":"2026-11-23T21:42:29.885Z","loss":1.25,"eta_seconds":3.1}
…
epoch 1/8  accuracy 87.31 %  (0.5 s)  sha256 4ed8c044dabb5d434b1d53f0006939bc  http://127.0.0.1:8080/x"#;
    let found = r#"id: 4
data: {"id":4,"job":"01a20a5b-f431-740f-a3f4-874120f1b0d8","at":"2026-12-23T21:42:29Z","loss":1.25,"eta_seconds":null}
anything
epoch 1/8  accuracy 87.31 %  (12 s)  sha256 4ed8c044dabb5d434b1d53f0006939bc  http://127.0.0.1:40123/x  "#;
    assert!(is_printed(expected, found, Numbers::Exact), "{}", difference(expected, found, Numbers::Exact));
    for (from, to) in [("1.25", "1.26"), ("87.31", "87.32"), ("4ed8", "4ed9")] {
        let other = found.replace(from, to);
        assert!(!is_printed(expected, &other, Numbers::Exact), "{to}");
        assert!(is_printed(expected, &other, Numbers::Places), "{to}");
    }
    for (from, to) in [("epoch 1/8", "epoch 1/9"), ("\"loss\"", "\"lost\""), ("/x", "/x\nmore")] {
        assert!(!is_printed(expected, &found.replace(from, to), Numbers::Places), "{to}");
    }
    assert!(is_printed("a…", "a b", Numbers::Exact) && !is_printed("a…", "b a", Numbers::Exact));
    assert!(is_printed("a", " a\n", Numbers::Exact) && !is_printed("a", "a b", Numbers::Exact));
}
