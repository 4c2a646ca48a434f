//! Emulated processors against the real ones, to the bit: every operation, then whole kernels. On a machine that lacks one,
//! its kernels are tested in emulation alone.

use super::super::simd::{MOST_LANES, Part, QUAD, Simd, run_on};
use super::*;

/// Values that operations may treat each in its way.
const PECULIAR: [f32; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.0 + f32::EPSILON,
    f32::MIN_POSITIVE,
    f32::from_bits(1),
    -f32::from_bits(1),
    1e-23,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// What is there before something is written.
const BEFORE: f32 = 7.5;

/// Values that operations are done to: as many as sixteen vectors have.
const VALUES: usize = 16 * MOST_LANES;

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![prop::sample::select(&PECULIAR), any::<u32>().prop_map(f32::from_bits), -2.0f32..2.0]
}

/// Does all operations of a processor, and records what they give.
struct Record<'a> {
    values: &'a [f32],
    /// A bit for each lane, and words of many.
    lanes: [u16; 2],
    words: &'a [u64],
    bits: &'a mut Vec<u32>,
}

impl Record<'_> {
    /// What has been worked out: of what is not a number, it is left open which it is.
    fn worked_out(&mut self, values: &[f32]) {
        let bits = values.iter().map(|value| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() });
        self.bits.extend(bits);
    }

    /// What has been moved without change.
    fn moved(&mut self, values: &[f32]) {
        self.bits.extend(values.iter().map(|value| value.to_bits()));
    }
}

/// # Safety
/// The processor must have the instructions of `S`.
unsafe fn to_array<S: Simd>(v: S::Vector) -> [f32; MOST_LANES] {
    let mut values = [BEFORE; MOST_LANES];
    // SAFETY: the caller vouches for the instructions; no vector has more lanes.
    unsafe { S::store(values.as_mut_ptr(), v) };
    values
}

impl Part for Record<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        // SAFETY: the caller vouches for the instructions; there are values for sixteen vectors.
        unsafe {
            self.loads_and_stores::<S>();
            self.arithmetic::<S>();
            self.quads::<S>();
            self.searches::<S>();
            self.lookups::<S>();
        }
    }
}

