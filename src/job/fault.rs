//! Faults of a document, each with the place where it is.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) as a URI fragment, `#` for the whole document.
    pub pointer: String,
    /// What, and what would be right.
    pub detail: String,
}

/// All faults of a document; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// The same faults of a document that is the member `key` of another.
    #[must_use]
    pub fn within(self, key: &str) -> Self {
        let outer = Pointer::root().at(key).0;
        let place = |Fault { pointer, detail }| Fault { pointer: pointer.replacen('#', &outer, 1), detail };
        Self(self.0.into_iter().map(place).collect())
    }
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            write!(f, "{}{}: {}", if i == 0 { "" } else { "; " }, fault.pointer, fault.detail)?;
        }
        Ok(())
    }
}

/// A place in a document.
#[derive(Debug, Clone)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    pub fn root() -> Self {
        Self("#".into())
    }

    /// The member or element `token` of this place.
    #[must_use]
    pub fn at(&self, token: impl fmt::Display) -> Self {
        let token = token.to_string().replace('~', "~0").replace('/', "~1");
        // A fragment holds no characters that a URI does not; they are percent-encoded (RFC 6901 §6).
        let mut pointer = format!("{}/", self.0);
        for byte in token.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
                pointer.push(char::from(byte));
            } else {
                pointer.push_str(&format!("%{byte:02X}"));
            }
        }
        Self(pointer)
    }

    /// A fault at this place.
    pub fn fault(&self, detail: impl Into<String>) -> Fault {
        Fault { pointer: self.0.clone(), detail: detail.into() }
    }
}

/// `; did you mean …?` where one of `known` is near to `given`, or nothing.
pub fn suggestion<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let given = given.to_lowercase();
    let near = known
        .into_iter()
        .map(|name| (strsim::osa_distance(&given, name), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(given.chars().count()).div_ceil(3))
        .min();
    near.map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_escaped() {
        let place = Pointer::root().at("network").at(3).at("a/b~c ü");
        assert_eq!(place.fault("x").pointer, "#/network/3/a~1b~0c%20%C3%BC");
    }

    #[test]
    fn faults_move_with_their_document() {
        let faults = Faults(vec![Pointer::root().fault("a"), Pointer::root().at("b").fault("c")]).within("spec");
        assert_eq!(faults.0.iter().map(|f| f.pointer.as_str()).collect::<Vec<_>>(), ["#/spec", "#/spec/b"]);
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_not() {
        assert_eq!(suggestion("untis", ["units", "kernel"]), "; did you mean `units`?");
        assert_eq!(suggestion("Adma", ["adam", "sgd"]), "; did you mean `adam`?");
        assert_eq!(suggestion("colour", ["units", "kernel"]), "");
    }
}
