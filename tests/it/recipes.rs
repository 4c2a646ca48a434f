//! Recipes: listed with their whole spec, and trained by name.

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::Site;

#[tokio::test(flavor = "multi_thread")]
async fn recipes_are_listed_and_shown_with_every_default() {
    let site = Site::start().await;
    let (status, list) = site.client.get("/v1/recipes").await;
    assert_eq!(status, StatusCode::OK);
    let names: Vec<_> = list["data"].as_array().expect("a list").iter().map(|recipe| recipe["name"].clone()).collect();
    assert!(names.contains(&json!("simple_convnet")), "{names:?}");
    let (_, recipe) = site.client.get("/v1/recipes/simple_convnet").await;
    assert!(list["data"].as_array().expect("a list").contains(&recipe));
    assert_eq!(recipe["spec"]["optimizer"]["beta1"], 0.9);
    assert_eq!(recipe["spec"]["network"][0]["stride"], 1);
    let (status, problem) = site.client.get("/v1/recipes/simple_convnt").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(problem["detail"].as_str().expect("text").contains("did you mean `simple_convnet`?"), "{problem}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_be_a_recipe_with_changes() {
    let site = Site::start().await;
    let body = json!({"recipe": "two_layer_net", "dataset": {"train_limit": 300}, "epochs": 2, "model": "mine"});
    let id = site.client.submit(&body).await;
    let job = site.client.finished(&id).await;
    assert_eq!(
        (&job["status"], &job["name"], &job["model"]),
        (&json!("succeeded"), &json!("Two-layer net"), &json!("mine"))
    );
    assert_eq!((&job["progress"]["step"], &job["spec"]["dataset"]["name"]), (&json!(6), &json!("mnist")));
    // What is kept is the whole spec: a job does not change with its recipe.
    assert_eq!((&job["spec"]["recipe"], &job["spec"]["init"]["type"]), (&json!(null), &json!("he")));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_that_is_none_is_refused_with_a_suggestion() {
    let site = Site::start().await;
    for (body, pointer, words) in [
        (json!({"recipe": "deep_convent"}), "#/recipe", "did you mean `deep_convnet`?"),
        (json!({"recipe": null}), "#/recipe", "two_layer_net"),
        (json!({"recipe": "fast99", "optimizer": {"type": "adma"}}), "#/optimizer/type", "adam"),
        (json!({"recipe": "two_layer_net", "dataset": {"name": "mnits"}}), "#/dataset/name", "did you mean `mnist`?"),
    ] {
        let (status, problem) = site.client.post("/v1/jobs", &body).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(pointer)));
        assert!(problem["errors"][0]["detail"].as_str().expect("text").contains(words), "{problem}");
    }
    assert_eq!(site.client.get("/v1/jobs").await.1["data"], json!([]));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn xor_needs_a_hidden_layer() {
    let site = Site::start().await;
    let mut accuracies = vec![];
    for recipe in ["perceptron_xor", "xor_two_layer"] {
        let id = site.client.submit(&json!({"recipe": recipe})).await;
        accuracies.push(site.client.finished(&id).await["metrics"]["test_accuracy"].as_f64().expect("a number"));
    }
    assert!(accuracies[0] < 1.0 && accuracies[1] == 1.0, "{accuracies:?}");
    site.stop().await;
}

/// Gates that one line separates are learned whole; the curves reach, within a point, the classifier that knows the
/// curves the points were drawn from (`data::toy`'s tests compute its share: 0.993 and 0.985).
#[tokio::test(flavor = "multi_thread")]
async fn toy_recipes_reach_the_accuracy_that_their_data_allow() {
    let site = Site::start().await;
    for (recipe, least) in [
        ("perceptron_and", 1.0),
        ("perceptron_or", 1.0),
        ("perceptron_nand", 1.0),
        ("spiral_two_layer", 0.98),
        ("moons_two_layer", 0.975),
    ] {
        let id = site.client.submit(&json!({"recipe": recipe})).await;
        let accuracy = site.client.finished(&id).await["metrics"]["test_accuracy"].as_f64().expect("a number");
        assert!(accuracy >= least, "{recipe}: {accuracy}");
    }
    site.stop().await;
}
