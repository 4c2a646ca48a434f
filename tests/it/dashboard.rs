//! The page in a real Chromium: the list, a running job's charts, a drawn digit's probabilities.
//!
//! Where no Chromium is found the test says so loudly, and fails if `CI` is `true`.

use std::time::Duration;

use chromiumoxide::Page;
use chromiumoxide::browser::{Browser, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::input::{DispatchMouseEventParams, DispatchMouseEventType, MouseButton};
use chromiumoxide::cdp::js_protocol::runtime::EventExceptionThrown;
use futures_util::StreamExt;
use serde_json::json;

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
    let running = site.client.submit(&long_job()).await;
    let mut stream = Stream::open(&site.client, &running, None).await;
    while stream.next().await.expect("events").event != "epoch" {}

    let page = browser.new_page("about:blank").await.expect("a page");
    let mut exceptions = page.event_listener::<EventExceptionThrown>().await.expect("a listener");
    page.goto(site.base.as_str()).await.expect("the page loads");
    until(&page, "the list", "document.querySelectorAll('a[href^=\"#/jobs/\"]').length >= 2").await;
    until(&page, "a running job", "document.body.innerText.toLowerCase().includes('running')").await;

    page.evaluate(format!("location.hash = '#/jobs/{running}'")).await.expect("the browser lives");
    until(&page, "the charts", "document.querySelectorAll('main svg path').length >= 2").await;
    let steps = "document.querySelector('.pace').textContent";
    until(&page, "a pace", &format!("{steps}.includes('step')")).await;
    let before: String = page.evaluate(steps).await.expect("text").into_value().expect("text");
    until(&page, "live progress", &format!("{steps} !== {}", json!(before))).await;

    page.evaluate("location.hash = '#/try?model=mnist'").await.expect("the browser lives");
    until(&page, "the pad", "document.querySelector('canvas') !== null").await;
    let place = "(() => { const c = document.querySelector('canvas'); c.scrollIntoView(); const r = c.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()";
    let [x, y, width, height]: [f64; 4] = page.evaluate(place).await.expect("a place").into_value().expect("numbers");
    mouse(&page, DispatchMouseEventType::MousePressed, x + width * 0.5, y + height * 0.2).await;
    for i in 0..=20 {
        mouse(&page, DispatchMouseEventType::MouseMoved, x + width * 0.5, y + height * (0.2 + 0.03 * f64::from(i)))
            .await;
    }
    mouse(&page, DispatchMouseEventType::MouseReleased, x + width * 0.5, y + height * 0.8).await;
    until(&page, "probabilities", "/\\d+([.,]\\d+)? ?%/.test(document.body.innerText)").await;

    let complaint = tokio::time::timeout(Duration::ZERO, exceptions.next()).await;
    assert!(complaint.is_err(), "the page threw: {complaint:?}");
    browser.close().await.expect("it closes");
    events.abort();
    site.stop().await;
}
