//! The ceiling: how many fused multiply-adds in 32 bits the cores do at most, from registers alone.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use serde_json::json;

use crate::{Effort, Measured, quantile};

/// Floating-point operations and the seconds they took.
type Work = (f64, f64);
/// The instructions' name, and a round of them.
type Round = (&'static str, fn() -> Work);

/// So many independent chains of fused multiply-adds that none waits for another; one round is some milliseconds.
#[inline(always)]
fn chains<const CHAINS: usize>() -> Work {
    const ROUNDS: u32 = 1 << 20;
    let (factor, term) = (black_box(0.999_999_f32), black_box(1e-7_f32));
    // One flat array: the compiler keeps it in registers as vectors.
    let mut sums = [1.0_f32; CHAINS];
    let began = Instant::now();
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = sum.mul_add(factor, term);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    black_box(sums);
    (f64::from(ROUNDS) * (CHAINS * 2) as f64, seconds)
}

/// Sixteen vectors of sixteen.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() -> Work {
    chains::<256>()
}

/// Twelve vectors of eight.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> Work {
    chains::<96>()
}

/// The instructions that the processor has, and a round of each: the wider ones need not be the faster ones.
fn available() -> Vec<Round> {
    let mut rounds: Vec<Round> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "code compiled for more than every processor has may only be called where it runs")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the instructions.
            rounds.push(("avx512", || unsafe { avx512() }));
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            rounds.push(("avx2", || unsafe { avx2() }));
        }
    }
    if cfg!(target_arch = "aarch64") {
        // Every processor of the kind has the instruction.
        rounds.push(("neon", chains::<64>));
    }
    rounds
}

/// Operations a second of all threads together.
fn rate(round: fn() -> Work, Effort { threads, seconds }: Effort) -> f64 {
    let start = Barrier::new(threads);
    // All work for the whole time, so that each feels the others' heat.
    let work = || {
        start.wait();
        let (began, mut rates) = (Instant::now(), Vec::new());
        while began.elapsed().as_secs_f64() < seconds {
            let (operations, seconds) = round();
            rates.push(operations / seconds);
        }
        // What a core can do, not what it does while something else has it.
        quantile(&rates, 0.9)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("arithmetic does not panic")).sum()
    })
}

pub(crate) fn measure(effort: Effort) -> Measured {
    let rounds = available();
    let effort = Effort { seconds: effort.seconds / rounds.len().max(1) as f64, ..effort };
    let rates: Vec<_> = rounds.into_iter().map(|(name, round)| (name, rate(round, effort) / 1e9)).collect();
    let best = rates.iter().max_by(|a, b| a.1.total_cmp(&b.1)).ok_or("the processor has no FMA that is known here")?;
    Ok(json!({"instructions": best.0, "gflops": best.1, "all_gflops": rates}))
}
