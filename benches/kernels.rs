//! The matrix products that P1 to P4 are made of, on one thread: `cargo bench --bench kernels`.
//!
//! The throughput's elements are floating-point operations, so Gelem/s reads as GFLOP/s;
//! `cargo bench --bench peer -- ceiling` tells what a core can do at most.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use dojang::engine::aligned::Aligned;
use dojang::engine::form::Form;
use dojang::engine::gemm::{
    Axis, End, Grid, Into, NOTHING, Panelled, Pooled, View, ViewMut, biased_matmul, grid_matmul, matmul,
};
use dojang::engine::layer::conv2d::Conv2d;
use dojang::engine::layer::window::{Padding, Pair};
use dojang::engine::layer::{Context, LayerSpec, Panels, Pass};

/// Rows of a single prediction, of a predicting pass, and of pieces of a mini-batch.
const ROWS: [usize; 4] = [1, 32, 50, 128];
/// Rows of a mini-batch, which the gradient of the weights goes over in one product.
const BATCH: usize = 100;

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: String, flops: usize, mut product: impl FnMut()) {
    group.throughput(Throughput::Elements(flops as u64)).bench_function(name, |b| b.iter(&mut product));
}

/// Fully connected layers: forward, the gradient of the inputs without `Wᵀ` at hand, and that of some rows of the weights.
fn affine(c: &mut Criterion) {
    let mut group = c.benchmark_group("affine");
    let layers =
        [("P1", 784, 50), ("P1", 50, 10), ("P2", 784, 512), ("P2", 512, 512), ("P3", 4320, 100), ("P4", 1024, 50)];
    for (net, inputs, units) in layers {
        let name = |what: &str, n: usize| format!("{net} {inputs}×{units} {what} n={n}");
        // Wide weights lie in panels.
        let width = Panels::of(inputs, units).width();
        let (w, bias) = (Aligned::from(vec![0.5; inputs * units]), vec![0.5; units]);
        for n in ROWS {
            let (x, mut y) = (vec![0.5; n * inputs], vec![0.0; n * units]);
            let x = View::rows(&x, n, inputs, inputs);
            measure(&mut group, name("forward", n), 2 * n * inputs * units, || {
                let x = Grid { may_hold_zeros: true, ..x.into() };
                let w = Panelled::new(&w, inputs, units, width);
                biased_matmul(ViewMut::rows(&mut y, n, units, units), x, w, &bias, End::Plain);
            });
        }
        let n = 25;
        let (dy, mut dx) = (vec![0.5; n * units], vec![0.0; n * inputs]);
        let (dy, w) = (View::rows(&dy, n, units, units), View::rows(&w, inputs, units, units));
        measure(&mut group, name("dx", n), 2 * n * inputs * units, || {
            matmul(Into::Replace, ViewMut::rows(&mut dx, n, inputs, inputs), dy, w.transposed());
        });
        let (n, rows) = (BATCH, ((1 << 13) / width).min(inputs));
        let (x, dy, mut dw) = (vec![0.5; n * inputs], vec![0.5; n * units], vec![0.0; rows * width]);
        let (x, dy) = (View::rows(&x, n, rows, inputs).transposed(), View::rows(&dy, n, width, units));
        measure(&mut group, name("dW", n), 2 * n * rows * width, || {
            grid_matmul(Into::Replace, &mut dw, Grid { may_hold_zeros: true, ..x.into() }, dy, NOTHING);
        });
    }
    group.finish();
}

/// The same of inputs like images, of which a margin and some more is zero; above, no value is.
fn zeros(c: &mut Criterion) {
    let mut group = c.benchmark_group("zeros");
    // A disc in the middle of 28×28, larger or smaller from image to image: half of the values are zero.
    let is_ink = |i: usize| {
        let (y, x) = ((i % 784 / 28) as f32 - 13.5, (i % 28) as f32 - 13.5);
        y * y + x * x < 90.0 + 17.0 * (i / 784 % 7) as f32
    };
    let n = BATCH;
    let images: Vec<f32> = (0..n * 784).map(|i| if is_ink(i) { 0.5 } else { 0.0 }).collect();
    for (net, width) in [("P1", 50), ("P2", 64)] {
        let (w, bias) = (Aligned::from(vec![0.5; 784 * width]), vec![0.5; width]);
        let x = View::rows(&images, n, 784, 784);
        let mut y = vec![0.0; n * width];
        measure(&mut group, format!("{net} 784×{width} forward n={n}"), 2 * n * 784 * width, || {
            let x = Grid { may_hold_zeros: true, ..x.into() };
            biased_matmul(
                ViewMut::rows(&mut y, n, width, width),
                x,
                View::rows(&w, 784, width, width),
                &bias,
                End::Plain,
            );
        });
        let (dy, mut dw) = (vec![0.5; n * width], vec![0.0; 784 * width]);
        measure(&mut group, format!("{net} 784×{width} dW n={n}"), 2 * n * 784 * width, || {
            let x = Grid { may_hold_zeros: true, ..x.transposed().into() };
            grid_matmul(Into::Replace, &mut dw, x, View::rows(&dy, n, width, width), NOTHING);
        });
    }
    group.finish();
}

