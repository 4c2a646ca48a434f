//! Elementary functions with fixed bits.
//!
//! The C library's functions may change with its version and do not vectorise; these are plain arithmetic without
//! branches, so the compiler turns loops over them into SIMD and a weight is the same on every machine of one CPU type.
//! No product is fused with a sum: not every path has an instruction for that, and all are to give the same bits.
//!
//! Each says how far it may be off, in units in the last place (ulp); the polynomials are minimax ones, found by the
//! exchange algorithm (E. Y. Remez, 1934). What is not a number stays so.

/// Above it `e^x` is larger than any `f32`.
const EXP_HIGH: f32 = 88.722_83;
/// Below it `e^x` is less than any normal `f32`.
const EXP_LOW: f32 = -87.336_54;

/// `c₀ + c₁x + c₂x² + …`
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    for c in coefficients[..N - 1].iter().rev() {
        sum = sum * x + c;
    }
    sum
}

/// A power of two, by the bits that stand for its exponent.
#[derive(Clone, Copy)]
struct Power(u32);

impl Power {
    /// `2^n` itself, which must be a normal number.
    #[inline(always)]
    fn value(self) -> f32 {
        self.times(1.0)
    }

    /// `2^n · x`, which must be a normal number, as `x` must.
    #[inline(always)]
    fn times(self, x: f32) -> f32 {
        f32::from_bits(x.to_bits().wrapping_add(self.0))
    }
}

/// `2^n` and `r` of `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`, for `|x|` up to 100; for others anything.
///
/// The two-part `ln 2` is W. J. Cody and W. Waite's, *Software Manual for the Elementary Functions*, 1980.
#[inline(always)]
fn reduce(x: f32) -> (Power, f32) {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5·2^23 rounds to the nearest integer without a branch, and leaves it in the last bits.
    const ROUND: f32 = 12_582_912.0;
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    (Power(rounded.to_bits() << 23), (x - n * LN2_HIGH) - n * LN2_LOW)
}

/// `e^r − 1` for `|r|` up to 0.4.
#[inline(always)]
fn exp_m1_near_zero(r: f32) -> f32 {
    let q = polynomial(r, [0.499_999_97, 0.166_665_43, 0.041_667_204, 0.008_366_58, 0.001_388_238_3]);
    r + (r * r) * q
}

/// `e^x` within 1.1 ulp; 0 where it is less than any normal number, +∞ where it is larger than any.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (power, r) = reduce(x);
    let y = power.times(1.0 + exp_m1_near_zero(r));
    let y = if x > EXP_HIGH { f32::INFINITY } else { y };
    let y = if x < EXP_LOW { 0.0 } else { y };
    if x.is_nan() { x } else { y }
}

/// `e^x − 1` within 1.1 ulp for `x ≤ 0`, also near 0, where `exp(x) − 1` would cancel.
#[inline(always)]
pub fn exp_m1(x: f32) -> f32 {
    // Nearer to −1 than to the number after it.
    const FAR: f32 = -18.0;
    let (power, r) = reduce(x);
    let scale = power.value();
    let y = scale * exp_m1_near_zero(r) + (scale - 1.0);
    if x < FAR { -1.0 } else { y }
}

/// `ln(1 + x)` within 2 ulp for `0 ≤ x ≤ 1`.
///
/// It is `2 artanh z` with `z = x / (2 + x)`.
#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    let z = x / (2.0 + x);
    let square = z * z;
    let q = polynomial(square, [0.333_332_1, 0.200_107_7, 0.140_007_76, 0.140_067_09]);
    let double = z + z;
    double + double * (square * q)
}

/// The logistic function `1 / (1 + e^−x)` within 3 ulp, without overflow at either end; 0 below −88.72.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent within 3 ulp: with `t = e^−2|x| − 1` it is `−t / (2 + t)` on the positive side.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let t = exp_m1(-2.0 * x.abs());
    (-t / (2.0 + t)).copysign(x)
}

