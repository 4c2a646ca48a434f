//! Holds a document against the tables in which the parts of a spec describe themselves.
//!
//! The walk does not stop at the first fault. What comes out is the document with every default filled in and every
//! alias replaced by its canonical name, so that reading it into the typed spec cannot fail.

use serde_json::{Map, Value};

use super::fault::{Fault, Pointer, suggestion};
use crate::engine::describe::{Bound, Entry, Field, Kind};
use crate::text::hidden_character;

/// Checks `value` as an object of `fields`; faults are appended to `faults`.
pub fn object(fields: &[Field], value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    match value.as_object() {
        Some(members) => members_of(fields, members, None, place, faults),
        None => wrong(value, "an object", place, faults),
    }
}

/// Checks the members of an object; `tag` is the key that has already been read, with its canonical value.
fn members_of(
    fields: &[Field],
    members: &Map<String, Value>,
    tag: Option<&'static str>,
    place: &Pointer,
    faults: &mut Vec<Fault>,
) -> Value {
    for key in members.keys() {
        let is_tag = tag.is_some() && key == "type";
        if !is_tag && !fields.iter().any(|field| field.name == key) {
            let known = suggestion(key, fields.iter().map(|field| field.name));
            faults.push(place.at(key).fault(format!("unknown field `{}`{known}", key.escape_debug())));
        }
    }
    let mut complete = Map::new();
    if let Some(name) = tag {
        complete.insert("type".into(), name.into());
    }
    for field in fields {
        let checked = match (members.get(field.name), field.default.value()) {
            (Some(Value::String(text)), None) if text.trim().is_empty() && matches!(field.kind, Kind::Text { .. }) => {
                faults.push(place.at(field.name).fault(format!("a {} is needed: {}", field.name, field.doc)));
                Value::Null
            }
            (Some(value), _) => kind(field.kind, value, &place.at(field.name), faults),
            (None, Some(default)) => kind(field.kind, &default, &place.at(field.name), faults),
            (None, None) => {
                faults.push(place.fault(format!("the field `{}` is missing: {}", field.name, field.doc)));
                Value::Null
            }
        };
        complete.insert(field.name.into(), checked);
    }
    Value::Object(complete)
}

fn kind(kind_: Kind, value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    match kind_ {
        Kind::Nullable(_) if value.is_null() => Value::Null,
        Kind::Nullable(inner) => kind(*inner, value, place, faults),
        Kind::Count { min, max } => count(min, max, value, place, faults),
        Kind::Integer { min, max } => integer(min, max, value, place, faults),
        Kind::Number { min, max } => number(min, max, value, place, faults),
        Kind::Pair { min, max } => pair(min, max, value, place, faults),
        Kind::Flag if value.is_boolean() => value.clone(),
        Kind::Flag => wrong(value, "true or false", place, faults),
        Kind::WordOr { other, .. } if !value.is_string() => kind(*other, value, place, faults),
        Kind::Word(words) | Kind::WordOr { words, .. } => word(words, value, place, faults),
        Kind::Text { max_chars, slug } => text(max_chars, slug, value, place, faults),
        Kind::Object(fields) => object(fields, value, place, faults),
        Kind::OneOf(registry) => entry(registry(), value, place, faults),
        Kind::ListOf { of, max_items } => list(of(), max_items, value, place, faults),
    }
}

fn count(min: u64, max: u64, value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    // 100.0 is a whole number too: some clients write every number with a point.
    let whole = value
        .as_u64()
        .or_else(|| value.as_f64().filter(|v| v.fract() == 0.0 && (0.0..9e15).contains(v)).map(|v| v as u64));
    match whole {
        Some(n) if (min..=max).contains(&n) => n.into(),
        Some(n) => {
            faults.push(place.fault(format!("{n} is not within {min} to {max}")));
            Value::Null
        }
        None if value.is_number() => wrong(value, &format!("a whole number within {min} to {max}"), place, faults),
        None => wrong(value, "a whole number", place, faults),
    }
}

fn integer(min: i64, max: i64, value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    let whole = value
        .as_i64()
        .or_else(|| value.as_f64().filter(|v| v.fract() == 0.0 && (-9e15..9e15).contains(v)).map(|v| v as i64));
    match whole {
        Some(n) if (min..=max).contains(&n) => n.into(),
        _ => wrong(value, &format!("a whole number within {min} to {max}"), place, faults),
    }
}

