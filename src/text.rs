//! Floor ½: texts from strangers, as far as people read them.
//!
//! Some characters do not show, or change how what stands around them shows: U+202E turns the text after it, so that
//! `gpj.exe` looks like `exe.jpg`. In a name they only deceive.

use std::borrow::Cow;

mod json_error;

pub use json_error::json_error;

/// Format characters (General_Category=Cf, Unicode 16), and the two that end lines and paragraphs.
const FORMAT: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];
/// The non-joiner and the joiner: spelling in Persian and Hindi, and part of emoji.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// The first character of a name that does not show or changes how others show; a joiner counts only where it has nothing
/// to join.
pub fn hidden_character(name: &str) -> Option<char> {
    let joins = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !is_hidden(c) && !c.is_whitespace());
    let mut before = None;
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        let joined = JOINERS.contains(&c) && joins(before) && joins(rest.peek().copied());
        if is_hidden(c) && !joined {
            return Some(c);
        }
        before = Some(c);
    }
    None
}

/// A text with escapes (`\u{202e}`, `\n`) in place of the characters that do not show or change how others show.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if is_hidden(c) { c.escape_debug().to_string() } else { c.into() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Whether a character is a control or format character.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || FORMAT.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_scripts_are_fine() {
        for name in [
            "two-layer net",
            "손글씨 2",
            "Zahlen (groß)",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "👩\u{200d}💻 run",
            "ἀβγ",
            "שלום",
            "e\u{301}",
        ] {
            assert_eq!(hidden_character(name), None, "{name}");
        }
    }

    #[test]
    fn what_deceives_is_escaped() {
        assert_eq!(visible("손글씨 `a` \\ \"b\""), "손글씨 `a` \\ \"b\"");
        assert_eq!(visible("\u{202e}gpj\0 \n\u{ad}"), "\\u{202e}gpj\\0 \\n\\u{ad}");
    }

    #[test]
    fn what_deceives_is_found() {
        for hidden in [
            '\0',
            '\n',
            '\t',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0041}',
        ] {
            for name in [format!("a{hidden}b"), format!("{hidden}ä"), format!("ä{hidden}")] {
                assert_eq!(hidden_character(&name), Some(hidden), "{name:?}");
            }
        }
        for name in ["a\u{200d}b", "\u{200d}ä", "ä\u{200c}", "ä\u{200d}\u{200d}ä"] {
            assert!(hidden_character(name).is_some(), "{name:?}");
        }
    }
}
