//! Elementary functions with fixed bits.
//!
//! The C library's `expf` may change with its version and does not vectorise; these are plain arithmetic, so the
//! compiler turns loops over them into SIMD and a weight is the same on every machine of one CPU type.

/// `e^x`, within 2 units in the last place; 0 below −87.3, +∞ above 88.7.
///
/// `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`; `e^r` by its Taylor polynomial of degree 7, then scaled by `2^n`
/// (the two-part `ln 2` is W. J. Cody and W. Waite's, *Software Manual for the Elementary Functions*, 1980).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5·2^23 rounds to the nearest integer without a branch.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.7);
    let n = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + coefficient;
    }
    // 2^n in two factors: n = 128 does not fit one exponent.
    let n = n as i32;
    let half = n >> 1;
    let power = |e: i32| f32::from_bits(((e + 127) as u32) << 23);
    let y = p * power(half) * power(n - half);
    let y = if x > 88.7 { f32::INFINITY } else { y };
    let y = if x < -87.3 { 0.0 } else { y };
    if x.is_nan() { x } else { y }
}

/// The logistic function `1 / (1 + e^−x)`, without overflow at either end.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent: its Taylor polynomial near 0, where `1 − 2/(e^2x + 1)` would cancel; that formula beyond.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let far = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    let square = x * x;
    let mut p = -1382.0 / 155_925.0;
    for coefficient in [62.0 / 2835.0, -17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0] {
        p = p * square + coefficient;
    }
    let near = x + x * square * p;
    if x.abs() < 0.3 { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest relative error of `fast` against `exact` over evenly spaced points.
    fn worst(fast: fn(f32) -> f32, exact: fn(f64) -> f64, low: f32, high: f32) -> f64 {
        (0..200_000)
            .map(|i| {
                let x = low + (high - low) * (i as f32 / 200_000.0);
                let truth = exact(f64::from(x));
                (f64::from(fast(x)) - truth).abs() / truth.abs().max(1e-30)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_agrees_with_the_library() {
        assert!(worst(exp, f64::exp, -87.0, 88.5) < 2.5e-7);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(1000.0), f32::INFINITY);
        assert_eq!((exp(f32::NEG_INFINITY), exp(f32::INFINITY)), (0.0, f32::INFINITY));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sigmoid_and_tanh_agree_with_the_library() {
        assert!(worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), -80.0, 80.0) < 5e-7);
        assert!(worst(tanh, f64::tanh, -20.0, 20.0) < 5e-7);
        assert_eq!((tanh(0.0), tanh(100.0), tanh(-100.0)), (0.0, 1.0, -1.0));
        assert_eq!((sigmoid(1000.0), sigmoid(-1000.0)), (1.0, 0.0));
        assert!(tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
    }
}
