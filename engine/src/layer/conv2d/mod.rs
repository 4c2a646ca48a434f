//! Convolution, *Deep Learning from Scratch* §7.2.
//!
//! `y[f, i, j] = b[f] + Σ_{c, u, v} W[f, c, u, v] · x̄[c, i·SH + u, j·SW + v]` with `x̄` the padded input, `x` `[N, C, H, W]`,
//! `W` `[F, C, KH, KW]`, `b` `[F]`, `y` `[N, F, OH, OW]`.
//!
//! Backward: `dW[f, c, u, v] = Σ_{n, i, j} dy[n, f, i, j] · x̄[n, c, i·SH + u, j·SW + v]`, `db[f] = Σ_{n, i, j} dy[n, f, i, j]`,
//! and `dx` is the convolution of `dy`, its values set `SH`, `SW` apart among zeros, with the kernel turned by 180° and
//! its channels and filters exchanged.
//!
//! In memory the channels of a pixel lie together, and `W` as `[KH, KW, C, F]`. So each row of a window is one run of
//! `KW·C` values, and all three are products with a [`Grid`] over the image: no window is ever copied.
//!
//! ```text
//! y  [OH·OW, F]    = windows [OH·OW, KH·(KW·C)]  · W  [KH·KW·C, F]
//! dW [KH·(KW·C), F] = windowsᵀ [KH·(KW·C), OH·OW] · dy [OH·OW, F]
//! dx [H·W, C]      = windows of dȳ [H·W, KH·(KW·F)] · W′ [KH·KW·F, C]
//! ```
//!
//! Of many channels, a 3×3 convolution takes less than half of the multiplications for `y`, and for `dx` where `dy` is not
//! sparse: see [`winograd`]. Where much of `dy` is zero, or would be among zeros, the gradients take another way: see
//! [`scatter`]; and together with the pool above it, a convolution of one-channel images yet another one: see [`pooled`].

use std::ops::Range;

use ndarray::{Array2, Array3, ArrayView2};
use serde::{Deserialize, Serialize};

mod pooled;
mod scatter;
mod winograd;

use super::window::{PADDING, Padding, Pair, SIZES, Window};
use super::{
    Backward, Context, Layer, LayerError, LayerKind, Memory, Parameter, Reference, Relus, Role, Seen, Storage,
};
use crate::batch::Batch;
use crate::describe::{Entry, Field, Kind};
use crate::form::Form;
use crate::gemm::{Axis, End, Grid, Into, NOTHING, View, ViewMut, biased_matmul, grid_matmul, matmul_to};
use crate::im2col::im2col;
use crate::init::{self, Init};
use crate::processor::add_rows;
use crate::segment::tiles_of_rows;
use crate::shape::Shape;
use scatter::Scatter;
use winograd::Winograd;

/// Spec of a convolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Number of filters: the channels of the output.
    pub filters: usize,
    /// Height and width of a filter.
    pub kernel: Pair,
    /// Steps down and to the right.
    pub stride: Pair,
    /// Zeros around the input.
    pub padding: Padding,
    /// Initial weights, if not the job's.
    pub init: Option<Init>,
}

impl LayerKind for Conv2d {
    const ENTRY: Entry = Entry {
        name: "conv2d",
        aliases: &["conv", "convolution"],
        doc: "Convolution of images [channels, height, width] with filters W [filters, channels, kernel height, kernel \
              width] and b [filters].",
        fields: &[
            Field::required("filters", Kind::Count { min: 1, max: 1 << 16 }, "number of filters"),
            Field::required("kernel", SIZES, "height and width of a filter: 5 or [5, 3]"),
            Field::optional("stride", SIZES, "1", "steps down and to the right"),
            Field::optional("padding", PADDING, "0", "rows and columns of zeros around the input, or \"same\""),
            init::FIELD,
        ],
    };

    const INTERLEAVED: bool = true;

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        self.among(Around::default(), input)
    }
}

/// What stands around a convolution and has to do with its work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Around {
    /// Whether the layer above lets through only some of the gradients.
    pub(crate) selective: bool,
    pub(crate) relus: Relus,
}

impl Conv2d {
    /// The layer for inputs of this form, with this around it.
    ///
    /// # Errors
    /// As any layer's.
    pub(crate) fn among(&self, around: Around, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        let window = Window::new(input, self.kernel, self.stride, self.padding)?;
        let layer = |around| {
            Conv2dLayer::new(window, self.filters, self.init.clone(), around)
                .ok_or_else(|| LayerError::at("filters", "more weights or outputs than can be counted"))
        };
        let without = Around { relus: Relus { above: false, ..around.relus }, ..around };
        let plain = if around.relus.above { Some(Box::new(layer(without)?)) } else { None };
        Ok(Box::new(Conv2dLayer { plain, ..layer(around)? }))
    }
}