/// # Safety
/// As for [`Part::run`].
impl Record<'_> {
    unsafe fn vector<S: Simd>(&self, nth: usize) -> S::Vector {
        // SAFETY: as the caller vouches.
        unsafe { S::load(self.values[nth * S::LANES..][..S::LANES].as_ptr()) }
    }

    unsafe fn loads_and_stores<S: Simd>(&mut self) {
        let from = self.values.as_ptr();
        // SAFETY: as the caller vouches.
        unsafe {
            self.moved(&to_array::<S>(S::zero()));
            self.moved(&to_array::<S>(S::splat(self.values[0])));
            self.moved(&to_array::<S>(S::load(from)));
            self.moved(&to_array::<S>(S::load_some(from, self.lanes[0])));
            for n in 0..S::LANES {
                self.moved(&to_array::<S>(S::load_part(from, n)));
                let mut stored = [[BEFORE; MOST_LANES]; 2];
                S::store_part(stored[0].as_mut_ptr(), S::load(from), n);
                S::store_first(stored[1].as_mut_ptr(), S::load(from), ((1u32 << n) - 1) as u16);
                self.moved(stored.as_flattened());
            }
            let mut stored = [BEFORE; MOST_LANES];
            S::store_first(stored.as_mut_ptr(), S::load(from), u16::MAX >> (16 - S::LANES));
            self.moved(&stored);
        }
    }

    unsafe fn arithmetic<S: Simd>(&mut self) {
        // SAFETY: as the caller vouches.
        unsafe {
            let [a, b, c, d] = [0, 1, 2, 3].map(|nth| self.vector::<S>(nth));
            self.worked_out(&to_array::<S>(S::multiply_add(a, b, c)));
            self.worked_out(&to_array::<S>(S::without_sign_of_zero(a)));
            self.worked_out(&to_array::<S>(S::add(a, b)));
            self.worked_out(&[S::sum(a)]);
            self.worked_out(&S::fold(a));
            let of_row = |row: usize| [0, 1, 2, 3].map(|column| self.vector::<S>(row * 4 + column));
            let sums = S::sums(&[of_row(0), of_row(1), of_row(2), of_row(3)]);
            self.worked_out(sums.as_flattened());
            self.moved(&to_array::<S>(S::where_positive(a, b, false)));
            self.moved(&to_array::<S>(S::where_positive(a, b, true)));
            self.moved(&to_array::<S>(S::max(a, b)));
            self.moved(&to_array::<S>(S::or_nan(b, [a, b, c, d])));
            self.bits.push(S::greater(a, b).into());
            self.bits.push(S::nonzero(a).into());
        }
    }

    unsafe fn quads<S: Simd>(&mut self) {
        /// Distance of rows.
        const ROW: usize = 7;
        let from = self.values.as_ptr();
        // SAFETY: as the caller vouches.
        unsafe {
            for n in 1..=S::LANES / QUAD {
                self.moved(&to_array::<S>(S::splat_quads(from, n)));
            }
            for columns in 1..=QUAD {
                for n in 0..=S::LANES / QUAD {
                    self.moved(&to_array::<S>(S::quads(from, ROW, n, columns)));
                }
                for n in 0..=S::LANES {
                    for v in S::every_fourth(from, ROW, n, columns) {
                        self.moved(&to_array::<S>(v));
                    }
                }
            }
            for v in S::spread(self.vector::<S>(0)) {
                self.moved(&to_array::<S>(v));
            }
            for v in S::turn([0, 1, 2, 3].map(|nth| self.vector::<S>(nth))) {
                self.moved(&to_array::<S>(v));
            }
        }
    }

    unsafe fn searches<S: Simd>(&mut self) {
        let (values, words) = (self.values, self.words);
        let rows = [0, 1, 2].map(|row| values[row * MOST_LANES..].as_ptr());
        let numbers: Vec<u32> = (100..100 + MOST_LANES as u32).collect();
        // SAFETY: as the caller vouches; what is written has room.
        unsafe {
            for n in 1..=S::LANES {
                let mut found = [0xffff; MOST_LANES];
                let count = S::places(&rows, 5, n, found.as_mut_ptr());
                self.bits.extend(found);
                let (mut picked, mut beside) = ([BEFORE; MOST_LANES], [0xffff; MOST_LANES]);
                let to = (picked.as_mut_ptr(), beside.as_mut_ptr());
                let picked_count = S::pick_nonzero((values.as_ptr(), numbers.as_ptr()), n, to);
                self.moved(&picked);
                self.bits.extend(beside);
                self.bits.extend([count as u32, picked_count as u32]);
            }
            for n in 0..=u64::BITS as usize {
                let mut occupied = [0xff_u64; 4];
                S::occupied(values.as_ptr(), n, (3, 64), occupied.as_mut_ptr());
                self.bits.extend(occupied.iter().flat_map(|word| [*word as u32, (word >> 32) as u32]));
            }
            for n in 0..=words.len() {
                let mut places = vec![[9, 9]; words.len() + MOST_LANES];
                let count = S::steps(words.as_ptr(), n, words[0], ([3, 4], [5, 600]), places.as_mut_ptr());
                self.bits.extend(places.as_flattened());
                self.bits.push(count as u32);
            }
        }
    }

    unsafe fn lookups<S: Simd>(&mut self) {
        let [low, high] = self.lanes;
        let (upper, lower) = (self.values.as_ptr(), self.values[32..].as_ptr());
        // SAFETY: as the caller vouches; what is written has room.
        unsafe {
            self.moved(&to_array::<S>(S::splat_quad(upper)));
            let places = S::places_in_quads(low, high);
            self.moved(&to_array::<S>(S::look_up(self.vector::<S>(0), places)));
            for n in 1..10 {
                let mut squares = [BEFORE; 20];
                S::squares(upper, lower, n, squares.as_mut_ptr());
                self.moved(&squares);
            }
            for &word in self.words {
                let extracted = S::extract_bits(word, self.words[0]);
                self.bits.extend([extracted as u32, (extracted >> 32) as u32]);
            }
        }
    }
}

/// Checks that something gives the same bits with an emulated processor as with the real one.
fn is_emulated(run: impl Fn(Path) -> Vec<u32>) -> Result<(), TestCaseError> {
    for (emulated, real) in Path::emulated() {
        prop_assert_eq!(run(emulated), run(real), "{:?}", real);
    }
    Ok(())
}

#[test]
fn emulations_are_compared_with_what_this_machine_has() {
    for emulation in [Path::EmulatedAvx2, Path::EmulatedAvx512] {
        if !Path::emulated().iter().any(|(emulated, _)| *emulated == emulation) {
            eprintln!("{} is not compared with a real processor: this machine has none", emulation.name());
        }
    }
}

proptest! {
    #[test]
    fn every_operation_gives_the_bits_of_the_real_one(
        values in prop::collection::vec(value(), VALUES), lanes: [u16; 2], words: [u64; 13],
        zeros in prop::option::of(prop::collection::vec(any::<bool>(), VALUES)),
    ) {
        let keep = |i: usize| zeros.as_ref().is_none_or(|zeros| !zeros[i]);
        let values: Vec<f32> = values.iter().enumerate().map(|(i, v)| if keep(i) { *v } else { 0.0 }).collect();
        is_emulated(|path| {
            let mut bits = Vec::new();
            let record = Record { values: &values, lanes, words: &words, bits: &mut bits };
            // SAFETY: `Path` only gives out what the processor has, and there are as many values as all operations take.
            unsafe { run_on(path, record) };
            bits
        })?;
    }

    #[test]
    fn multiplications_are_rounded_once(values in prop::collection::vec(value(), 3 * 16)) {
        let mut bits = Vec::new();
        let record = Record { values: &values, lanes: [0; 2], words: &[], bits: &mut bits };
        struct MultiplyAdd<'a>(Record<'a>);
        impl Part for MultiplyAdd<'_> {
            #[inline(always)]
            unsafe fn run<S: Simd>(mut self) {
                // SAFETY: as the caller vouches; there are values for three vectors.
                unsafe {
                    let [a, b, c] = [0, 1, 2].map(|nth| self.0.vector::<S>(nth));
                    self.0.worked_out(&to_array::<S>(S::multiply_add(a, b, c)));
                }
            }
        }
        // SAFETY: an emulation runs everywhere.
        unsafe { run_on(Path::EmulatedAvx512, MultiplyAdd(record)) };
        for (i, bits) in bits.iter().enumerate() {
            let expected = libm::fmaf(values[i], values[16 + i], values[32 + i]);
            prop_assert!(*bits == expected.to_bits() || expected.is_nan() && f32::from_bits(*bits).is_nan());
        }
    }
}

