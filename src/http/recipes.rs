//! `/v1/recipes`: ready specs, for `{"recipe": NAME}` in a job.

use axum::Json;

use super::error::Problem;
use super::list::{List, PageParams};
use super::params::{Params, Path};
use crate::job::fault::suggestion;
use crate::job::recipes::{Recipe, RecipeView, find, recipes};

pub(super) async fn list(Params(params): Params<PageParams>) -> Result<Json<List<RecipeView>>, Problem> {
    let (limit, after) = params.check()?;
    let first = match after {
        None => 0,
        Some(name) => {
            let place = recipes().iter().position(|recipe| recipe.name == name);
            place.ok_or_else(|| Problem::bad_request(format!("the query string: `after`: {}", unknown(&name))))? + 1
        }
    };
    let all = recipes().iter().map(Recipe::view).collect();
    Ok(Json(List::cut(all, first, limit, |recipe| recipe.name.to_owned())))
}

pub(super) async fn show(Path(name): Path<String>) -> Result<Json<RecipeView>, Problem> {
    find(&name).map(|recipe| Json(recipe.view())).ok_or_else(|| Problem::not_found(unknown(&name)))
}

fn unknown(name: &str) -> String {
    let hint = suggestion(name, recipes().iter().map(|recipe| recipe.name.as_str()));
    format!("there is no recipe `{}`{hint}", name.escape_debug())
}
