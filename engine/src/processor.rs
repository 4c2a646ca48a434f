//! What the processor can do, found out once, and loops that make use of it.
//!
//! `DOJANG_KERNELS` (`avx512`, `avx2`, `portable`, in unit tests also `emulated-avx512` and `emulated-avx2`) forces a lesser path
//! than the best one.
#![expect(unsafe_code, reason = "code compiled for more than every processor has may only be called where it runs")]

use std::sync::OnceLock;

/// Which kernels run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// AVX2 in plain Rust: the same kernels, bit for bit, on any processor.
    #[cfg(test)]
    EmulatedAvx2,
    /// The same for AVX-512.
    #[cfg(test)]
    EmulatedAvx512,
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Path {
    /// All that this processor can run, the best one last.
    pub(super) fn available() -> Vec<Self> {
        let mut paths = vec![
            #[cfg(test)]
            Self::EmulatedAvx2,
            #[cfg(test)]
            Self::EmulatedAvx512,
            Self::Portable,
        ];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
            {
                paths.push(Self::Avx2);
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                {
                    paths.push(Self::Avx512);
                }
            }
        }
        paths
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(test)]
            Self::EmulatedAvx2 => "emulated-avx2",
            #[cfg(test)]
            Self::EmulatedAvx512 => "emulated-avx512",
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }

    /// Whether its kernels round a product only once, with the sum it is added to.
    #[cfg(test)]
    pub(super) fn is_fused(self) -> bool {
        self != Self::Portable
    }

    /// Each path that is emulated with the one of the processor's instructions, where it has them.
    #[cfg(test)]
    pub(super) fn emulated() -> Vec<(Self, Self)> {
        let paths = Self::available();
        let original = |path: &Self| Some(path.name().strip_prefix("emulated-")?.to_owned());
        let by_name = |name: &String| paths.iter().copied().find(|path| path.name() == name);
        paths.iter().filter_map(|path| Some((*path, by_name(&original(path)?)?))).collect()
    }

    /// The best one, or the one that `DOJANG_KERNELS` names.
    ///
    /// # Errors
    /// If it names none that this processor can run.
    pub(super) fn named() -> Result<Self, String> {
        let paths = Self::available();
        let best = paths.last().copied().unwrap_or(Self::Portable);
        let Some(name) = std::env::var_os("DOJANG_KERNELS") else { return Ok(best) };
        paths.iter().copied().find(|path| path.name() == name).ok_or_else(|| {
            let names: Vec<_> = paths.iter().map(|path| path.name()).collect();
            format!("DOJANG_KERNELS={} is none of {}", name.display(), names.join(", "))
        })
    }

    /// The path of this process, chosen once.
    ///
    /// # Panics
    /// If `DOJANG_KERNELS` names none; [`check`] says so beforehand.
    pub(super) fn chosen() -> Self {
        static CHOSEN: OnceLock<Path> = OnceLock::new();
        *CHOSEN.get_or_init(|| Self::named().unwrap_or_else(|error| panic!("{error}")))
    }
}

/// Which kernels this process uses: `avx512`, `avx2` or `portable`.
///
/// # Errors
/// If `DOJANG_KERNELS` names none that this processor can run: to be said before the first product panics.
pub fn check() -> Result<&'static str, String> {
    Path::named().map(Path::name)
}

/// Bytes of a core's second cache, where the system tells; else those that most processors have at least.
pub(super) fn second_cache() -> usize {
    /// Of Linux: `2048K`.
    const FILE: &str = "/sys/devices/system/cpu/cpu0/cache/index2/size";
    const USUAL: usize = 1 << 20;
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let size = std::fs::read_to_string(FILE).ok();
        let kibibytes = size.and_then(|size| size.trim().strip_suffix('K')?.parse::<usize>().ok());
        kibibytes.and_then(|size| size.checked_mul(1 << 10)).filter(|size| *size > 0).unwrap_or(USUAL)
    })
}

/// Loops that gain from wide vectors: a closure, or a struct where the loops are too many for the compiler to inline a
/// closure by itself.
pub(super) trait Task {
    /// Runs the loops; to be marked `#[inline(always)]`, and all that it calls in its loops: only what is inlined is
    /// compiled anew, and closures within it are not.
    fn run(self);
}

impl<F: FnOnce()> Task for F {
    #[inline(always)]
    fn run(self) {
        self();
    }
}

/// Runs a task compiled for the widest vectors that the processor has.
///
/// Vectors of any width give the same bits, since the compiler neither reorders sums nor fuses products by itself.
#[inline(always)]
pub(super) fn wide(task: impl Task) {
    wide_on(Path::chosen(), task);
}

