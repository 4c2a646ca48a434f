//! How a part of a spec describes itself: one table per part serves the checks of a job spec, its defaults, the error
//! messages and the catalog that forms are built from.

use serde::Serialize;
use serde_json::Value;

/// One registered thing: a layer, an optimizer, a loss, an initialisation.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Entry {
    /// The canonical name, as in `{"type": "affine"}`.
    #[serde(rename = "type")]
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// What it is, in a sentence or two, with its formula.
    pub doc: &'static str,
    /// Its fields, besides `type`.
    pub fields: &'static [Field],
}

/// One field of an object.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What stands for a missing key.
    pub default: Default,
    /// What it means, with its unit.
    pub doc: &'static str,
}

impl Field {
    /// A field that must be given.
    pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, default: Default::Required, doc }
    }

    /// A field with a default, written as JSON.
    pub const fn optional(name: &'static str, kind: Kind, json: &'static str, doc: &'static str) -> Self {
        Self { name, kind, default: Default::Json(json), doc }
    }
}

/// What stands for a missing key.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Default {
    /// Nothing: the key must be there.
    Required,
    /// This JSON text.
    Json(&'static str),
}

impl Default {
    /// The default as a value; `None` if the field is required.
    ///
    /// # Panics
    /// If a table holds a text that is not JSON; a test reads every table.
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Required => None,
            Self::Json(text) => Some(serde_json::from_str(text).expect("defaults in the tables are JSON")),
        }
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A whole number within bounds, both included.
    Count {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A whole number within bounds, both included, which may be negative.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A finite number within bounds.
    Number {
        /// Lower bound.
        min: Bound,
        /// Upper bound.
        max: Bound,
    },
    /// Sizes along height and width: `5` or `[5, 3]`, each within bounds, both included.
    Pair {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// `true` or `false`.
    Flag,
    /// One of some words.
    Word(&'static [&'static str]),
    /// One of some words, or the other kind.
    WordOr {
        /// The words.
        words: &'static [&'static str],
        /// The other kind; not a text.
        other: &'static Kind,
    },
    /// A text of 1 to `max_chars` characters; `slug` restricts it to what a name in a URL may hold.
    Text {
        /// Longest, in characters.
        max_chars: usize,
        /// Whether only `a-z A-Z 0-9 . _ -` may occur, a letter or digit first.
        slug: bool,
    },
    /// One of a registry's entries: `{"type": NAME, …}`, or just `NAME` where every field has a default.
    OneOf(#[serde(serialize_with = "entries")] fn() -> &'static [Entry]),
    /// A list of a registry's entries.
    ListOf {
        /// The registry.
        #[serde(serialize_with = "entries")]
        of: fn() -> &'static [Entry],
        /// Longest.
        max_items: usize,
    },
    /// An object with these fields.
    Object(&'static [Field]),
    /// `null`, or the other kind.
    Nullable(&'static Kind),
}

fn entries<S: serde::Serializer>(registry: &fn() -> &'static [Entry], serializer: S) -> Result<S::Ok, S::Error> {
    registry().serialize(serializer)
}

/// An end of a range of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The number itself is allowed.
    Included(f64),
    /// Only numbers beyond it are allowed.
    Excluded(f64),
}

/// The typed spec of an entry with its defaults (a count without one is its smallest), for the tests of registries.
///
/// # Panics
/// If the table and the type do not know the same fields.
#[cfg(test)]
pub(super) fn example<T: serde::de::DeserializeOwned + Serialize>(entry: &Entry) -> T {
    let mut spec = serde_json::Map::from_iter([("type".into(), entry.name.into())]);
    for field in entry.fields {
        let value = match (field.default.value(), field.kind) {
            (Some(value), _) => value,
            (None, Kind::Count { min, .. } | Kind::Pair { min, .. }) => min.into(),
            (None, kind) => panic!("`{}` of `{}` needs an example of {kind:?}", field.name, entry.name),
        };
        spec.insert(field.name.into(), value);
    }
    let read: T = serde_json::from_value(spec.clone().into()).expect("the type knows the table's fields");
    assert_eq!(serde_json::to_value(&read).expect("plain data"), Value::Object(spec), "the table knows the type's");
    read
}
