//! Where datasets lie already: the same arguments for every command that looks for them.

use std::path::PathBuf;

use clap::Args;

/// Folders of datasets that need not be downloaded.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GivenArgs {
    /// Folder with the four MNIST files (idx, gzipped or not)
    #[arg(long, env = "DOJANG_MNIST_DIR", value_name = "DIR", help_heading = "Data")]
    pub(crate) mnist_dir: Option<PathBuf>,
    /// Folder with the four Fashion-MNIST files, which are called the same
    #[arg(long, env = "DOJANG_FASHION_MNIST_DIR", value_name = "DIR", help_heading = "Data")]
    pub(crate) fashion_mnist_dir: Option<PathBuf>,
}
