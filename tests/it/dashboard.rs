//! The page in a real Chromium: the list, a running job's charts and buttons, a finished job's insides and mistakes, the
//! reference of a new job, a drawn digit's probabilities.
//!
//! Where no Chromium is found the test says so loudly, and fails if `CI` is `true`.

use serde_json::{Value, json};

use crate::browser::{Page, chromium};
use crate::harness::{Site, Stream, long_job, quick_job};

async fn go(page: &Page, hash: &str) {
    page.run(&format!("location.hash = '{hash}'")).await;
}

/// What a finished job's page shows of its network: every number is checked against what the API says.
async fn shows_what_it_learned(page: &Page, site: &Site, done: &str) {
    let (_, known) = site.client.get(&format!("/v1/jobs/{done}/diagnostics?limit=20")).await;
    go(page, &format!("#/jobs/{done}")).await;

    let cells = "[...document.querySelectorAll('table.confusion tbody tr')].map(row => \
                 [...row.querySelectorAll('td')].map(cell => Number(cell.textContent)))";
    page.until("the confusion matrix", &format!("{cells}.length === 10")).await;
    let matrix: Value = page.value(cells).await;
    assert_eq!(matrix, known["evaluation"]["confusion"], "the matrix is the evaluation's");

    let mistakes = known["evaluation"]["worst"].as_array().expect("a list").len().min(12);
    page.until("the worst mistakes", &format!("document.querySelectorAll('.mistakes canvas').length === {mistakes}"))
        .await;

    let bars =
        "[...document.querySelectorAll('.layers .bars')].map(bars => bars.getAttribute('d').split('M').length - 1)";
    page.until("a histogram of each layer", &format!("{bars}.length === 3")).await;
    let drawn: Vec<usize> = page.value(bars).await;
    let last = &known["epochs"].as_array().expect("a list").last().expect("an epoch")["layers"];
    let filled = |layer: usize| {
        let counts = last[layer]["activations"]["counts"].as_array().expect("counts");
        counts.iter().filter(|count| **count != json!(0)).count()
    };
    assert_eq!(drawn, [0, 1, 2].map(filled), "one bar for each bin with values");
    page.until("norms of W1 b1 W2 b2", "document.querySelectorAll('.tensors tbody tr').length === 4").await;
}

/// Two layers solve XOR, and the map of their decisions shows it; there is nothing to draw for such a network.
async fn maps_the_plane(page: &Page, xor: &str) {
    go(page, &format!("#/jobs/{xor}")).await;
    let said = "document.querySelector('.map:not([hidden]) .map-about')?.innerText.includes('All 4 samples lie')";
    page.until("the decision map", said).await;
    let painted = "(() => { const c = document.querySelector('.map canvas'); \
                   const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height); \
                   return new Set(new Uint32Array(data.buffer)).size > 10; })()";
    page.until("areas of more than one colour", painted).await;
    let tries = "[...document.querySelectorAll('.actions a')].some(a => a.innerText === 'Try it' && !a.hidden)";
    page.until("no drawing", &format!("!{tries}")).await;
}

async fn reads_a_drawing(page: &Page) {
    go(page, "#/try?model=mnist").await;
    page.until("the pad", "document.querySelector('canvas.pad')?.clientWidth > 0").await;
    let place = "(() => { const c = document.querySelector('canvas.pad'); c.scrollIntoView(); const r = c.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()";
    let [x, y, width, height]: [f64; 4] = page.value(place).await;
    page.mouse("mousePressed", x + width * 0.5, y + height * 0.2).await;
    for i in 0..=20 {
        page.mouse("mouseMoved", x + width * 0.5, y + height * (0.2 + 0.03 * f64::from(i))).await;
    }
    page.mouse("mouseReleased", x + width * 0.5, y + height * 0.8).await;
    page.until("probabilities", "/\\d+%/.test(document.querySelector('.probabilities .winner')?.innerText)").await;
}