#[derive(Debug)]
struct Conv2dLayer {
    window: Window,
    filters: usize,
    /// Values of `W`.
    weights: usize,
    /// How `dx` is scattered, if it is.
    scatter: Option<Scatter>,
    /// Whether `dW` is gathered in the same way.
    sparse: bool,
    /// How it goes forward, and how `dx` is worked out, if by Winograd's way.
    winograd: Option<Winograd>,
    winograd_back: Option<Winograd>,
    relus: Relus,
    /// The layer without a ReLU above, where there is one.
    plain: Option<Box<Conv2dLayer>>,
    memory: Memory,
    flops: usize,
    output: Form,
    parameters: [Parameter; 2],
}

/// The least share of a slot that must count for a scatter to pay.
const WORTH: f64 = 0.75;

/// The window over `dy` of the convolution that gives `dx`, for a stride of 1; `None` where the padding is wider than the kernel
/// reaches.
fn turned(window: &Window, filters: usize) -> Option<Window> {
    let [oh, ow] = window.output;
    let around = |padding: [usize; 2]| {
        Some([(window.kernel[0] - 1).checked_sub(padding[0])?, (window.kernel[1] - 1).checked_sub(padding[1])?])
    };
    Some(Window {
        image: [filters, oh, ow],
        before: around(window.before)?,
        after: around(window.after)?,
        output: [window.image[1], window.image[2]],
        ..*window
    })
}

/// Values of one channel of the stretched and padded `dy` that `dx` is worked out from, `[H + KH − 1, W + KW − 1]`.
fn stretched(window: &Window) -> [usize; 2] {
    [0, 1].map(|axis| window.image[axis + 1] + window.kernel[axis] - 1)
}

impl Conv2dLayer {
    /// `None` where a size overflows.
    fn new(window: Window, filters: usize, init: Option<Init>, around: Around) -> Option<Self> {
        let ([channels, _, _], [kh, kw], [oh, ow]) = (window.image, window.kernel, window.output);
        let of_filter = channels.checked_mul(kh)?.checked_mul(kw)?;
        let weights = of_filter.checked_mul(filters)?;
        let area = |[h, w]: [usize; 2], depth: usize| h.checked_mul(w)?.checked_mul(depth);
        let padded = if window.is_unpadded() { 0 } else { area(window.padded(), channels)? };
        let role = Role::Weight { fan_in: of_filter, fan_out: filters.checked_mul(kh)?.checked_mul(kw)? };
        let storage = Storage::Permuted { axes: vec![filters, channels, kh, kw], order: vec![2, 3, 1, 0] };
        let w = Parameter::of("W", Shape::new(&[filters, channels, kh, kw]), role);
        let scatter = Scatter::new(window, filters).filter(|scatter| scatter.share() >= WORTH);
        let sparse = around.selective && scatter.is_some();
        let scatter = scatter.filter(|_| sparse || window.stride != [1, 1]);
        let listed = scatter.as_ref().map_or(Some(0), Scatter::scratch)?;
        let winograd = Winograd::new(window, filters);
        let turned = turned(&window, filters).filter(|_| scatter.is_none());
        let winograd_back = turned.and_then(|turned| Winograd::new(turned, channels));
        let of_winograd =
            |way: &Option<Winograd>| way.as_ref().map_or(Some([0; 2]), |way| Some([way.weights()?, way.scratch()?]));
        let ([transformed, forth], [turned, back]) = (of_winograd(&winograd)?, of_winograd(&winograd_back)?);
        let of_scatter = scatter.as_ref().map(Scatter::weights);
        let partial = of_scatter.filter(|_| sparse).unwrap_or(weights);
        Some(Self {
            window,
            filters,
            weights,
            memory: Memory {
                prepared: of_scatter.unwrap_or(weights).checked_add(turned)?,
                can_do_without: false,
                transformed,
                scratch: padded.max(area(stretched(&window), filters)?).max(listed).max(forth).max(back),
                kept: 0,
                partial: partial.checked_add(filters)?,
            },
            scatter,
            sparse,
            winograd,
            winograd_back,
            relus: around.relus,
            plain: None,
            flops: area([oh, ow], weights)?.checked_mul(2)?,
            output: Form::image([filters, oh, ow]),
            parameters: [Parameter { storage, init, ..w }, Parameter::biases(filters)],
        })
    }