/// Convolutions of one image, padded before: forward, and the gradient of the weights.
fn convolutions(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv2d");
    let layers = [
        ("P3", 1, 28, 5, 30),
        ("P4", 1, 30, 3, 16),
        ("P4", 16, 30, 3, 16),
        ("P4", 16, 16, 3, 32),
        ("P4", 32, 18, 3, 32),
        ("P4", 32, 10, 3, 64),
        ("P4", 64, 10, 3, 64),
    ];
    for (net, channels, side, kernel, filters) in layers {
        let (output, pitch, of_filter) = (side - kernel + 1, side * channels, kernel * kernel * channels);
        let (pixels, flops) = (output * output, 2 * output * output * of_filter * filters);
        let name = |what: &str| format!("{net} {channels}→{filters} of {side}×{side} {what}");
        let (x, w, bias) = (vec![0.5; side * pitch], vec![0.5; of_filter * filters], vec![0.5; filters]);
        let windows = Grid {
            data: &x,
            groups: Axis::new(output, pitch),
            rows: Axis::new(output, channels),
            runs: Axis::new(kernel, pitch),
            columns: Axis::new(kernel * channels, 1),
            may_hold_zeros: false,
        };
        let (mut y, mut dw) = (vec![0.0; pixels * filters], vec![0.0; of_filter * filters]);
        let w = View::rows(&w, of_filter, filters, filters);
        measure(&mut group, name("forward"), flops, || {
            biased_matmul(ViewMut::rows(&mut y, pixels, filters, filters), windows, w, &bias, End::Plain);
        });
        let (groups, rows, runs, columns) = (windows.runs, windows.columns, windows.groups, windows.rows);
        let transposed = Grid { groups, rows, runs, columns, ..windows };
        let dy = vec![0.5; pixels * filters];
        let dy = View::rows(&dy, pixels, filters, filters);
        measure(&mut group, name("dW"), flops, || grid_matmul(Into::Add, &mut dw, transposed, dy, NOTHING));
    }
    group.finish();
}

/// The same convolutions as layers, two images at a time: what Winograd's way makes of them where it is taken. The operations
/// are those of the plain way.
fn convolution_layers(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv2d layer");
    let layers = [
        ("P4", 16, 28, 1, 16),
        ("P4", 16, 14, 1, 32),
        ("P4", 32, 14, 2, 32),
        ("P4", 32, 8, 1, 64),
        ("P4", 64, 8, 1, 64),
        ("wide", 256, 14, 1, 256),
    ];
    for (net, channels, side, padding, filters) in layers {
        let (kernel, stride) = (Pair::Square(3), Pair::Square(1));
        let padding = Padding::Sizes(Pair::Square(padding));
        let spec = LayerSpec::Conv2d(Conv2d { filters, kernel, stride, padding, init: None });
        let layer = spec.build(&Form::image([channels, side, side])).expect("a convolution");
        let parameters: Vec<f32> =
            (0..9 * channels * filters + filters).map(|i| (i * 7919 % 201) as f32 / 100.0 - 1.0).collect();
        let (images, outputs) = (2, layer.output().shape().len());
        let x: Vec<f32> = (0..images * channels * side * side).map(|i| (i * 7919 % 255) as f32 / 255.0).collect();
        let (mut y, mut scratch) = (vec![0.0; images * outputs], vec![0.0; layer.memory().scratch]);
        let mut transformed = vec![0.0; layer.memory().transformed];
        layer.transform(&parameters, &mut transformed);
        let ways = [("plain", &[][..]), ("Winograd", &transformed[..])];
        for (way, transformed) in ways.into_iter().filter(|(way, values)| *way == "plain" || !values.is_empty()) {
            let at = Context {
                parameters: &parameters,
                prepared: &[],
                transformed,
                pass: Pass::Infer,
                layer: 0,
                first_row: 0,
                pieces: 1,
            };
            let name = format!("{net} {channels}→{filters} of {side}×{side} {way}");
            measure(&mut group, name, images * layer.flops(), || layer.forward(&at, &mut scratch, &x, &mut y));
        }
    }
    group.finish();
}

/// A convolution with the pool above it, for one image: forward as in a prediction and as in training, and the gradient of
/// the weights, whose operations are those of the convolution alone, though it leaves most of them out.
fn pooled_convolution(c: &mut Criterion) {
    let sizes = Pooled { kernel: 5, filters: 30, output: [12, 12], pitch: 28, rectified: true };
    if !Pooled::is_possible(sizes.kernel) {
        return;
    }
    let mut group = c.benchmark_group("pooled conv2d");
    let flops = 2 * (24 * 24) * 25 * sizes.filters;
    let w: Vec<f32> = (0..25 * sizes.lanes()).map(|i| (i * 7919 % 201) as f32 / 100.0 - 1.0).collect();
    let (w, bias) = (Aligned::from(w), vec![0.5; sizes.lanes()]);
    let (mut y, mut bits) = (vec![0.0; sizes.pixels() * sizes.filters], vec![0; sizes.words()]);
    let (mut squares, mut dw, mut db) = (vec![0.0; sizes.squares()], vec![0.0; 25 * sizes.filters], vec![0.0; 30]);
    // Every value, and a stroke that crosses the middle of the image: one value of six.
    let stroke = |row: usize, column: usize| (4..24).contains(&row) && row.abs_diff(column) < 4;
    for (image, stroke) in [("full", (|_, _| true) as fn(usize, usize) -> bool), ("a stroke", stroke)] {
        let name = |what: &str| format!("P3 1→30 of 28×28, {image}, {what}");
        let value =
            |pixel: usize| if stroke(pixel / 28, pixel % 28) { (pixel * 7919 % 255) as f32 / 255.0 } else { 0.0 };
        let x: Vec<f32> = (0..28 * 28).map(value).collect();
        measure(&mut group, name("forward"), flops, || sizes.forward(&x, (&w, &bias), &mut y, None));
        measure(&mut group, name("forward, to go back"), flops, || {
            sizes.forward(&x, (&w, &bias), &mut y, Some(&mut bits));
        });
        measure(&mut group, name("dW"), flops, || sizes.gradient(&x, (&y, &bits), &mut squares, (&mut dw, &mut db)));
    }
    group.finish();
}

criterion_group!(benches, affine, zeros, convolutions, convolution_layers, pooled_convolution);
criterion_main!(benches);
