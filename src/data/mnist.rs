//! `mnist`: 70,000 handwritten digits (Y. LeCun, C. Cortes, C. Burges), from the four files of the original.
//!
//! What *Deep Learning from Scratch* passes to `load_mnist` is no choice here:
//!
//! | the notes | dojang |
//! | --- | --- |
//! | `normalize=True` | images stay bytes in memory, a quarter of the size; a batch reads them as 0–1 while it is assembled |
//! | `flatten=True` | `affine` reads any shape as a row of values by itself; `conv2d` sees `[1, 28, 28]` of the same bytes |
//! | `one_hot_label=True` | one-hot labels never exist: the loss takes the class's index, which is what it multiplies by |

use super::fetch::RemoteFile;
use super::idx_folder::IdxSet;

/// What it is, and where it is published.
pub const MNIST: IdxSet = IdxSet {
    name: "mnist",
    description: "Handwritten digits of census employees and students, 28×28 grey, centred by mass.",
    class_names: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    mirrors: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ],
    files: [
        RemoteFile {
            name: "train-images-idx3-ubyte.gz",
            bytes: 9_912_422,
            sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        },
        RemoteFile {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 28_881,
            sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        },
        RemoteFile {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 1_648_877,
            sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        },
        RemoteFile {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 4_542,
            sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ],
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_original_is_read_where_it_is_at_hand() {
        let Some(folder) = std::env::var_os("DOJANG_MNIST_DIR") else {
            return println!("skipped: DOJANG_MNIST_DIR is not set");
        };
        let mnist = MNIST.load(Path::new(&folder)).unwrap();
        assert_eq!((mnist.train.len(), mnist.test.len()), (60_000, 10_000));
        assert_eq!(mnist.train.labels[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
        assert_eq!(mnist.test.labels[..5], [7, 2, 1, 0, 4]);
    }

    #[test]
    fn pinned_hashes_are_those_of_the_files_at_hand() {
        let Some(folder) = std::env::var_os("DOJANG_MNIST_DIR") else {
            return println!("skipped: DOJANG_MNIST_DIR is not set");
        };
        for file in MNIST.files {
            let Ok(bytes) = std::fs::read(Path::new(&folder).join(file.name)) else { continue };
            // A repacked file has the right content but another hash: only the published one is downloaded, any is read.
            if bytes.len() as u64 == file.bytes {
                let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(sha256, file.sha256, "{}", file.name);
            }
        }
    }
}