    /// Values of one input sample, and of one output sample.
    fn widths(&self) -> (usize, usize) {
        (self.window.image.iter().product(), self.window.output.iter().product::<usize>() * self.filters)
    }

    /// How `dW` is gathered from listed values, if it is.
    fn gathered(&self) -> Option<&Scatter> {
        self.scatter.as_ref().filter(|_| self.sparse)
    }

    /// The input with its padding: itself where there is none.
    fn padded<'a>(&self, x: &'a [f32], scratch: &'a mut [f32]) -> &'a [f32] {
        if self.window.is_unpadded() {
            return x;
        }
        let [height, width] = self.window.padded();
        let padded = &mut scratch[..height * width * self.window.image[0]];
        self.window.pad(x, padded);
        padded
    }

    /// The windows of a padded input as rows.
    fn windows<'a>(&self, padded: &'a [f32]) -> Grid<'a> {
        let ([channels, ..], [kh, kw], [sh, sw]) = (self.window.image, self.window.kernel, self.window.stride);
        let pitch = self.window.padded()[1] * channels;
        Grid {
            data: padded,
            groups: Axis::new(self.window.output[0], sh * pitch),
            rows: Axis::new(self.window.output[1], sw * channels),
            runs: Axis::new(kh, pitch),
            columns: Axis::new(kw * channels, 1),
            may_hold_zeros: false,
        }
    }

    /// `dy` with its values set a stride apart among zeros, such that a window over it gives `dx`.
    fn stretch<'a>(&self, dy: &[f32], scratch: &'a mut [f32]) -> &'a [f32] {
        let ([height, width], f) = (stretched(&self.window), self.filters);
        let (stretched, [oh, ow]) = (&mut scratch[..height * width * f], self.window.output);
        stretched.fill(0.0);
        // Where output 0 meets the image: kernel − 1 − padding, before the image's first row where that is negative.
        let place = |axis: usize, output: usize| {
            (output * self.window.stride[axis] + self.window.kernel[axis] - 1).checked_sub(self.window.before[axis])
        };
        for i in 0..oh {
            let Some(row) = place(0, i).filter(|row| *row < height) else { continue };
            for j in 0..ow {
                let Some(column) = place(1, j).filter(|column| *column < width) else { continue };
                let from = &dy[(i * ow + j) * f..][..f];
                stretched[(row * width + column) * f..][..f].copy_from_slice(from);
            }
        }
        stretched
    }
}

impl Layer for Conv2dLayer {
    fn output(&self) -> &Form {
        &self.output
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn flops(&self) -> usize {
        self.flops
    }

    fn memory(&self) -> Memory {
        self.memory
    }

    /// The kernel turned by 180°, with channels and filters exchanged: `[KH, KW, F, C]`, and perhaps after it the same
    /// transformed; or filter by filter, to be scattered.
    fn prepare(&self, parameters: &[f32], prepared: &mut [f32]) {
        if let Some(scatter) = &self.scatter {
            return scatter.prepare(&parameters[..self.weights], prepared);
        }
        let (f, c) = (self.filters, self.window.image[0]);
        let (turned, transformed) = prepared.split_at_mut(self.weights);
        for (from, to) in parameters[..self.weights].chunks_exact(c * f).zip(turned.chunks_exact_mut(f * c).rev()) {
            for (channel, from) in from.chunks_exact(f).enumerate() {
                for (filter, value) in from.iter().enumerate() {
                    to[filter * c + channel] = *value;
                }
            }
        }
        if let Some(winograd) = &self.winograd_back {
            winograd.transform(turned, transformed);
        }
    }

    fn transform(&self, parameters: &[f32], transformed: &mut [f32]) {
        if let Some(winograd) = &self.winograd {
            winograd.transform(&parameters[..self.weights], transformed);
        }
    }

    fn forward(&self, at: &Context<'_>, scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        let (w, b) = at.parameters.split_at(self.weights);
        if let Some(winograd) = self.winograd.filter(|_| !at.transformed.is_empty()) {
            return winograd.forward(at.transformed, Some((b, self.relus.above)), scratch, x, y);
        }
        let w = View::rows(w, self.weights / self.filters, self.filters, self.filters);
        let (inputs, outputs) = self.widths();
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
            let y = ViewMut::rows(y, outputs / self.filters, self.filters, self.filters);
            biased_matmul(y, self.windows(self.padded(x, scratch)), w, b, self.relus.end());
        }
    }