/// A random matrix of which some values are zero, single ones and those of whole rows and columns.
fn with_zeros(rows: usize, columns: usize, density: u32, scale: f32, seed: u64) -> Array2<f32> {
    let mut rng = Rng::new(seed, Purpose::GradientCheck, 3, 0);
    let mut odds = |size: usize| (0..size).map(|_| rng.bits() % 10 < density).collect::<Vec<_>>();
    let (rows_kept, columns_kept, single) = (odds(rows), odds(columns), odds(rows * columns));
    let mut values = scale * random(rows, columns, seed);
    for ((i, j), value) in values.indexed_iter_mut() {
        if !(rows_kept[i] && columns_kept[j] || single[i * columns + j]) {
            *value = [0.0, -0.0][(i + j) % 2];
        }
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Products of plain matrices and of transposes, whole and in panels, with all that they begin and end with.
    #[test]
    fn products_have_the_bits_of_the_real_processor(
        m in 1usize..60, (k, is_deep) in (1usize..130, prop::bool::weighted(0.1)), n in 1usize..150, width in 1usize..150,
        transposed in 0..3, add: bool, end in 0usize..3, density in 0u32..11, scale in scale(), seed: u64,
    ) {
        let k = if is_deep { DEPTH + k } else { k };
        let a = if transposed == 1 { with_zeros(k, m, density, scale, seed) } else { with_zeros(m, k, density, scale, seed) };
        let b = scale * if transposed == 2 { random(n, k, 1) } else { random(k, n, 1) };
        let gate = random(m, n, 2);
        let bias = vec![scale * scale; n];
        let into = if add { Into::Add } else { Into::Replace };
        let va = if transposed == 1 { view(&a).transposed() } else { view(&a) };
        is_emulated(|path| {
            let mut c = vec![-0.0; m * n];
            let to = ViewMut::rows(&mut c, m, n, n);
            if transposed == 2 {
                multiply(path, into, to, va, view(&b).transposed());
                return bits(&c);
            }
            let panels = if width < n { Panelled::new(b.as_slice().expect("standard layout"), k, n, width) } else { view(&b).into() };
            let end = [End::Plain, End::Rectify, End::WherePositive(view(&gate))][end];
            let frame = Frame { into, bias: (!add && seed % 2 == 0).then_some(&bias[..]), end };
            let a = Grid { may_hold_zeros: density < 10, ..va.into() };
            multiply_grid(path, Kind::Broadcast, frame, to, (&a, &panels), NOTHING);
            bits(&c)
        })?;
    }

    /// Windows of images and their transposes, and many products in one call.
    #[test]
    fn grids_have_the_bits_of_the_real_processor(
        groups in 1usize..4, rows in 1usize..20, runs in 1usize..4, columns in 1usize..20, n in 1usize..70,
        strides in (1usize..9, 1usize..9, 1usize..9, 1usize..9), add: bool, may_hold_zeros: bool, scale in scale(), seed: u64,
    ) {
        let a = with_zeros(1, 3 * 9 + 19 * 9 + 3 * 9 + 19 * 9 + 1, 7, scale, seed);
        let a = Grid {
            data: a.as_slice().expect("standard layout"),
            groups: Axis::new(groups, strides.0),
            rows: Axis::new(rows, strides.1),
            runs: Axis::new(runs, strides.2),
            columns: Axis::new(columns, strides.3),
            may_hold_zeros,
        };
        let b = scale * random(runs * columns, n, 1);
        let into = if add { Into::Add } else { Into::Replace };
        is_emulated(|path| {
            let mut c = vec![-0.0; groups * rows * n];
            let to = ViewMut::rows(&mut c, groups * rows, n, n);
            multiply_grid(path, Kind::Broadcast, into.into(), to, (&a, &view(&b).into()), NOTHING);
            let (values, mut each) = (b.as_slice().expect("standard layout"), vec![0.0; groups * rows * n]);
            let [of_a, of_b] = [(a.data, 1), (values, 0)].map(|(values, apart)| Each { values, apart });
            let columns = columns.min(a.data.len() / rows - groups);
            multiply_each(path, groups, [rows, columns, n], Each { values: &mut each[..], apart: rows * n }, of_a, of_b);
            c.extend(each);
            bits(&c)
        })?;
    }
}
