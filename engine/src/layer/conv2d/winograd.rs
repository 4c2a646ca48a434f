//! The 3×3 convolution by Winograd's minimal filtering F(2×2, 3×3): 16 products for four outputs instead of 36
//! (A. Lavin and S. Gray, *Fast Algorithms for Convolutional Neural Networks*, 2015, §4.1).
//!
//! A tile of 2×2 outputs is `Y = Aᵀ [ Σ_c (G g_c Gᵀ) ⊙ (Bᵀ d_c B) ] A`, with `g_c` the 3×3 weights and `d_c` the 4×4 inputs of
//! channel `c`, ⊙ element by element, and
//!
//! ```text
//!      ⎡ 1  0 −1  0 ⎤        ⎡ 1   0   0 ⎤
//! Bᵀ = ⎢ 0  1  1  0 ⎥    G = ⎢ ½   ½   ½ ⎥    Aᵀ = ⎡ 1  1  1  0 ⎤
//!      ⎢ 0 −1  1  0 ⎥        ⎢ ½  −½   ½ ⎥         ⎣ 0  1 −1 −1 ⎦
//!      ⎣ 0  1  0 −1 ⎦        ⎣ 0   0   1 ⎦
//! ```
//!
//! For each of the 16 elements the sum over the channels is a product of matrices: of the transformed inputs of some tiles
//! `V [tiles, C]` with the transformed weights `U [C, F]`. `G g Gᵀ` is worked out once for many passes.
//!
//! ```text
//! rows of the image ─ Bᵀ·d ─► 4 lines ─ ·B ─► V [16, tiles, C] ─ ·U ─► M [16, tiles, F] ─ Aᵀ·M·A ─► 2 rows of the output
//! ```
//!
//! Some rows of tiles at a time go this way, so that `V` and `M` stay in the cache.
//!
//! The sums go over combinations of neighbouring values, so rounding errors are some times those of plain sums; and an input
//! that is not finite spoils its whole tile.

use super::Window;
use crate::aligned::LINE;
use crate::gemm::{Each, matmul_each};
use crate::processor::{Task, block, block_mut, blocks, wide};

/// Outputs of a tile along an axis, inputs along an axis, and its elements.
const STEP: usize = 2;
const SIDE: usize = 4;
const ELEMENTS: usize = SIDE * SIDE;

/// Times as many products there must be without: at an edge a tile may have outputs that nobody wants.
const LEAST_GAIN: f64 = 1.6;
/// Least C·F ∕ (C + F), which is how the products that are spared grow against the transforms. Measured on AVX2: 16 → 16
/// gains 6 %, 20 → 20 22 %, 64 → 64 70 %.
const LEAST_DEPTH: f64 = 8.0;
/// Values of `V` and `M` at a time, about.
const VALUES: usize = 1 << 16;

/// How a convolution is cut into tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winograd {
    window: Window,
    filters: usize,
    /// Down and across.
    tiles: [usize; 2],
    /// Rows of tiles that are worked on at a time.
    rows: usize,
}

impl Winograd {
    /// The tiles of a convolution, where they are to be had and pay.
    pub(super) fn new(window: Window, filters: usize) -> Option<Self> {
        let (tiles, channels) = (window.output.map(|side| side.div_ceil(STEP)), window.image[0]);
        let [of_tiles, of_outputs] = [tiles, window.output].map(|[down, across]| down as f64 * across as f64);
        let gain = of_outputs * 9.0 / (of_tiles * ELEMENTS as f64);
        let [c, f] = [channels, filters].map(|depth| depth as f64);
        let is_one = window.kernel == [3, 3] && window.stride == [1, 1];
        let pays = is_one && gain >= LEAST_GAIN && c * f / (c + f) >= LEAST_DEPTH;
        let of_row = tiles[1].checked_mul(ELEMENTS)?.checked_mul(channels.checked_add(filters)?)?;
        pays.then_some(Self { window, filters, tiles, rows: (VALUES / of_row).max(1) })
    }

    /// Values of the transformed weights.
    pub(super) fn weights(&self) -> Option<usize> {
        self.window.image[0].checked_mul(self.filters)?.checked_mul(ELEMENTS)
    }

    /// Values of the scratch memory.
    pub(super) fn scratch(&self) -> Option<usize> {
        let [v, m] = [self.window.image[0], self.filters].map(|depth| self.apart(depth).checked_mul(ELEMENTS));
        let lines = self.line().checked_mul(SIDE)?;
        lines.checked_add(self.window.image[2].checked_mul(self.window.image[0])?)?.checked_add(v?)?.checked_add(m?)
    }

    /// Values of a line: a row of the image as wide as the tiles reach.
    fn line(&self) -> usize {
        (self.tiles[1] * STEP + SIDE - STEP) * self.window.image[0]
    }

