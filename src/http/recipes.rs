//! `/v1/recipes`: ready specs, for `{"recipe": NAME}` in a job.

use axum::Json;

use super::error::Problem;
use super::list::List;
use super::params::Path;
use crate::job::fault::suggestion;
use crate::job::recipes::{Recipe, RecipeView, find, recipes};

pub(super) async fn list() -> Json<List<RecipeView>> {
    Json(List::whole(recipes().iter().map(Recipe::view).collect()))
}

pub(super) async fn show(Path(name): Path<String>) -> Result<Json<RecipeView>, Problem> {
    find(&name).map(|recipe| Json(recipe.view())).ok_or_else(|| {
        let hint = suggestion(&name, recipes().iter().map(|recipe| recipe.name.as_str()));
        Problem::not_found(format!("there is no recipe `{}`{hint}", name.escape_debug()))
    })
}