/// `5` and `[5, 5]` mean the same; the shorter one is kept.
fn pair(min: u64, max: u64, value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    match value.as_array().map(Vec::as_slice) {
        None if value.is_number() => count(min, max, value, place, faults),
        Some([height, width]) => {
            let height = count(min, max, height, &place.at(0), faults);
            let width = count(min, max, width, &place.at(1), faults);
            if height == width { height } else { Value::Array(vec![height, width]) }
        }
        _ => wrong(value, "a whole number, or two of them as [height, width],", place, faults),
    }
}

fn word(words: &[&'static str], value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    let all = || words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
    let Some(text) = value.as_str() else { return wrong(value, &all(), place, faults) };
    if !words.contains(&text) {
        let known = suggestion(text, words.iter().copied());
        faults.push(place.fault(format!("`{}` is not {}{known}", text.escape_debug(), all())));
    }
    value.clone()
}

fn number(min: Bound, max: Bound, value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    let Some(n) = value.as_f64() else { return wrong(value, "a number", place, faults) };
    let above = match min {
        Bound::Included(bound) => n >= bound,
        Bound::Excluded(bound) => n > bound,
    };
    let below = match max {
        Bound::Included(bound) => n <= bound,
        Bound::Excluded(bound) => n < bound,
    };
    if above && below {
        return n.into();
    }
    let low = match min {
        Bound::Included(bound) => format!("at least {bound}"),
        Bound::Excluded(bound) => format!("more than {bound}"),
    };
    let high = match max {
        Bound::Included(bound) => format!("at most {bound}"),
        Bound::Excluded(bound) => format!("less than {bound}"),
    };
    faults.push(place.fault(format!("{value} is not {low} and {high}")));
    Value::Null
}

fn text(max_chars: usize, slug: bool, value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    let Some(text) = value.as_str() else { return wrong(value, "a text", place, faults) };
    let fault = if text.trim().is_empty() {
        Some("an empty text says nothing; leave the field out instead".into())
    } else if text.chars().count() > max_chars {
        Some(format!("longer than {max_chars} characters"))
    } else if slug && !is_slug(text) {
        Some(format!(
            "`{}` may hold only letters, digits, `.`, `_` and `-`, a letter or digit first",
            text.escape_debug()
        ))
    } else {
        hidden_character(text).map(|c| {
            format!("the character U+{:04X} is not allowed: it does not show, or changes how others show", u32::from(c))
        })
    };
    faults.extend(fault.map(|detail| place.fault(detail)));
    value.clone()
}

/// Whether a name can stand in a URL as it is.
pub fn is_slug(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn entry(registry: &'static [Entry], value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    let none = Map::new();
    let (name, members, name_place) = match value {
        Value::String(name) => (name.as_str(), &none, place.clone()),
        Value::Object(members) => match members.get("type") {
            Some(Value::String(name)) => (name.as_str(), members, place.at("type")),
            Some(other) => return wrong(other, "a text", &place.at("type"), faults),
            None => {
                faults.push(place.fault(format!("the field `type` is missing: one of {}", names(registry))));
                return Value::Null;
            }
        },
        other => return wrong(other, "an object with a `type`, or its name", place, faults),
    };
    let known = registry.iter().find(|entry| entry.name == name || entry.aliases.contains(&name));
    let Some(found) = known else {
        let all = registry.iter().flat_map(|entry| std::iter::once(entry.name).chain(entry.aliases.iter().copied()));
        let hint = suggestion(name, all);
        let hint = if hint.is_empty() { format!("; there are {}", names(registry)) } else { hint };
        faults.push(name_place.fault(format!("unknown type `{}`{hint}", name.escape_debug())));
        return Value::Null;
    };
    members_of(found.fields, members, Some(found.name), place, faults)
}

fn names(registry: &[Entry]) -> String {
    registry.iter().map(|entry| format!("`{}`", entry.name)).collect::<Vec<_>>().join(", ")
}

fn list(of: &'static [Entry], max_items: usize, value: &Value, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    let Some(items) = value.as_array() else { return wrong(value, "a list", place, faults) };
    if items.is_empty() {
        faults.push(place.fault("the list is empty; at least one item is needed"));
    }
    if items.len() > max_items {
        faults.push(place.fault(format!("{} items; at most {max_items} are allowed", items.len())));
        return Value::Null;
    }
    Value::Array(items.iter().enumerate().map(|(i, item)| entry(of, item, &place.at(i), faults)).collect())
}

fn wrong(value: &Value, needed: &str, place: &Pointer, faults: &mut Vec<Fault>) -> Value {
    let given = match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(n) => n.to_string(),
        Value::String(_) => "a text".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    };
    faults.push(place.fault(format!("{needed} is needed, not {given}")));
    Value::Null
}
