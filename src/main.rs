//! The `dojang` program; all of it is in [`dojang::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    dojang::cli::main()
}