    /// Distance of an element's matrix from the next one's: no multiple of a page, for all 16 would fall on the same places
    /// of the cache.
    fn apart(&self, depth: usize) -> usize {
        (self.rows * self.tiles[1] * depth).next_multiple_of(2 * LINE) + LINE
    }

    /// `U [16, C, F] = G g Gᵀ` of the weights `[3, 3, C, F]`.
    pub(super) fn transform(&self, w: &[f32], u: &mut [f32]) {
        let n = self.window.image[0] * self.filters;
        wide(Weights { n, w: &w[..9 * n], u: &mut u[..ELEMENTS * n] });
    }

    /// The outputs of whole images; with the biases, if there are some, and rectified if so.
    pub(super) fn forward(
        &self,
        u: &[f32],
        end: Option<(&[f32], bool)>,
        scratch: &mut [f32],
        x: &[f32],
        y: &mut [f32],
    ) {
        let ([channels, height, width], f, [down, across]) = (self.window.image, self.filters, self.tiles);
        let [oh, ow] = self.window.output;
        let (b, rectify) = end.map_or((None, false), |(b, rectify)| (Some(b), rectify));
        let (inputs, outputs) = (channels * height * width, oh * ow * f);
        let [v_apart, m_apart] = [channels, f].map(|depth| self.apart(depth));
        let (lines, rest) = scratch.split_at_mut(SIDE * self.line());
        let (nothing, rest) = rest.split_at_mut(width * channels);
        let (v, rest) = rest.split_at_mut(ELEMENTS * v_apart);
        let m = &mut rest[..ELEMENTS * m_apart];
        lines.fill(0.0);
        nothing.fill(0.0);
        let all = x.len() / inputs * down;
        for first in (0..all).step_by(self.rows) {
            let rows = first..(first + self.rows).min(all);
            for (place, row) in rows.clone().enumerate() {
                let image = &x[row / down * inputs..][..inputs];
                let of_image = |row: usize| {
                    let row = row.checked_sub(self.window.before[0]).filter(|row| *row < height);
                    row.map_or(&*nothing, |row| &image[row * width * channels..][..width * channels])
                };
                let d = std::array::from_fn(|i| of_image(row % down * STEP + i));
                wide(Down { d, left: self.window.before[1] * channels, line: self.line(), lines });
                wide(Across { channels, line: self.line(), lines, first: place * across, apart: v_apart, v });
            }
            let tiles = rows.len() * across;
            matmul_each(
                ELEMENTS,
                [tiles, channels, f],
                Each { values: &mut *m, apart: m_apart },
                Each { values: &*v, apart: v_apart },
                Each { values: u, apart: channels * f },
            );
            for (place, row) in rows.enumerate() {
                let top = row % down * STEP;
                let y = &mut y[row / down * outputs..][..outputs][top * ow * f..][..STEP.min(oh - top) * ow * f];
                wide(Back { filters: f, b, rectify, m, first: place * across, apart: m_apart, width: ow, y });
            }
        }
    }
}

/// `G g Gᵀ`, of `n` kernels side by side.
struct Weights<'a> {
    n: usize,
    w: &'a [f32],
    u: &'a mut [f32],
}

impl Task for Weights<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { n, w, u } = self;
        blocks!(n, |at, W| {
            // One row of G after the other, down and then across.
            for i in 0..SIDE {
                let mut row = [[0.0; W]; 3];
                for (j, row) in row.iter_mut().enumerate() {
                    let g: [&[f32; W]; 3] = std::array::from_fn(|k| block(w, (3 * k + j) * n + at));
                    for lane in 0..W {
                        row[lane] = row_of_g(i, [g[0][lane], g[1][lane], g[2][lane]]);
                    }
                }
                for j in 0..SIDE {
                    let to: &mut [f32; W] = block_mut(u, (SIDE * i + j) * n + at);
                    for lane in 0..W {
                        to[lane] = row_of_g(j, [row[0][lane], row[1][lane], row[2][lane]]);
                    }
                }
            }
        });
    }
}

#[inline(always)]
fn row_of_g(row: usize, g: [f32; 3]) -> f32 {
    match row {
        0 => g[0],
        1 => 0.5 * (g[0] + g[1] + g[2]),
        2 => 0.5 * (g[0] - g[1] + g[2]),
        _ => g[2],
    }
}

/// `Bᵀ·d` of four rows of an image, whole: each of the four results is a line.
struct Down<'a> {
    d: [&'a [f32]; SIDE],
    /// Values of a line before the image's.
    left: usize,
    line: usize,
    lines: &'a mut [f32],
}

