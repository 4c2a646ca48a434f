//! The program that runs, the kernels it chose, and the processor they run on.

use std::sync::LazyLock;

use crate::engine::processor;
use crate::job::build::Build;

/// This build on this machine.
pub fn this_build() -> &'static Build {
    static BUILD: LazyLock<Build> = LazyLock::new(|| Build {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: option_env!("DOJANG_COMMIT").filter(|commit| !commit.is_empty()).map(str::to_owned),
        // The command line refuses to start where `DOJANG_KERNELS` names none.
        kernels: processor::check().unwrap_or("unknown").into(),
        cpu: cpu_model().unwrap_or_else(|| std::env::consts::ARCH.into()),
    });
    &BUILD
}

/// The processor's model, where the system tells it (Linux on x86-64).
fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let model = line.split_once(':')?.1.trim();
    (!model.is_empty()).then(|| model.to_owned())
}
