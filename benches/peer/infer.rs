//! Predictions: from inputs as numbers to probabilities.

use std::hint::black_box;
use std::time::Instant;

use dojang::engine::model::Model;
use dojang::engine::rng::{Purpose, Rng};
use serde_json::json;

use crate::nets::Net;
use crate::{Effort, Measured, median, pool, quantile};

pub(crate) fn measure(net: Net, effort: Effort, images: usize) -> Measured {
    let parameters = net.network.init(&net.settings.init, 1);
    let mut rng = Rng::new(1, Purpose::GradientCheck, 0, 0);
    let inputs: Vec<f32> =
        (0..images * net.network.input().len()).map(|_| f32::from(rng.bits() as u8) / 255.0).collect();
    let model = Model::new(net.network, &parameters, net.settings.loss, 10);
    // The caller is in the pool, as a server's prediction is: the way into it is not measured.
    let seconds = pool(effort.threads)?.install(|| {
        let began = Instant::now();
        while began.elapsed().as_secs_f64() < effort.seconds / 4.0 {
            black_box(model.infer(&inputs));
        }
        let (began, mut seconds) = (Instant::now(), Vec::new());
        while began.elapsed().as_secs_f64() < effort.seconds {
            let call = Instant::now();
            black_box(model.infer(black_box(&inputs)));
            seconds.push(call.elapsed().as_secs_f64());
        }
        seconds
    });
    let typical = median(&seconds);
    Ok(json!({
        "images": images, "images_per_second": images as f64 / typical,
        "p50_microseconds": typical * 1e6, "p99_microseconds": quantile(&seconds, 0.99) * 1e6,
    }))
}
