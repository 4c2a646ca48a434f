//! The page in a real Chromium: the list, a running job's charts and buttons, a finished job's insides and mistakes, the
//! reference of a new job, a drawn digit's probabilities.
//!
//! Where no Chromium is found the test says so loudly, and fails if `CI` is `true`.

use std::time::Duration;

use chromiumoxide::Page;
use chromiumoxide::browser::{Browser, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::input::{DispatchMouseEventParams, DispatchMouseEventType, MouseButton};
use chromiumoxide::cdp::js_protocol::runtime::EventExceptionThrown;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Site, Stream, long_job, quick_job};

/// The browser, or `None` where there is none and that is allowed.
fn chromium() -> Option<std::path::PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!ci, "no Chromium found, and CI is true: install the package `chromium`");
        eprintln!("\n*** NO CHROMIUM FOUND: the dashboard was NOT tested. Install the package `chromium`. ***\n");
    }
    found
}

/// Waits until a JavaScript expression is true.
async fn until(page: &Page, what: &str, expression: &str) {
    let wait = async {
        loop {
            let value = page.evaluate(expression).await.ok().and_then(|result| result.into_value::<bool>().ok());
            if value == Some(true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), wait).await.is_err() {
        let text = page.evaluate("document.body.innerText").await.ok().and_then(|r| r.into_value::<String>().ok());
        panic!("{what} did not come; the page says:\n{}", text.unwrap_or_default());
    }
}

async fn mouse(page: &Page, kind: DispatchMouseEventType, x: f64, y: f64) {
    let event = DispatchMouseEventParams::builder().r#type(kind).x(x).y(y).button(MouseButton::Left).buttons(1);
    page.execute(event.click_count(1).build().expect("a mouse event")).await.expect("the browser lives");
}

async fn go(page: &Page, hash: &str) {
    page.evaluate(format!("location.hash = '{hash}'")).await.expect("the browser lives");
}

/// What a finished job's page shows of its network: every number is checked against what the API says.
async fn shows_what_it_learned(page: &Page, site: &Site, done: &str) {
    let (_, known) = site.client.get(&format!("/v1/jobs/{done}/diagnostics?limit=20")).await;
    go(page, &format!("#/jobs/{done}")).await;

    let cells = "[...document.querySelectorAll('table.confusion tbody tr')].map(row => \
                 [...row.querySelectorAll('td')].map(cell => Number(cell.textContent)))";
    until(page, "the confusion matrix", &format!("{cells}.length === 10")).await;
    let matrix: Value = page.evaluate(cells).await.expect("a table").into_value().expect("numbers");
    assert_eq!(matrix, known["evaluation"]["confusion"], "the matrix is the evaluation's");

    let mistakes = known["evaluation"]["worst"].as_array().expect("a list").len().min(12);
    until(page, "the worst mistakes", &format!("document.querySelectorAll('.mistakes canvas').length === {mistakes}"))
        .await;

    let bars =
        "[...document.querySelectorAll('.layers .bars')].map(bars => bars.getAttribute('d').split('M').length - 1)";
    until(page, "a histogram of each layer", &format!("{bars}.length === 3")).await;
    let drawn: Vec<usize> = page.evaluate(bars).await.expect("pictures").into_value().expect("numbers");
    let last = &known["epochs"].as_array().expect("a list").last().expect("an epoch")["layers"];
    let filled = |layer: usize| {
        let counts = last[layer]["activations"]["counts"].as_array().expect("counts");
        counts.iter().filter(|count| **count != json!(0)).count()
    };
    assert_eq!(drawn, [0, 1, 2].map(filled), "one bar for each bin with values");
    until(page, "norms of W1 b1 W2 b2", "document.querySelectorAll('.tensors tbody tr').length === 4").await;
}

/// Two layers solve XOR, and the map of their decisions shows it; there is nothing to draw for such a network.
async fn maps_the_plane(page: &Page, xor: &str) {
    go(page, &format!("#/jobs/{xor}")).await;
    let said = "document.querySelector('.map:not([hidden]) .map-about')?.innerText.includes('All 4 samples lie')";
    until(page, "the decision map", said).await;
    let painted = "(() => { const c = document.querySelector('.map canvas'); \
                   const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height); \
                   return new Set(new Uint32Array(data.buffer)).size > 10; })()";
    until(page, "areas of more than one colour", painted).await;
    let tries = "[...document.querySelectorAll('.actions a')].some(a => a.innerText === 'Try it' && !a.hidden)";
    until(page, "no drawing", &format!("!{tries}")).await;
}

async fn reads_a_drawing(page: &Page) {
    go(page, "#/try?model=mnist").await;
    until(page, "the pad", "document.querySelector('canvas.pad')?.clientWidth > 0").await;
    let place = "(() => { const c = document.querySelector('canvas.pad'); c.scrollIntoView(); const r = c.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()";
    let [x, y, width, height]: [f64; 4] = page.evaluate(place).await.expect("a place").into_value().expect("numbers");
    mouse(page, DispatchMouseEventType::MousePressed, x + width * 0.5, y + height * 0.2).await;
    for i in 0..=20 {
        mouse(page, DispatchMouseEventType::MouseMoved, x + width * 0.5, y + height * (0.2 + 0.03 * f64::from(i)))
            .await;
    }
    mouse(page, DispatchMouseEventType::MouseReleased, x + width * 0.5, y + height * 0.8).await;
    until(page, "probabilities", "/\\d+%/.test(document.querySelector('.probabilities .winner')?.innerText)").await;
}

/// Presses the button of a job's page that says this.
async fn press(page: &Page, word: &str) {
    let button =
        format!("[...document.querySelectorAll('.actions button')].find(b => !b.hidden && b.textContent === '{word}')");
    until(page, word, &format!("!!{button}")).await;
    page.evaluate(format!("{button}.click()")).await.expect("the browser lives");
}

/// A job that has ended is deleted from its page, which then shows the others.
async fn deletes_a_job(page: &Page, job: &str) {
    go(page, &format!("#/jobs/{job}")).await;
    press(page, "Delete").await;
    press(page, "Really?").await;
    let links = "[...document.querySelectorAll('a[href^=\"#/jobs/\"]')]";
    until(page, "the list without it", &format!("{links}.length && {links}.every(a => !a.href.includes('{job}'))"))
        .await;
}

/// The buttons of a running job pause it, let it go on, and let even a cancelled one go on.
async fn pauses_and_resumes(page: &Page) {
    let status = |word: &str| format!("document.querySelector('.page-head .chip').textContent === '{word}'");
    let press = async |word: &str| press(page, word).await;
    press("Pause").await;
    until(page, "a paused job", &status("paused")).await;
    press("Resume").await;
    until(page, "a resumed job", &status("running")).await;
    press("Cancel").await;
    press("Really?").await;
    until(page, "a cancelled job", &status("cancelled")).await;
    press("Resume").await;
    until(page, "a job resumed after its end", &status("running")).await;
    // The stream that had ended goes on.
    let steps = "document.querySelector('.pace').textContent";
    let before: String = page.evaluate(steps).await.expect("text").into_value().expect("text");
    until(page, "live progress", &format!("{steps} !== {}", json!(before))).await;
}

/// The reference of a new job is the catalog, and what is searched for remains.
async fn explains_a_spec(page: &Page) {
    let open = "document.getElementById('new-job').click(); document.querySelector('.reference').open = true";
    page.evaluate(open).await.expect("the browser lives");
    until(page, "the reference", "document.querySelectorAll('.reference-list li').length > 50").await;
    let search = "(() => { const s = document.querySelector('.search'); s.value = 'label_smoothing'; \
                  s.dispatchEvent(new Event('input')); })()";
    page.evaluate(search).await.expect("the browser lives");
    let left = "[...document.querySelectorAll('.reference-list li:not([hidden]) code')].map(code => code.textContent)";
    until(page, "one entry", &format!("{left}.join() === 'softmax_cross_entropy.label_smoothing'")).await;
    page.evaluate("document.querySelector('dialog').close()").await.expect("the browser lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_training_and_reads_a_drawing() {
    let Some(executable) = chromium() else { return };
    let profile = tempfile::tempdir().expect("a folder");
    let config = BrowserConfig::builder()
        .chrome_executable(executable)
        .user_data_dir(profile.path())
        .no_sandbox()
        .window_size(1280, 900)
        .args([
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .build()
        .expect("a configuration");
    let (mut browser, mut handler) = Browser::launch(config).await.expect("Chromium starts");
    let events = tokio::spawn(async move { while handler.next().await.is_some() {} });

    let site = Site::start().await;
    let done = site.client.submit(&quick_job()).await;
    site.client.finished(&done).await;
    let xor = site.client.submit(&json!({"recipe": "xor_two_layer"})).await;
    site.client.finished(&xor).await;
    let running = site.client.submit(&long_job()).await;
    let mut stream = Stream::open(&site.client, &running, None).await;
    while stream.next().await.expect("events").event != "epoch" {}

    let page = browser.new_page("about:blank").await.expect("a page");
    let mut exceptions = page.event_listener::<EventExceptionThrown>().await.expect("a listener");
    page.goto(site.base.as_str()).await.expect("the page loads");
    until(&page, "the list", "document.querySelectorAll('a[href^=\"#/jobs/\"]').length >= 2").await;
    until(&page, "a running job", "document.body.innerText.toLowerCase().includes('running')").await;

    go(&page, &format!("#/jobs/{running}")).await;
    until(&page, "the charts", "document.querySelectorAll('main .lines path').length >= 2").await;
    let steps = "document.querySelector('.pace').textContent";
    until(&page, "a pace", &format!("{steps}.includes('step')")).await;
    let before: String = page.evaluate(steps).await.expect("text").into_value().expect("text");
    until(&page, "live progress", &format!("{steps} !== {}", json!(before))).await;

    pauses_and_resumes(&page).await;
    shows_what_it_learned(&page, &site, &done).await;
    maps_the_plane(&page, &xor).await;
    explains_a_spec(&page).await;

    reads_a_drawing(&page).await;
    deletes_a_job(&page, &done).await;

    let complaint = tokio::time::timeout(Duration::ZERO, exceptions.next()).await;
    assert!(complaint.is_err(), "the page threw: {complaint:?}");
    browser.close().await.expect("it closes");
    events.abort();
    site.stop().await;
}
