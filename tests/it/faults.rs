//! Bad input gets a clear error and loses nothing.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Site, quick_job};

/// Sends a body and returns status, content type and problem.
async fn send(site: &Site, method: &str, path: &str, kind: Option<&str>, body: Vec<u8>) -> (u16, Value) {
    let mut request = site.client.request(method, path).body(body);
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    let response = request.send().await.expect("an answer");
    let (status, kind) = (response.status(), response.headers()["content-type"].clone());
    assert_eq!(kind, "application/problem+json", "{method} {path}: {status}");
    let problem: Value = response.json().await.expect("JSON");
    assert_eq!(problem["status"], status.as_u16());
    assert!(problem["title"].is_string() && problem["detail"].is_string());
    (status.as_u16(), problem)
}

/// Expected status, method, path, content type, body.
type Case = (u16, &'static str, String, Option<&'static str>, Vec<u8>);

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_a_problem_with_the_right_status() {
    let site = Site::start().await;
    let none = "01890000-0000-7000-8000-000000000000";
    let json = Some("application/json");
    let cases: Vec<Case> = vec![
        (404, "GET", "/nothing".into(), None, vec![]),
        (404, "GET", "/v1/nothing".into(), None, vec![]),
        (404, "GET", "/assets/../Cargo.toml".into(), None, vec![]),
        (405, "DELETE", "/v1/jobs".into(), None, vec![]),
        (405, "GET", "/predict".into(), None, vec![]),
        (404, "GET", format!("/v1/jobs/{none}"), None, vec![]),
        (404, "GET", "/v1/jobs/7".into(), None, vec![]),
        (404, "POST", format!("/v1/jobs/{none}/cancel"), None, vec![]),
        (404, "GET", format!("/v1/jobs/{none}/events"), None, vec![]),
        (404, "GET", format!("/v1/jobs/{none}/metrics"), None, vec![]),
        (404, "GET", format!("/v1/jobs/{none}/weights"), None, vec![]),
        (404, "DELETE", format!("/v1/jobs/{none}"), None, vec![]),
        (404, "DELETE", "/v1/jobs/7".into(), None, vec![]),
        (404, "DELETE", "/v1/models/none".into(), None, vec![]),
        (404, "DELETE", "/v1/models/none/versions/1".into(), None, vec![]),
        (404, "DELETE", "/v1/models/none/versions/newest".into(), None, vec![]),
        (405, "DELETE", "/v1/models".into(), None, vec![]),
        (404, "GET", "/v1/datasets/none/samples".into(), None, vec![]),
        (400, "GET", "/v1/jobs?limit=0".into(), None, vec![]),
        (400, "GET", "/v1/jobs?limit=1000".into(), None, vec![]),
        (400, "GET", "/v1/jobs?limit=x".into(), None, vec![]),
        (400, "GET", "/v1/jobs?status=done".into(), None, vec![]),
        (400, "GET", "/v1/jobs?colour=red".into(), None, vec![]),
        (400, "GET", "/v1/jobs?after=x".into(), None, vec![]),
        (400, "POST", "/v1/jobs".into(), json, b"{".to_vec()),
        (422, "POST", "/v1/jobs".into(), json, b"[]".to_vec()),
        (422, "POST", "/v1/jobs".into(), json, vec![]),
        (415, "POST", "/v1/jobs".into(), Some("text/xml"), b"<job/>".to_vec()),
        (413, "POST", "/v1/jobs".into(), json, vec![b' '; 17 << 20]),
        (404, "POST", "/predict".into(), json, b"{\"image\": []}".to_vec()),
        (400, "POST", "/predict?model=a%20b".into(), json, b"{}".to_vec()),
        (404, "POST", "/predict?model=none@3".into(), json, b"{}".to_vec()),
        (400, "POST", "/predict?modle=mnist".into(), json, b"{}".to_vec()),
    ];
    for (expected, method, path, kind, body) in cases {
        let (status, problem) = send(&site, method, &path, kind, body).await;
        assert_eq!(status, expected, "{method} {path}: {problem}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_spec_names_every_fault_and_leaves_nothing_behind() {
    let site = Site::start().await;
    let mut spec = quick_job();
    spec["epohcs"] = json!(3);
    spec["network"][2]["units"] = json!(11);
    spec["optimizer"]["type"] = json!("adma");
    let body = spec.to_string().into_bytes();
    let (status, problem) = send(&site, "POST", "/v1/jobs", Some("application/json"), body).await;
    let pointers: Vec<_> = problem["errors"].as_array().expect("a list").iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(status, 422);
    assert_eq!(pointers, ["#/epohcs", "#/optimizer/type"]);
    let mut spec = quick_job();
    spec["network"][2]["units"] = json!(11);
    spec["dataset"]["train_limit"] = json!(601);
    let (status, problem) = send(&site, "POST", "/v1/jobs", None, spec.to_string().into_bytes()).await;
    assert_eq!((status, problem["errors"].as_array().map(Vec::len)), (422, Some(2)), "{problem}");
    assert_eq!(site.client.get("/v1/jobs").await.1["data"], json!([]));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trained_is_a_problem_wherever_a_spec_is_taken() {
    let site = Site::start().await;
    for (member, value, pointer) in [
        ("epohcs", json!(3), "#/epohcs"),
        ("network", json!([]), "#/network"),
        ("network", json!([{"type": "conv2d", "filters": 3, "kernel": 29}]), "#/network/0/kernel"),
        ("network", json!([{"type": "affine", "units": 10}, {"type": "max_pool2d"}]), "#/network/1"),
        ("network", json!([{"type": "affine", "units": 10}, "softmax"]), "#/network/1"),
        ("network", json!([{"type": "affine", "units": 1 << 20}, {"type": "affine", "units": 1 << 20}]), "#/network/1"),
        ("steps", json!(5), "#/steps"),
        ("early_stopping", json!({}), "#/early_stopping"),
        ("schedule", json!({"type": "cosine", "warmup_epochs": 12}), "#/schedule/warmup_epochs"),
        ("recipe", json!("two_layer"), "#/recipe"),
    ] {
        let mut spec = quick_job();
        spec[member] = value;
        for (path, body, place) in [
            ("/v1/jobs", spec.clone(), pointer.to_owned()),
            ("/v1/gradient-check", spec.clone(), pointer.to_owned()),
            ("/v1/gradient-check", json!({"spec": spec}), pointer.replacen('#', "#/spec", 1)),
        ] {
            let (status, problem) = send(&site, "POST", path, None, body.to_string().into_bytes()).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(place)), "{path} {body}: {problem}");
        }
    }
    assert_eq!(site.client.get("/v1/jobs").await.1["data"], json!([]));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_images_are_told_where_they_are_wrong() {
    let site = Site::start().await;
    let id = site.client.submit(&quick_job()).await;
    site.client.finished(&id).await;
    for (status, body) in [
        (400, "{"),
        (422, "{}"),
        (422, "{\"image\": [1, 2, 3]}"),
        (422, "{\"image\": \"not base64!\"}"),
        (422, "{\"images\": []}"),
        (422, "{\"image\": [], \"images\": []}"),
        (422, "{\"picture\": []}"),
    ] {
        let (found, problem) = send(&site, "POST", "/predict", Some("application/json"), body.into()).await;
        assert_eq!(found, status, "{body}: {problem}");
    }
    for (status, kind, body) in [
        (422, "application/octet-stream", vec![0; 783]),
        (400, "image/png", b"\x89PNG\r\n\x1a\nnot really".to_vec()),
        (415, "audio/ogg", vec![0; 784]),
    ] {
        let (found, problem) = send(&site, "POST", "/predict", Some(kind), body).await;
        assert_eq!(found, status, "{kind}: {problem}");
    }
    let (status, _) = site.client.post("/predict", &json!({"image": vec![0; 784]})).await;
    assert_eq!(status, StatusCode::OK);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_without_a_header_works_and_a_foreign_page_does_not() {
    let site = Site::start().await;
    let post = || site.client.request("POST", "/v1/jobs").body(quick_job().to_string());
    let form = "application/x-www-form-urlencoded";
    let response = post().header("content-type", form).send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let response = post().header("content-type", form).header("origin", "http://evil.example").send().await;
    assert_eq!(response.expect("an answer").status(), StatusCode::FORBIDDEN);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_a_strict_policy() {
    let site = Site::start().await;
    let response = site.client.request("GET", "/").send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let policy = response.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/version", 200), ("/v1/catalog", 200)] {
        assert_eq!(site.client.get(path).await.0.as_u16(), status);
    }
    site.stop().await;
}

/// Words of libraries, which say nothing to whoever has sent the request.
const LIBRARIES: &[&str] = &[
    "i/o error",
    "os error",
    "entity",
    "non-zero type",
    "invalid digit",
    "target type",
    "invalid type",
    "expected `",
    "missing field",
    "unknown variant",
    "failed to fill",
    "corrupt deflate",
    "Zip archive",
    "Format error",
    "decoder",
    "deserializ",
    "header-too",
    "invalid-",
    "relative URL",
    "InvalidHeader",
    "Utf8Error",
    "Err(",
    "EOF while",
    "expected value",
    "expected ident",
    "trailing c",
    "key must be",
    "recursion limit",
    "descr",
    "4294967295",
];

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_sentences_of_ours() {
    let site = Site::start().await;
    let id = site.client.submit(&quick_job()).await;
    site.client.finished(&id).await;
    let form = |field: &str, value: &[u8]| {
        let head = |name: &str, file: &str| {
            format!("--B\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes()
        };
        let mut body = [head("name", ""), b"set\r\n".to_vec()].concat();
        let file = if field == "file" || field.ends_with("_images") { "; filename=\"f\"" } else { "" };
        body.extend([head(field, file), value.to_vec(), b"\r\n--B--\r\n".to_vec()].concat());
        body
    };
    let weights = |file: &[u8]| {
        let spec = json!({"dataset": {"name": "mnist"}, "network": [{"type": "affine", "units": 10}]}).to_string();
        let head = b"--B\r\ncontent-disposition: form-data; name=\"spec\"\r\n\r\n".to_vec();
        [head, spec.into_bytes(), b"\r\n".to_vec(), form("file", file)].concat()
    };
    let spec = |text: &[u8]| form("spec", text);
    let one_tensor = |name: &str| {
        let header = json!({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).to_string();
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat()
    };
    let (json, octets, jpeg) = (Some("application/json"), Some("application/octet-stream"), Some("image/jpeg"));
    let multipart = Some("multipart/form-data; boundary=B");
    let npy = b"\x93NUMPY\x01\x00".to_vec();
    let cases: Vec<(Case, &str)> = vec![
        ((400, "GET", "/v1/jobs?limit=x".into(), None, vec![]), "`limit` is `x`; a whole number"),
        ((400, "GET", "/v1/jobs?limit=99999999999".into(), None, vec![]), "`limit` is `99999999999`; a whole number"),
        ((400, "GET", "/v1/jobs?limit=".into(), None, vec![]), "`limit` is ``; a whole number"),
        ((400, "GET", "/v1/jobs?limit=1&limit=2".into(), None, vec![]), "`limit` comes more than once"),
        ((400, "GET", "/v1/jobs?status=done".into(), None, vec![]), "`status`: `done` is none of `queued`"),
        ((400, "GET", "/v1/datasets/mnist/samples?offset=-1".into(), None, vec![]), "`offset` is `-1`"),
        ((400, "POST", "/predict?return_input=yes".into(), json, vec![]), "`return_input` is `yes`; `true` or `false`"),
        ((400, "POST", "/predict?pixel_range=2".into(), json, vec![]), "`2` is none of `0-1`, `0-255`"),
        ((400, "GET", "/v1/models/%ff".into(), None, vec![]), "not UTF-8"),
        ((400, "GET", "/v1/jobs/%ff".into(), None, vec![]), "not UTF-8"),
        ((415, "POST", "/v1/datasets".into(), json, b"{}".to_vec()), "a form is needed, as curl -F sends it"),
        ((415, "POST", "/v1/models".into(), Some("multipart/form-data"), vec![]), "a form is needed"),
        ((400, "POST", "/v1/datasets".into(), multipart, b"--B\r\n".to_vec()), "the form cannot be read"),
        ((400, "POST", "/v1/datasets".into(), multipart, b"nonsense".to_vec()), "the form cannot be read"),
        ((422, "POST", "/v1/datasets".into(), multipart, form("file", b"a,b,label\n1,2,3\n")), "perhaps CSV"),
        ((422, "POST", "/v1/datasets".into(), multipart, form("file", b"")), "the file is empty"),
        ((422, "POST", "/v1/datasets".into(), multipart, form("file", &npy)), "np.savez_compressed"),
        ((422, "POST", "/v1/datasets".into(), multipart, form("file", b"PK\x03\x04")), "damaged or cut off"),
        (
            (422, "POST", "/v1/datasets".into(), multipart, form("file", &[b"PK\x03\x04", &[9; 60][..]].concat())),
            "archive",
        ),
        ((422, "POST", "/v1/datasets".into(), multipart, form("file", b"\x1f\x8b\x08")), "compressed by gzip"),
        (
            (422, "POST", "/v1/datasets".into(), multipart, form("class_names", b"[1]")),
            "a JSON list of texts is needed",
        ),
        ((422, "POST", "/v1/datasets".into(), multipart, form("train_images", b"\x1f\x8b\x08")), "is missing"),
        ((422, "POST", "/v1/models".into(), multipart, weights(b"")), "less than the 8 bytes"),
        ((422, "POST", "/v1/models".into(), multipart, weights(b"nonsense")), "not the length of a header"),
        ((422, "POST", "/v1/models".into(), multipart, weights(b"\x02\0\0\0\0\0\0\0[]")), "not the JSON of one"),
        (
            (422, "POST", "/predict".into(), json, b"{\"pixel_range\": 5}".to_vec()),
            "`pixel_range` is \"0-1\" or \"0-255\"",
        ),
        ((422, "POST", "/predict".into(), json, b"5".to_vec()), "images, or an object"),
        ((422, "POST", "/predict".into(), json, b"null".to_vec()), "images, or an object"),
        ((422, "POST", "/predict".into(), octets, vec![0; 5]), "5 bytes are not a whole number of images"),
        ((400, "POST", "/predict".into(), jpeg, b"\xff\xd8\xff\xe0\x00".to_vec()), "damaged picture: it is cut off"),
        ((400, "POST", "/predict".into(), Some("image/png"), b"\x89PNG\r\n\x1a\nx".to_vec()), "damaged picture"),
        ((404, "GET", "/v1/jobs/%E2%80%AEabc".into(), None, vec![]), "no job \\\\u{202e}abc"),
        ((404, "GET", "/v1/jobs/%00".into(), None, vec![]), "no job \\\\0"),
        ((404, "POST", "/v1/jobs/%E2%80%AEabc/fork".into(), json, b"{}".to_vec()), "no job \\\\u{202e}abc"),
        ((400, "GET", "/v1/jobs?after=%E2%80%AE".into(), None, vec![]), "u{202e}"),
        (
            (422, "POST", "/v1/models".into(), multipart, weights(&one_tensor("zz\u{202e}"))),
            "the network has no tensor `zz\\\\u{202e}`",
        ),
        ((400, "GET", "/v1/jobs?limit=-1".into(), None, vec![]), "`limit` is `-1`; a whole number from 1 to 200"),
        ((400, "GET", "/v1/models?limit=0".into(), None, vec![]), "`limit` is `0`; a whole number from 1 to 200"),
        (
            (400, "GET", "/v1/datasets/mnist/samples?limit=101".into(), None, vec![]),
            "`limit` is `101`; a whole number from 1 to 100",
        ),
        ((400, "GET", format!("/v1/jobs/{id}/events?limit=x"), None, vec![]), "a whole number from 1 to 10000"),
        ((400, "GET", format!("/v1/jobs/{id}/diagnostics?limit=-1"), None, vec![]), "a whole number from 1 to 100"),
        ((422, "POST", "/v1/datasets".into(), multipart, form("class_names", b"{\"a\": 1}")), "a JSON list of texts"),
        ((422, "POST", "/v1/models".into(), multipart, spec(b"{")), "it ends too early (line 1, column 1)"),
        ((422, "POST", "/v1/models".into(), multipart, spec(b" ")), "it is empty; a JSON object is needed"),
        ((422, "POST", "/v1/jobs".into(), json, b"{\"webhook\": \"x\"}".to_vec()), "no URL: it has no scheme"),
    ];
    let texts: [(&[u8], &str); 9] = [
        (b"{", "it ends too early (line 1, column 1)"),
        (b"[1", "it ends too early (line 1, column 2)"),
        (b"\xff\xfe", "it is UTF-16"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"[\"\xff\"]", "it is not UTF-8 (line 1, column 3)"),
        (b"nonsense", "it is not JSON here (line 1, column 2)"),
        (b"{} x", "there is something after its end (line 1, column 4)"),
        (b"{\"a\": 1,}", "a comma too many"),
        (b"1e999", "too large for 64 bits"),
    ];
    let documents = ["/v1/jobs".to_owned(), format!("/v1/jobs/{id}/fork"), "/v1/gradient-check".to_owned()];
    let unreadable = documents
        .iter()
        .flat_map(|path| texts.map(|(text, words)| ((400, "POST", path.clone(), json, text.to_vec()), words)));
    for ((expected, method, path, kind, body), words) in cases.into_iter().chain(unreadable) {
        let (status, problem) = send(&site, method, &path, kind, body).await;
        assert_eq!(status, expected, "{method} {path}: {problem}");
        let text = problem.to_string().replace("\\\"", "\"");
        assert!(text.contains(words), "{method} {path}: {words} in {text}");
        let foreign = LIBRARIES.iter().find(|words| text.contains(**words));
        assert_eq!(foreign, None, "{method} {path}: {text}");
    }
    site.stop().await;
}