/// Presses the button of a job's page that says this.
async fn press(page: &Page, word: &str) {
    let button =
        format!("[...document.querySelectorAll('.actions button')].find(b => !b.hidden && b.textContent === '{word}')");
    page.until(word, &format!("!!{button}")).await;
    page.run(&format!("{button}.click()")).await;
}

/// A job that has ended is deleted from its page, which then shows the others.
async fn deletes_a_job(page: &Page, job: &str) {
    go(page, &format!("#/jobs/{job}")).await;
    press(page, "Delete").await;
    press(page, "Really?").await;
    let links = "[...document.querySelectorAll('a[href^=\"#/jobs/\"]')]";
    page.until("the list without it", &format!("{links}.length && {links}.every(a => !a.href.includes('{job}'))"))
        .await;
}

/// The buttons of a running job pause it, let it go on, and let even a cancelled one go on.
async fn pauses_and_resumes(page: &Page) {
    let status = |word: &str| format!("document.querySelector('.page-head .chip').textContent === '{word}'");
    let press = async |word: &str| press(page, word).await;
    press("Pause").await;
    page.until("a paused job", &status("paused")).await;
    press("Resume").await;
    page.until("a resumed job", &status("running")).await;
    press("Cancel").await;
    press("Really?").await;
    page.until("a cancelled job", &status("cancelled")).await;
    press("Resume").await;
    page.until("a job resumed after its end", &status("running")).await;
    // The stream that had ended goes on.
    let steps = "document.querySelector('.pace').textContent";
    let before: String = page.value(steps).await;
    page.until("live progress", &format!("{steps} !== {}", json!(before))).await;
}

/// The reference of a new job is the catalog, and what is searched for remains.
async fn explains_a_spec(page: &Page) {
    let open = "document.getElementById('new-job').click(); document.querySelector('.reference').open = true";
    page.run(open).await;
    page.until("the reference", "document.querySelectorAll('.reference-list li').length > 50").await;
    let search = "(() => { const s = document.querySelector('.search'); s.value = 'label_smoothing'; \
                  s.dispatchEvent(new Event('input')); })()";
    page.run(search).await;
    let left = "[...document.querySelectorAll('.reference-list li:not([hidden]) code')].map(code => code.textContent)";
    page.until("one entry", &format!("{left}.join() === 'softmax_cross_entropy.label_smoothing'")).await;
    page.run("document.querySelector('dialog').close()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_training_and_reads_a_drawing() {
    let Some(executable) = chromium() else { return };
    let page = Page::open(&executable).await;
    let site = Site::start().await;
    let done = site.client.submit(&quick_job()).await;
    site.client.finished(&done).await;
    let xor = site.client.submit(&json!({"recipe": "xor_two_layer"})).await;
    site.client.finished(&xor).await;
    let running = site.client.submit(&long_job()).await;
    let mut stream = Stream::open(&site.client, &running, None).await;
    while stream.next().await.expect("events").event != "epoch" {}

    page.navigate(&site.base).await;
    page.until("the list", "document.querySelectorAll('a[href^=\"#/jobs/\"]').length >= 2").await;
    page.until("a running job", "document.body.innerText.toLowerCase().includes('running')").await;

    go(&page, &format!("#/jobs/{running}")).await;
    page.until("the charts", "document.querySelectorAll('main .lines path').length >= 2").await;
    let steps = "document.querySelector('.pace').textContent";
    page.until("a pace", &format!("{steps}.includes('step')")).await;
    let before: String = page.value(steps).await;
    page.until("live progress", &format!("{steps} !== {}", json!(before))).await;

    pauses_and_resumes(&page).await;
    shows_what_it_learned(&page, &site, &done).await;
    maps_the_plane(&page, &xor).await;
    explains_a_spec(&page).await;

    reads_a_drawing(&page).await;
    deletes_a_job(&page, &done).await;

    let thrown = page.close().await;
    assert!(thrown.is_empty(), "the page threw: {thrown:?}");
    site.stop().await;
}
