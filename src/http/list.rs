//! Lists: a page of data, and where the next one begins.

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
pub(super) fn default_limit() -> u32 {
    50
}

/// `?limit=&after=` of a list whose ids are names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    #[serde(default = "default_limit")]
    limit: u32,
    /// The last name of the page before.
    after: Option<String>,
}

impl PageParams {
    /// The limit, and the name to go on after.
    pub(super) fn check(self) -> Result<(u32, Option<String>), Problem> {
        check_limit(self.limit, PAGE_MAX)?;
        if let Some(name) = self.after.as_deref().filter(|name| !is_slug(name)) {
            let name = name.escape_debug();
            let detail = format!("the query string: `after` `{name}` is no name; it takes the `last_id` of a page");
            return Err(Problem::bad_request(detail));
        }
        Ok((self.limit, self.after))
    }
}

/// Checks `limit` of a list.
pub(super) fn check_limit(limit: u32, most: u32) -> Result<(), Problem> {
    if (1..=most).contains(&limit) {
        return Ok(());
    }
    Err(Problem::bad_request(format!("the query string: `limit` {limit} is not within 1 to {most}")))
}
