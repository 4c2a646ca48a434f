//! Lists in pages: whatever is deleted while a client pages, it misses nothing.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Site, quick_job};
use crate::uploads::points;

/// A job that trains one mini-batch.
fn tiny_job() -> Value {
    let mut spec = quick_job();
    spec["dataset"]["train_limit"] = json!(50);
    spec["epochs"] = json!(1);
    spec
}

/// One page, as its ids, whether there is more, and where to go on.
async fn page(client: &Client, path: &str, id: &str) -> (Vec<String>, bool, Value) {
    let (status, page) = client.get(path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {page}");
    let text = |item: &Value| item[id].as_str().expect("text").to_owned();
    let ids = page["data"].as_array().expect("a list").iter().map(text).collect();
    (ids, page["has_more"] == true, page["last_id"].clone())
}

/// All pages after an id; what `between` does happens before each but the first.
async fn all_pages(client: &Client, path: &str, id: &str, limit: usize) -> Vec<String> {
    let (mut found, mut query) = (vec![], format!("{path}?limit={limit}"));
    loop {
        let (ids, has_more, last) = page(client, &query, id).await;
        assert!(ids.len() == limit || !has_more, "a page that is followed by another is full");
        found.extend(ids);
        if !has_more {
            return found;
        }
        query = format!("{path}?limit={limit}&after={}", last.as_str().expect("an id to go on after"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_follows_a_job_that_is_deleted() {
    let site = Site::start().await;
    let client = &site.client;
    let mut oldest_first = vec![];
    for _ in 0..9 {
        oldest_first.push(client.submit(&tiny_job()).await);
    }
    client.finished(&oldest_first[8]).await;
    let newest_first: Vec<_> = oldest_first.iter().rev().cloned().collect();
    assert_eq!(all_pages(client, "/v1/jobs", "id", 2).await, newest_first);

    let cursor = newest_first[3].clone();
    assert_eq!(client.delete(&format!("/v1/jobs/{cursor}")).await.0, StatusCode::NO_CONTENT);
    for (order, rest) in [("desc", &newest_first[4..]), ("asc", &oldest_first[6..])] {
        let path = format!("/v1/jobs?after={cursor}&order={order}");
        let (ids, has_more, _) = page(client, &path, "id").await;
        assert_eq!((&ids[..], has_more), (rest, false), "{order}");
        let (ids, has_more, _) = page(client, &format!("{path}&limit=2&status=succeeded"), "id").await;
        assert_eq!((&ids[..], has_more), (&rest[..2], rest.len() > 2), "{order}");
    }
    // Its neighbours too, and it holds after a restart.
    for gone in [&newest_first[4], &newest_first[2]] {
        assert_eq!(client.delete(&format!("/v1/jobs/{gone}")).await.0, StatusCode::NO_CONTENT);
    }
    let site = site.restart().await;
    let (ids, ..) = page(&site.client, &format!("/v1/jobs?after={cursor}"), "id").await;
    assert_eq!(ids, newest_first[5..]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_never_was_is_refused() {
    let site = Site::start().await;
    let client = &site.client;
    let id = client.submit(&tiny_job()).await;
    client.finished(&id).await;
    for after in ["01890000-0000-7000-8000-000000000000", "x", "", "%FF", "mnist", &id[..35]] {
        let (status, problem) = client.get(&format!("/v1/jobs?after={after}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{after}: {problem}");
        assert!(problem["detail"].as_str().expect("text").contains("last_id"), "{after}: {problem}");
    }
    for list in ["models", "datasets", "recipes"] {
        for wrong in ["after=a%20b", "after=", "limit=0", "limit=201", "limit=x", "offset=3"] {
            let (status, problem) = client.get(&format!("/v1/{list}?{wrong}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{list} {wrong}: {problem}");
        }
    }
    let (status, problem) = client.get("/v1/recipes?after=fast98").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "no recipe is ever deleted");
    assert!(problem["detail"].as_str().expect("text").contains("did you mean `fast99`?"), "{problem}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_datasets_and_recipes_come_in_pages() {
    let site = Site::start().await;
    let client = &site.client;
    let mut last = String::new();
    for model in ["b", "a", "d", "c", "b"] {
        let mut spec = tiny_job();
        spec["model"] = json!(model);
        last = client.submit(&spec).await;
    }
    client.finished(&last).await;
    assert_eq!(all_pages(client, "/v1/models", "name", 2).await, ["a", "b", "c", "d"]);
    let (_, whole) = client.get("/v1/models?limit=200").await;
    assert_eq!(whole["data"][1]["versions"].as_array().map(Vec::len), Some(2), "with all its versions");
    assert_eq!(client.delete("/v1/models/b").await.0, StatusCode::NO_CONTENT);
    assert_eq!(page(client, "/v1/models?after=b", "name").await.0, ["c", "d"]);

    let built_in = all_pages(client, "/v1/datasets", "name", 3).await;
    let mut expected = built_in.clone();
    for name in ["zeta", "beta"] {
        let (status, _, answer) =
            client.post_form("/v1/datasets", &[("name", false, name.as_bytes()), ("file", true, &points())]).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    expected.extend(["beta".to_owned(), "zeta".into()]);
    assert_eq!(all_pages(client, "/v1/datasets", "name", 3).await, expected);
    assert_eq!(client.delete("/v1/datasets/beta").await.0, StatusCode::NO_CONTENT);
    assert_eq!(page(client, "/v1/datasets?after=beta", "name").await.0, ["zeta"]);
    assert_eq!(page(client, "/v1/datasets?after=zeta", "name").await.0, [""; 0]);

    let recipes = all_pages(client, "/v1/recipes", "name", 4).await;
    assert_eq!(recipes, all_pages(client, "/v1/recipes", "name", 200).await);
    assert!(recipes.len() > 4);
    site.stop().await;
}
