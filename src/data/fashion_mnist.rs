//! `fashion_mnist`: 70,000 pictures of articles of clothing (H. Xiao, K. Rasul, R. Vollgraf, *Fashion-MNIST: a Novel Image
//! Dataset for Benchmarking Machine Learning Algorithms*, 2017), in files like MNIST's and harder to tell apart.
//!
//! Sizes and SHA-256 are those that TensorFlow Datasets publishes for the authors' files
//! (`url_checksums/fashion_mnist.txt`).

use super::fetch::RemoteFile;
use super::idx_folder::IdxSet;

/// What it is, and where it is published.
pub const FASHION_MNIST: IdxSet = IdxSet {
    name: "fashion_mnist",
    description: "Articles of clothing from a shop's catalogue, 28×28 grey: as large as MNIST, and harder.",
    class_names: [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    mirrors: &[
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ],
    files: [
        RemoteFile {
            name: "train-images-idx3-ubyte.gz",
            bytes: 26_421_880,
            sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        },
        RemoteFile {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 29_515,
            sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        },
        RemoteFile {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 4_422_102,
            sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        },
        RemoteFile {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 5_148,
            sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ],
};
