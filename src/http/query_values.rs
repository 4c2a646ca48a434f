//! Query strings into typed parameters, with errors that are sentences: which parameter, what it is, and what is needed.
//!
//! The texts of the libraries name a type of Rust ("invalid digit found in string"), and often not the parameter.

use std::fmt::{self, Display};

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeOwned, Deserializer, EnumAccess, Expected, IntoDeserializer, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use url::form_urlencoded;

use crate::job::fault::suggestion;

/// Reads the parameters of a query string.
///
/// # Errors
/// What is wrong with one of them, as a sentence.
pub(super) fn read<T: DeserializeOwned>(query: &str) -> Result<T, String> {
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let values = pairs.iter().map(|(name, text)| (&**name, Value { name, text }));
    T::deserialize(MapDeserializer::new(values)).map_err(|Sentence(text)| text)
}

/// What is wrong with a parameter.
#[derive(Debug)]
struct Sentence(String);

impl Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Sentence {}

impl de::Error for Sentence {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("{expected} is needed, not {unexpected}"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let near = suggestion(field, known.iter().copied());
        let hint = if near.is_empty() { format!("; there are {}", listed(known)) } else { near };
        Self(format!("unknown field `{}`{hint}", field.escape_debug()))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let near = suggestion(variant, known.iter().copied());
        Self(format!("`{}` is none of {}{near}", variant.escape_debug(), listed(known)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("`{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self(format!("`{field}` comes more than once"))
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A parameter's value, with its name for errors.
#[derive(Debug, Clone, Copy)]
struct Value<'a> {
    name: &'a str,
    text: &'a str,
}

impl Value<'_> {
    fn wrong(self, needed: impl Display) -> Sentence {
        let text: String = self.text.chars().take(80).collect();
        Sentence(format!("`{}` is `{}`; {needed} is needed", self.name, text.escape_debug()))
    }

    /// Puts the parameter's name before a sentence on its value.
    fn named(self, Sentence(text): Sentence) -> Sentence {
        Sentence(format!("`{}`: {text}", self.name))
    }
}

impl<'de> IntoDeserializer<'de, Sentence> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Reads numbers of these types.
macro_rules! numbers {
    ($($method:ident $visit:ident $needed:expr),+ $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Sentence> {
            visitor.$visit(self.text.parse().map_err(|_| self.wrong($needed))?)
        })+
    };
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Sentence;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Sentence> {
        // What the texts of other types are wrong with, such as those of ids, is said in the words of a library.
        let needed = (&visitor as &dyn Expected).to_string();
        visitor.visit_borrowed_str::<Sentence>(self.text).map_err(|_| self.wrong(needed))
    }

    numbers! {
        deserialize_u8 visit_u8 "a whole number from 0 to 255",
        deserialize_u16 visit_u16 "a whole number from 0 to 65535",
        deserialize_u32 visit_u32 "a whole number from 0 to 4294967295",
        deserialize_u64 visit_u64 "a whole number from 0 on",
        deserialize_i64 visit_i64 "a whole number",
        deserialize_f64 visit_f64 "a number",
        deserialize_bool visit_bool "`true` or `false`",
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Sentence> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Sentence> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Sentence> {
        visitor.visit_enum(self).map_err(|error| self.named(error))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Value<'de> {
    type Error = Sentence;
    type Variant = Self;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Sentence> {
        let name: StrDeserializer<'_, Sentence> = self.text.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Value<'de> {
    type Error = Sentence;

    fn unit_variant(self) -> Result<(), Sentence> {
        Ok(())
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, _seed: S) -> Result<S::Value, Sentence> {
        Err(self.wrong("a single word"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Sentence> {
        Err(self.wrong("a single word"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Sentence> {
        Err(self.wrong("a single word"))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        #[default]
        Up,
        Down,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Params {
        limit: u32,
        after: Option<Uuid>,
        #[serde(default)]
        order: Order,
        #[serde(default)]
        flag: bool,
        #[serde(default)]
        offset: usize,
        text: Option<String>,
    }

    #[test]
    fn parameters_are_read() {
        let id = Uuid::from_u128(7);
        let params: Params =
            read(&format!("limit=3&after={id}&order=down&flag=true&offset=9&text=a+b%20%C3%BC")).expect("sound");
        let text = Some("a b ü".to_owned());
        assert_eq!(params, Params { limit: 3, after: Some(id), order: Order::Down, flag: true, offset: 9, text });
        let params: Params = read("limit=0").expect("the others have defaults");
        assert_eq!((params.after, params.order, params.flag), (None, Order::Up, false));
    }

    #[test]
    fn errors_are_sentences() {
        for (query, sentence) in [
            ("", "`limit` is missing"),
            ("limit=", "`limit` is ``; a whole number from 0 to 4294967295 is needed"),
            ("limit=x", "`limit` is `x`; a whole number from 0 to 4294967295 is needed"),
            ("limit=-1", "`limit` is `-1`; a whole number from 0 to 4294967295 is needed"),
            ("limit=4294967296", "`limit` is `4294967296`; a whole number from 0 to 4294967295 is needed"),
            ("limit=1&limit=2", "`limit` comes more than once"),
            ("limit=1&flag=yes", "`flag` is `yes`; `true` or `false` is needed"),
            ("limit=1&offset=1.5", "`offset` is `1.5`; a whole number from 0 on is needed"),
            ("limit=1&order=dwon", "`order`: `dwon` is none of `up`, `down`; did you mean `down`?"),
            ("limit=1&after=7", "`after` is `7`; a formatted UUID string is needed"),
            ("limit=1&limits=2", "unknown field `limits`; did you mean `limit`?"),
            ("limit=1&%0a=2", "unknown field `\\n`; there are `limit`, `after`, `order`, `flag`, `offset`, `text`"),
        ] {
            assert_eq!(read::<Params>(query).expect_err(query), sentence, "{query}");
        }
    }
}
