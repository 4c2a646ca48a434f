//! burn's training throughput on P1 to P4, with its `flex` backend on the CPU: `--net P1 --threads 2 --seconds 3`, with
//! `RAYON_NUM_THREADS` set.

#[path = "../../measure.rs"]
mod measure;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamConfig, GradientsParams, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use measure::{Arguments, Data, measure};

const VERSION: &str = "0.22.1";

#[derive(Module, Debug)]
struct Net {
    convolutions: Vec<Conv2d>,
    linears: Vec<Linear>,
    pool: MaxPool2d,
    dropout: Dropout,
}

impl Net {
    fn new(net: &str, device: &Device) -> Self {
        let conv = |(inputs, filters, kernel, padding): (usize, usize, usize, usize)| {
            let padding = match padding {
                0 => PaddingConfig2d::Valid,
                all => PaddingConfig2d::Explicit(all, all, all, all),
            };
            Conv2dConfig::new([inputs, filters], [kernel, kernel]).with_padding(padding).init(device)
        };
        let (convolutions, linears): (&[_], &[_]) = match net {
            "P1" => (&[], &[(784, 50), (50, 10)]),
            "P2" => (&[], &[(784, 512), (512, 512), (512, 10)]),
            "P3" => (&[(1, 30, 5, 0)], &[(4320, 100), (100, 10)]),
            _ => (
                &[(1, 16, 3, 1), (16, 16, 3, 1), (16, 32, 3, 1), (32, 32, 3, 2), (32, 64, 3, 1), (64, 64, 3, 1)],
                &[(1024, 50), (50, 10)],
            ),
        };
        Self {
            convolutions: convolutions.iter().copied().map(conv).collect(),
            linears: linears.iter().map(|&(inputs, outputs)| LinearConfig::new(inputs, outputs).init(device)).collect(),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            dropout: DropoutConfig::new(0.5).init(),
        }
    }

    /// The affine layers; in P4 dropout follows each.
    fn head(&self, mut x: Tensor<2>, drop: bool) -> Tensor<2> {
        for (i, layer) in self.linears.iter().enumerate() {
            x = layer.forward(x);
            if i + 1 < self.linears.len() {
                x = relu(x);
            }
            if drop {
                x = self.dropout.forward(x);
            }
        }
        x
    }

    /// The convolutions; in P4 every second is pooled.
    fn images(&self, mut x: Tensor<4>, deep: bool) -> Tensor<2> {
        for (i, layer) in self.convolutions.iter().enumerate() {
            x = relu(layer.forward(x));
            if !deep || i % 2 == 1 {
                x = self.pool.forward(x);
            }
        }
        self.head(x.flatten(1, 3), deep)
    }
}

fn main() {
    let arguments = Arguments::read();
    let (size, device, net) = (arguments.batch(), Device::flex().autodiff(), arguments.net.as_str());
    let mut model = Some(Net::new(net, &device));
    let mut optimizer = if net == "P1" { SgdConfig::new().init() } else { AdamConfig::new().init() };
    let rate = if net == "P1" { 0.1 } else { 1e-3 };
    let loss = CrossEntropyLossConfig::new().init(&device);
    let mut data = Data::new();
    measure("burn", VERSION, &arguments, || {
        let (x, y) = data.batch(size);
        let labels = y.into_iter().map(i64::from).collect();
        let labels: Tensor<1, Int> = Tensor::from_data(TensorData::new::<i64, _>(labels, [size]), &device);
        let now = model.take().expect("the model of the step before");
        let scores = if arguments.is_convolutional() {
            now.images(Tensor::from_data(TensorData::new(x, [size, 1, 28, 28]), &device), net == "P4")
        } else {
            now.head(Tensor::from_data(TensorData::new(x, [size, 784]), &device), false)
        };
        let gradients = GradientsParams::from_grads(loss.forward(scores, labels).backward(), &now);
        model = Some(optimizer.step(rate, now, gradients));
    });
}
