//! JSON without surprises: a key that comes twice is a fault, where most readers silently take the last.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fault::{Faults, Pointer};
use crate::text::json_error;

/// Reads a JSON text.
///
/// # Errors
/// If it is not one, is nested too deeply, or has a key twice; the fault says at which line and column.
pub fn parse(text: &[u8]) -> Result<Value, Faults> {
    let strict: Result<Strict, _> = serde_json::from_slice(text);
    match strict {
        Ok(Strict(value)) => Ok(value),
        Err(_) if text.iter().all(u8::is_ascii_whitespace) => {
            Err(Faults(vec![Pointer::root().fault("the body is empty; a JSON object is needed")]))
        }
        Err(error) => {
            Err(Faults(vec![Pointer::root().fault(format!("not readable as JSON: {}", json_error(&error, text)))]))
        }
    }
}

/// The first key that comes twice in an object; `None` also if the text is no object.
pub fn repeated_key(text: &[u8]) -> Option<String> {
    let Keys { repeated } = serde_json::from_slice(text).ok()?;
    repeated
}

struct Keys {
    repeated: Option<String>,
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Keys, A::Error> {
        let (mut seen, mut repeated) = (HashSet::new(), None);
        while let Some((key, IgnoredAny)) = members.next_entry::<String, IgnoredAny>()? {
            if repeated.is_none() && !seen.insert(key.clone()) {
                repeated = Some(key);
            }
        }
        Ok(Keys { repeated })
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(Value::Bool(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(Value::Number(value.into())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(Value::Number(value.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Strict, E> {
        Number::from_f64(value)
            .map(|n| Strict(Value::Number(n)))
            .ok_or_else(|| E::custom("a number is too large for 64 bits"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(Value::String(value.into())))
    }

    fn visit_string<E>(self, value: String) -> Result<Strict, E> {
        Ok(Strict(Value::String(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Strict(Value::Array(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.contains_key(&key) {
                return Err(serde::de::Error::custom(format_args!("the key `{key}` comes twice")));
            }
            object.insert(key, value);
        }
        Ok(Strict(Value::Object(object)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        let text = br#"{"a": [1, -2, 2.5, 18446744073709551615, true, null, "x\u00e9"], "b": {}}"#;
        assert_eq!(parse(text).expect("sound JSON"), serde_json::from_slice::<Value>(text).expect("sound JSON"));
    }

    #[test]
    fn a_repeated_key_is_found() {
        assert_eq!(repeated_key(br#"{"a": {"c": 1}, "b": [1], "\u0061": 2, "b": 3}"#).as_deref(), Some("a"));
        assert_eq!(repeated_key(br#"{"a": {"a": 1}}"#), None);
    }

    #[test]
    fn refuses_what_others_let_pass() {
        for (text, word) in [
            (&br#"{"a": 1, "a": 2}"#[..], "twice"),
            (br#"{"b": {"a": 1, "a": 2}}"#, "twice"),
            (b"", "empty"),
            (b"  \n", "empty"),
            (b"{\"a\": NaN}", "line 1"),
            (b"{} x", "after its end"),
            (b"1e999", "too large"),
            ("[".repeat(4000).as_bytes(), "nested too deeply"),
        ] {
            let Faults(faults) = parse(text).expect_err("unsound JSON");
            assert!(faults[0].detail.contains(word), "{}", faults[0].detail);
        }
    }
}