impl Task for Down<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { d: [d0, d1, d2, d3], left, line, lines } = self;
        let of_lines = [(d0, -1.0, d2), (d1, 1.0, d2), (d2, -1.0, d1), (d1, -1.0, d3)];
        for (line, (a, sign, b)) in lines.chunks_exact_mut(line).zip(of_lines) {
            for ((to, a), b) in line[left..].iter_mut().zip(a).zip(b) {
                *to = a + sign * b;
            }
        }
    }
}

/// `(Bᵀ·d)·B` of a row of tiles, from its lines.
struct Across<'a> {
    channels: usize,
    line: usize,
    lines: &'a [f32],
    /// The first tile's row in its matrix.
    first: usize,
    apart: usize,
    v: &'a mut [f32],
}

impl Task for Across<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { channels, line, lines, first, apart, v } = self;
        for (line, v) in lines.chunks_exact(line).zip(v.chunks_exact_mut(SIDE * apart)) {
            let (v0, rest) = v.split_at_mut(apart);
            let (v1, rest) = rest.split_at_mut(apart);
            let (v2, v3) = rest.split_at_mut(apart);
            let tiles = (line.len() / channels - (SIDE - STEP)) / STEP;
            let [v0, v1, v2, v3] = [v0, v1, v2, v3].map(|v| &mut v[first * channels..][..tiles * channels]);
            blocks!(channels, |c, W| {
                let of_tiles = v0.chunks_exact_mut(channels).zip(v1.chunks_exact_mut(channels));
                let of_tiles = of_tiles.zip(v2.chunks_exact_mut(channels)).zip(v3.chunks_exact_mut(channels));
                for (tile, (((v0, v1), v2), v3)) in of_tiles.enumerate() {
                    let from = &line[tile * STEP * channels..][..SIDE * channels];
                    let d = [0, 1, 2, 3].map(|j| *block::<W>(from, j * channels + c));
                    let [t0, t1, t2, t3] = times_b(d);
                    *block_mut(v0, c) = t0;
                    *block_mut(v1, c) = t1;
                    *block_mut(v2, c) = t2;
                    *block_mut(v3, c) = t3;
                }
            });
        }
    }
}

/// Four values times `B`, in many lanes: by value, since the compiler cannot know that the places they go to are apart.
#[inline(always)]
fn times_b<const W: usize>([d0, d1, d2, d3]: [[f32; W]; SIDE]) -> [[f32; W]; SIDE] {
    let mut to = [[0.0; W]; SIDE];
    for lane in 0..W {
        to[0][lane] = d0[lane] - d2[lane];
        to[1][lane] = d1[lane] + d2[lane];
        to[2][lane] = d2[lane] - d1[lane];
        to[3][lane] = d1[lane] - d3[lane];
    }
    to
}

/// `Aᵀ·M·A` of a row of tiles, with the bias: one or two rows of the output, of so many columns.
struct Back<'a> {
    filters: usize,
    b: Option<&'a [f32]>,
    rectify: bool,
    m: &'a [f32],
    first: usize,
    apart: usize,
    width: usize,
    y: &'a mut [f32],
}

impl Task for Back<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { filters, b, rectify, m, first, apart, width, y } = self;
        let least = if rectify { 0.0 } else { f32::NEG_INFINITY };
        let height = y.len() / (width * filters);
        blocks!(filters, |f, W| {
            let bias = b.map_or([0.0; W], |b| *block(b, f));
            for tile in 0..width.div_ceil(STEP) {
                let from = (first + tile) * filters + f;
                let mut of = [[&bias; SIDE]; SIDE];
                for (element, of) in of.as_flattened_mut().iter_mut().enumerate() {
                    *of = block(m, element * apart + from);
                }
                let mut to = [[[0.0; W]; STEP]; STEP];
                for lane in 0..W {
                    let mut down = [[0.0; SIDE]; STEP];
                    for j in 0..SIDE {
                        down[0][j] = of[0][j][lane] + of[1][j][lane] + of[2][j][lane];
                        down[1][j] = of[1][j][lane] - of[2][j][lane] - of[3][j][lane];
                    }
                    for i in 0..STEP {
                        let [d0, d1, d2, d3] = down[i];
                        let left = d0 + d1 + d2 + bias[lane];
                        let right = d1 - d2 - d3 + bias[lane];
                        // What is not a number stays.
                        to[i][0][lane] = if left <= least { least } else { left };
                        to[i][1][lane] = if right <= least { least } else { right };
                    }
                }
                for (i, to) in to.iter().enumerate().take(height) {
                    for (j, to) in to.iter().enumerate().take(width - tile * STEP) {
                        *block_mut(y, (i * width + tile * STEP + j) * filters + f) = *to;
                    }
                }
            }
        });
    }
}
