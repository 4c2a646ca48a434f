//! Predictions: from inputs as numbers to probabilities.

use std::hint::black_box;
use std::time::Instant;

use dojang::engine::model::Model;
use serde_json::json;

use crate::data::Images;
use crate::nets::Net;
use crate::{Effort, Measured, median, pool, quantile};

/// Images that the calls take turns with, at least one call's: they are not to be learned by heart.
const IMAGES: usize = 4096;

pub(crate) fn measure(net: Net, effort: Effort, full: bool, images: usize) -> Measured {
    let parameters = net.network.init(&net.settings.init, 1);
    let width = net.network.input().len();
    let data = Images::load(width, full)?;
    let (samples, calls) = (data.samples(), (IMAGES / images).max(1));
    let of_call = |call: usize| {
        let mut inputs = vec![0.0; images * width];
        let indices: Vec<u32> = (call * images..(call + 1) * images).map(|i| (i % samples.len()) as u32).collect();
        samples.gather(&indices, &mut inputs);
        inputs
    };
    let inputs: Vec<Vec<f32>> = (0..calls).map(of_call).collect();
    let mut inputs = inputs.iter().cycle();
    let model = Model::new(net.network, &parameters, net.settings.loss, 10);
    // The caller is in the pool, as a server's prediction is: the way into it is not measured.
    let seconds = pool(effort.threads)?.install(|| {
        let mut call = || black_box(model.infer(black_box(inputs.next().expect("there is a call"))));
        let began = Instant::now();
        while began.elapsed().as_secs_f64() < effort.seconds / 4.0 {
            call();
        }
        let (began, mut seconds) = (Instant::now(), Vec::new());
        while began.elapsed().as_secs_f64() < effort.seconds {
            let start = Instant::now();
            call();
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds
    });
    let typical = median(&seconds);
    Ok(json!({
        "images": images, "images_per_second": images as f64 / typical, "data": data.name(),
        "p50_microseconds": typical * 1e6, "p99_microseconds": quantile(&seconds, 0.99) * 1e6,
    }))
}
