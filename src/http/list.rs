//! Lists: a page of data, and where the next one begins.

use serde::Serialize;

use super::error::Problem;

/// A page of a list.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    data: Vec<T>,
    has_more: bool,
    last_id: Option<String>,
}

impl<T> List<T> {
    /// All there is.
    pub(super) fn whole(data: Vec<T>) -> Self {
        Self { data, has_more: false, last_id: None }
    }

    /// A page, with the id to go on after.
    pub(super) fn page(data: Vec<T>, has_more: bool, last_id: Option<String>) -> Self {
        Self { data, has_more, last_id }
    }
}

/// Checks `limit` of a list.
pub(super) fn check_limit(limit: u32, most: u32) -> Result<(), Problem> {
    if (1..=most).contains(&limit) {
        return Ok(());
    }
    Err(Problem::bad_request(format!("the query string: `limit` {limit} is not within 1 to {most}")))
}
