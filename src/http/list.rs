//! Lists: a page of data, and where the next one begins.

use std::fmt;

use serde::de::{Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::error::Problem;
use crate::job::check::is_slug;

/// A page of a list.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    data: Vec<T>,
    has_more: bool,
    last_id: Option<String>,
}

impl<T> List<T> {
    /// A page, with the id to go on after.
    pub(super) fn page(data: Vec<T>, has_more: bool, last_id: Option<String>) -> Self {
        Self { data, has_more, last_id }
    }

    /// A page of a list whose items are all at hand: those from index `first` on.
    pub(super) fn cut(mut all: Vec<T>, first: usize, limit: u32, id: impl Fn(&T) -> String) -> Self {
        let mut data = all.split_off(first.min(all.len()));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = data.len() > limit;
        data.truncate(limit);
        let last_id = data.last().map(id);
        Self { data, has_more, last_id }
    }
}

/// Most items of a page of jobs, models, datasets or recipes.
pub(super) const PAGE_MAX: u32 = 200;

/// Their number where nobody says how many.
pub(super) fn default_limit() -> Limit<PAGE_MAX> {
    Limit(50)
}

/// `?limit=`: a whole number from 1 to `MAX`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit<const MAX: u32>(pub(super) u32);

impl<'de, const MAX: u32> Deserialize<'de> for Limit<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(LimitVisitor::<MAX>)
    }
}

struct LimitVisitor<const MAX: u32>;

impl<const MAX: u32> Visitor<'_> for LimitVisitor<MAX> {
    type Value = Limit<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {MAX}")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Limit<MAX>, E> {
        let limit = text.parse().ok().filter(|limit| (1..=MAX).contains(limit));
        limit.map(Limit).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// `?limit=&after=` of a list whose ids are names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    #[serde(default = "default_limit")]
    limit: Limit<PAGE_MAX>,
    /// The last name of the page before.
    after: Option<String>,
}

impl PageParams {
    /// The limit, and the name to go on after.
    pub(super) fn check(self) -> Result<(u32, Option<String>), Problem> {
        if let Some(name) = self.after.as_deref().filter(|name| !is_slug(name)) {
            let name = name.escape_debug();
            let detail = format!("the query string: `after` `{name}` is no name; it takes the `last_id` of a page");
            return Err(Problem::bad_request(detail));
        }
        Ok((self.limit.0, self.after))
    }
}