/// Runs a task compiled for a path, which must be one that this processor can run.
#[inline(always)]
pub(super) fn wide_on(path: Path, task: impl Task) {
    match path {
        #[cfg(test)]
        Path::EmulatedAvx2 | Path::EmulatedAvx512 => portable(task),
        Path::Portable => portable(task),
        // SAFETY: there is a path only where the processor has its instructions.
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => unsafe { avx2(task) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => unsafe { avx512(task) },
    }
}

/// A function of its own as on the other paths, or whatever runs a task would hold all its loops.
#[inline(never)]
fn portable(task: impl Task) {
    task.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(task: impl Task) {
    task.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512vl,avx512bw,avx512dq")]
unsafe fn avx512(task: impl Task) {
    task.run();
}

/// Runs `task` for blocks of channels `c..c + W` that together are channels `0..n`: blocks of 16, then smaller ones, since
/// a loop over a few dozen channels is not vectorised well otherwise. With `overlapping`, which a task must bear that
/// does some channels twice, the last 16 are one block.
macro_rules! blocks {
    ($n:expr, |$c:ident, $W:ident| $task:expr) => {
        blocks!(false, $n, |$c, $W| $task)
    };
    (overlapping $n:expr, |$c:ident, $W:ident| $task:expr) => {
        blocks!(true, $n, |$c, $W| $task)
    };
    ($overlapping:literal, $n:expr, |$c:ident, $W:ident| $task:expr) => {{
        let (n, mut $c): (usize, usize) = ($n, 0);
        macro_rules! of {
            ($size:literal) => {
                while n - $c >= $size {
                    const $W: usize = $size;
                    $task;
                    $c += $size;
                }
            };
        }
        of!(16);
        if $overlapping && n > 16 && $c < n {
            $c = n - 16;
            of!(16);
        }
        of!(8);
        of!(4);
        of!(2);
        of!(1);
    }};
}
pub(super) use blocks;

/// Asks for values that are about to be read, so that they are on their way from main memory meanwhile.
#[inline(always)]
pub(super) fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE_BYTES: usize = 64;
        for byte in (0..size_of_val(values)).step_by(LINE_BYTES) {
            // SAFETY: every x86-64 processor has the instruction, and a prefetch reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().cast::<i8>().add(byte)) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// The `W` values from `at` on.
#[inline(always)]
pub(super) fn block<const W: usize>(values: &[f32], at: usize) -> &[f32; W] {
    values[at..].first_chunk().expect("the caller has checked the length")
}

/// The `W` values from `at` on.
#[inline(always)]
pub(super) fn block_mut<const W: usize>(values: &mut [f32], at: usize) -> &mut [f32; W] {
    values[at..].first_chunk_mut().expect("the caller has checked the length")
}

/// Adds every row of `rows` to `sum`, in an order that their number and width alone decide.
pub(super) fn add_rows(rows: &[f32], sum: &mut [f32]) {
    wide(AddRows { rows, sum });
}

struct AddRows<'a> {
    rows: &'a [f32],
    sum: &'a mut [f32],
}

impl Task for AddRows<'_> {
    #[inline(always)]
    fn run(self) {
        /// Values of a row that make a plain loop worth its while.
        const LONG: usize = 256;
        /// Rows that are summed side by side.
        const ABREAST: usize = 4;
        let Self { rows, sum } = self;
        let width = sum.len();
        if width >= LONG {
            for row in rows.chunks_exact(width) {
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            return;
        }
        blocks!(width, |c, W| {
            // Side by side, since an addition need not wait for the one before then.
            let mut totals = [[0.0; W]; ABREAST];
            let mut groups = rows.chunks_exact(ABREAST * width);
            for group in &mut groups {
                for (row, total) in totals.iter_mut().enumerate() {
                    add(total, block(group, row * width + c));
                }
            }
            for row in groups.remainder().chunks_exact(width) {
                add(&mut totals[0], block(row, c));
            }
            let [mut first, second, mut third, fourth] = totals;
            add(&mut first, &second);
            add(&mut third, &fourth);
            add(&mut first, &third);
            add(block_mut::<W>(sum, c), &first);
        });
    }
}

/// Writes to `sum` the sum of `count` rows that begin `apart` values from each other, from the first one to the last.
///
/// # Panics
/// If there is no row, or `data` is too short.
pub(super) fn sum_rows(data: &[f32], count: usize, apart: usize, sum: &mut [f32]) {
    wide(SumRows { data, count, apart, sum });
}

struct SumRows<'a> {
    data: &'a [f32],
    count: usize,
    apart: usize,
    sum: &'a mut [f32],
}

impl Task for SumRows<'_> {
    /// A few values of all rows at a time: the rows come from other cores' caches, and so they are on their way together.
    #[inline(always)]
    fn run(self) {
        const BLOCK: usize = 16;
        let Self { data, count, apart, sum } = self;
        assert!(count > 0, "a sum of rows");
        let (blocks, rest) = sum.as_chunks_mut::<BLOCK>();
        let first_of_rest = blocks.len() * BLOCK;
        for (i, block) in blocks.iter_mut().enumerate() {
            let mut total: [f32; BLOCK] = *data[i * BLOCK..].first_chunk().expect("a row");
            for row in 1..count {
                add(&mut total, data[row * apart + i * BLOCK..].first_chunk().expect("a row"));
            }
            *block = total;
        }
        for (i, value) in rest.iter_mut().enumerate() {
            *value = data[first_of_rest + i];
            for row in 1..count {
                *value += data[row * apart + first_of_rest + i];
            }
        }
    }
}

#[inline(always)]
fn add<const W: usize>(sum: &mut [f32; W], values: &[f32; W]) {
    for lane in 0..W {
        sum[lane] += values[lane];
    }
}