    fn backward(&self, at: &Context<'_>, scratch: &mut [f32], Backward { x, dy, dx, .. }: Backward<'_>) {
        let ([c, height, width], [kh, kw], f) = (self.window.image, self.window.kernel, self.filters);
        let (inputs, outputs) = self.widths();
        assert_eq!(x.len(), dx.len(), "the inputs of as many samples");
        let samples = x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)).zip(dx.chunks_exact_mut(inputs));
        if let Some(scatter) = &self.scatter {
            for ((x, dy), dx) in samples {
                scatter.backward(at.prepared, scratch, dy, dx);
                self.relus.gate(x, dx);
            }
            return;
        }
        let (turned, transformed) = at.prepared.split_at(self.weights);
        if let Some(winograd) = &self.winograd_back {
            winograd.forward(transformed, None, scratch, dy, dx);
            return self.relus.gate(x, dx);
        }
        let w = View::rows(turned, self.weights / c, c, c);
        let pitch = stretched(&self.window)[1] * f;
        for ((x, dy), dx) in samples {
            let windows = Grid {
                data: self.stretch(dy, scratch),
                groups: Axis::new(height, pitch),
                rows: Axis::new(width, f),
                runs: Axis::new(kh, pitch),
                columns: Axis::new(kw * f, 1),
                may_hold_zeros: false,
            };
            let pixels = height * width;
            let end = if self.relus.below { End::WherePositive(View::rows(x, pixels, c, c)) } else { End::Plain };
            matmul_to(end, ViewMut::rows(dx, pixels, c, c), windows, w);
        }
    }

    fn accumulate(&self, scratch: &mut [f32], Seen { x, dy, .. }: Seen<'_>, partial: &mut [f32]) {
        let (dw, db) = partial.split_at_mut(partial.len() - self.filters);
        let (inputs, outputs) = self.widths();
        for (x, dy) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)) {
            add_rows(dy, db);
            if let Some(scatter) = self.gathered() {
                scatter.accumulate(scratch, x, dy, dw);
                continue;
            }
            let windows = self.windows(self.padded(x, scratch));
            // The transpose of the windows.
            let windows = Grid {
                groups: windows.runs,
                rows: windows.columns,
                runs: windows.groups,
                columns: windows.rows,
                ..windows
            };
            let pixels = outputs / self.filters;
            grid_matmul(Into::Add, dw, windows, View::rows(dy, pixels, self.filters, self.filters), NOTHING);
        }
    }

    fn gradient(&self, range: Range<usize>, batch: Batch<'_>, gradient: &mut [f32]) {
        match self.gathered() {
            None => batch.partials().sum(range.start, gradient),
            Some(scatter) if range.start < self.weights => {
                scatter.sum(batch.partials(), range.start / self.filters, gradient);
            }
            Some(scatter) => batch.partials().sum(scatter.weights(), gradient),
        }
    }

    /// Blocks of whole rows of `W` `[KH·KW·C, F]`, then `b`.
    fn gradient_tiles(&self) -> Vec<Range<usize>> {
        let mut tiles = tiles_of_rows(self.weights / self.filters, self.filters);
        tiles.push(self.weights..self.weights + self.filters);
        tiles
    }

    fn first(&self) -> Option<&dyn Layer> {
        self.plain.as_deref().map(|plain| plain as &dyn Layer)
    }

    /// By `im2col`, as in §7.4.4 of the book.
    fn reference(&self, at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let ([channels, height, width], [kh, kw]) = (self.window.image, self.window.kernel);
        let (w, b) = at.parameters.split_at(self.weights);
        // From [KH, KW, C, F] to the book's [C·KH·KW, F].
        let w =
            ndarray::ArrayView4::from_shape((kh, kw, channels, self.filters), w).expect("the network gives W its size");
        let w = w.permuted_axes([2, 0, 1, 3]);
        let w = w.as_standard_layout().into_owned().into_shape_with_order((channels * kh * kw, self.filters));
        let w = w.expect("the same values");
        let mut y = Array2::zeros((x.nrows(), self.widths().1));
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            let image = Array3::from_shape_fn((channels, height, width), |(c, i, j)| x[(i * width + j) * channels + c]);
            let window = &self.window;
            let columns = im2col(&image.view(), window.kernel, window.stride, window.before, window.after);
            let result = columns.dot(&w) + ndarray::ArrayView1::from(b); // [OH·OW, F]
            y.iter_mut().zip(&result).for_each(|(y, result)| *y = *result);
        }
        if self.relus.above { y.mapv_into(|y| y.max(0.0)) } else { y }
    }
}

#[cfg(test)]
mod tests;
