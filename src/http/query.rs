//! Query strings: a field that a route does not read is refused, on every route and method.
//!
//! The check runs before any handler, so that a handler that reads no query cannot forget it: `POST /v1/jobs?dryrun=true`
//! must not queue a job.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use url::form_urlencoded;

use super::error::Problem;
use super::list::PageParams;
use super::{datasets, diagnostics, events, jobs, metrics, predict, weights};
use crate::job::fault::suggestion;

/// The fields that a route reads. A route that is not here reads none.
fn fields_read(method: &str, route: &str) -> &'static [&'static str] {
    match (method, route) {
        ("GET", "/v1/jobs") => field_names::<jobs::ListParams>(),
        ("POST", "/v1/jobs") => field_names::<jobs::SubmitParams>(),
        ("GET", "/v1/jobs/{id}/events") => field_names::<events::EventParams>(),
        ("GET", "/v1/jobs/{id}/metrics") => field_names::<metrics::MetricsParams>(),
        ("GET", "/v1/jobs/{id}/diagnostics") => field_names::<diagnostics::DiagnosticsParams>(),
        ("GET", "/v1/jobs/{id}/weights" | "/v1/models/{name}/versions/{version}/weights") => {
            field_names::<weights::WeightsParams>()
        }
        ("GET", "/v1/models" | "/v1/datasets" | "/v1/recipes") => field_names::<PageParams>(),
        ("GET", "/v1/datasets/{name}/samples") => field_names::<datasets::SampleParams>(),
        ("POST", "/predict") => field_names::<predict::PredictParams>(),
        _ => &[],
    }
}

/// Answers 400 to a request with a query field that its route does not read. The page and its files are served with any:
/// they change nothing, and links to them may carry one.
pub(super) async fn refuse_unknown_fields(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let problem = match (route, request.uri().query()) {
        (Some("/" | "/assets/{*path}") | None, _) | (_, None) => None,
        (Some(route), Some(query)) => unknown_field(request.method(), route, query),
    };
    match problem {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn unknown_field(method: &Method, route: &str, query: &str) -> Option<Problem> {
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let known = fields_read(method, route);
    let unknown =
        form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name).find(|name| !known.contains(&&**name))?;
    let hint = match (suggestion(&unknown, known.iter().copied()), known) {
        (_, []) => "; this route takes none".to_owned(),
        (near, known) if near.is_empty() => format!("; this route takes {}", known.join(", ")),
        (near, _) => near,
    };
    Some(Problem::bad_request(format!("the query string: unknown field `{}`{hint}", unknown.escape_debug())))
}

/// The names of a struct's fields, as its deserialisation asks for them.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Fails once it has asked.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("there are no values"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_reads_the_fields_of_its_struct() {
        assert_eq!(fields_read("GET", "/v1/jobs/{id}/weights"), ["format"]);
        assert_eq!(fields_read("POST", "/v1/jobs"), ["dry_run"]);
        assert!(fields_read("POST", "/v1/jobs/{id}/cancel").is_empty());
    }

    #[test]
    fn names_are_decoded_before_they_are_compared() {
        let refused = |method: Method, query: &str| unknown_field(&method, "/v1/jobs", query).is_some();
        for sound in ["limit=5&after=x", "%6cimit=5", "", "&&"] {
            assert!(!refused(Method::GET, sound), "{sound}");
            assert!(!refused(Method::HEAD, sound), "{sound}");
        }
        for wrong in ["limits=5", "limit=5&x", "=5", "%00=1", "LIMIT=5"] {
            assert!(refused(Method::GET, wrong), "{wrong}");
        }
        assert!(refused(Method::POST, "limit=5") && !refused(Method::POST, "dry_run=true"));
        assert!(refused(Method::DELETE, "limit=5"));
    }
}