/// The standard normal distribution function `Φ(x) = ½(1 + erf(x/√2))` within 7 ulp, also far out on the negative
/// side, where that formula would cancel; 0 below −13.2.
///
/// `Φ(−t) = e^(−t²/2) · R(t)`, where `R` falls from ½ like `1 / (√(2π)·t)`: a polynomial in `u = 1 / (t + 3)` times `u`
/// (the idea is M. M. Shepherd and J. G. Laframboise's, *Chebyshev approximation of (1+2x)exp(x²)erfc x*, 1981).
#[inline(always)]
pub fn normal_cdf(x: f32) -> f32 {
    // There the power would leave the normal numbers.
    const FAR: f32 = 13.2;
    let t = x.abs();
    // t² in two parts, of which the first has few enough bits to be exact: far out its rounding would weigh.
    let high = f32::from_bits(t.to_bits() & 0xffff_f000);
    let (power, r) = reduce(-0.5 * (high * high));
    let r = r - (0.5 * (t - high)) * (t + high);
    let bell = power.value() * (1.0 + exp_m1_near_zero(r));
    let u = 1.0 / (t + 3.0);
    let ratio = u * polynomial(u, MILLS);
    let tail = if t > FAR { 0.0 } else { bell * ratio };
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// `R(t) / u` as a polynomial in `u`, within 7e-8 of it for `t` up to 13.2.
const MILLS: [f32; 9] =
    [0.398_850_47, 1.202_969_9, 3.016_779_2, 9.948_112, -14.748_349, 167.872_76, -616.270_57, 885.500_37, -470.890_17];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::{Path, Task, wide_on};

    /// How many units in the last place `found` is from `truth`; what is less than any normal number counts as none.
    fn ulps(found: f32, truth: f64) -> f64 {
        if found.is_nan() || truth.is_nan() || (truth as f32).is_infinite() {
            let agree = found == truth as f32 || found.is_nan() && truth.is_nan();
            return if agree { 0.0 } else { f64::INFINITY };
        }
        let least = f64::from(f32::MIN_POSITIVE);
        if truth.abs() < least && f64::from(found).abs() <= least {
            return 0.0;
        }
        // The exponent's bits alone are the power of two that a number begins with.
        let first = f64::from_bits(truth.abs().max(least).to_bits() & 0x7ff0_0000_0000_0000);
        (f64::from(found) - truth).abs() / (first * f64::from(f32::EPSILON))
    }

    /// The most that `fast` is off over one in 4093 of all numbers in `low..=high`, and all that are peculiar.
    fn worst(fast: fn(f32) -> f32, exact: fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let peculiar = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            -f32::from_bits(1),
        ];
        let all = (0..=u32::MAX).step_by(4093).map(f32::from_bits).chain(peculiar);
        let within = all.filter(|x| x.is_nan() || (low..=high).contains(x));
        within.map(|x| ulps(fast(x), exact(f64::from(x)))).fold(0.0, f64::max)
    }

    fn sigmoid_exact(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn normal_cdf_exact(x: f64) -> f64 {
        0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    }

    #[test]
    fn all_are_as_near_to_the_library_as_they_say() {
        const INF: f32 = f32::INFINITY;
        for (name, found, bound) in [
            ("exp", worst(exp, f64::exp, -INF, INF), 1.1),
            ("exp_m1", worst(exp_m1, f64::exp_m1, -INF, 0.0), 1.1),
            ("ln_1p", worst(ln_1p, f64::ln_1p, 0.0, 1.0), 2.0),
            ("sigmoid", worst(sigmoid, sigmoid_exact, -INF, INF), 2.5),
            ("tanh", worst(tanh, f64::tanh, -INF, INF), 2.5),
            ("normal_cdf", worst(normal_cdf, normal_cdf_exact, -INF, INF), 6.5),
        ] {
            assert!(found <= bound, "{name} is off by {found}");
        }
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!((exp(0.0), exp(EXP_HIGH), exp(88.722_84)), (1.0, 3.402_798_5e38, f32::INFINITY));
        assert_eq!((exp(-87.336_55), exp(-1000.0), exp(1000.0)), (0.0, 0.0, f32::INFINITY));
        assert_eq!((exp_m1(-16.0), exp_m1(-18.0), exp_m1(-1e30)), (-0.999_999_9, -1.0, -1.0));
        assert_eq!((sigmoid(0.0), sigmoid(1000.0), sigmoid(-1000.0)), (0.5, 1.0, 0.0));
        assert_eq!((tanh(20.0), tanh(100.0), tanh(-100.0)), (1.0, 1.0, -1.0));
        assert_eq!((tanh(-0.0).to_bits(), tanh(1e-40), tanh(-1e-40)), ((-0.0f32).to_bits(), 1e-40, -1e-40));
        assert_eq!((normal_cdf(0.0), normal_cdf(6.0), normal_cdf(1e30), normal_cdf(-1e30)), (0.5, 1.0, 1.0, 0.0));
    }

    #[test]
    fn every_path_gives_the_same_bits() {
        let x: Vec<f32> = (0..=u32::MAX).step_by(65_521).map(f32::from_bits).collect();
        macro_rules! assert_same {
            ($($function:ident),+) => {$({
                struct Map<'a>(&'a [f32], &'a mut [f32]);

                impl Task for Map<'_> {
                    #[inline(always)]
                    fn run(self) {
                        for (y, &x) in self.1.iter_mut().zip(self.0) {
                            *y = $function(x);
                        }
                    }
                }

                for path in Path::available() {
                    let mut y = vec![0.0; x.len()];
                    wide_on(path, Map(&x, &mut y));
                    for (x, y) in x.iter().zip(y) {
                        let single = std::hint::black_box($function as fn(f32) -> f32)(*x);
                        let same = y.to_bits() == single.to_bits() || y.is_nan() && single.is_nan();
                        assert!(same, "{}({x:e}) is {y:e} on {}, {single:e} alone", stringify!($function), path.name());
                    }
                }
            })+};
        }
        assert_same!(exp, exp_m1, ln_1p, sigmoid, tanh, normal_cdf);
    }
}
