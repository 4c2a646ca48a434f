//! candle's training throughput on P1 to P4: `--net P1 --threads 2 --seconds 3`, with `RAYON_NUM_THREADS` set.

#[path = "../../measure.rs"]
mod measure;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::optim::{AdamW, ParamsAdamW, SGD};
use candle_nn::{Conv2d, Conv2dConfig, Dropout, Linear, Module, ModuleT, Optimizer, VarBuilder, VarMap, loss};
use measure::{Arguments, Data, measure};

const VERSION: &str = "0.11.1";

enum Layer {
    Linear(Linear),
    Conv(Conv2d),
    Relu,
    Pool,
    Flatten,
    Dropout(Dropout),
}

impl Layer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Linear(layer) => layer.forward(x),
            Self::Conv(layer) => layer.forward(x),
            Self::Relu => x.relu(),
            Self::Pool => x.max_pool2d(2),
            Self::Flatten => x.flatten_from(1),
            Self::Dropout(layer) => layer.forward_t(x, true),
        }
    }
}

/// The layers of P1 to P4.
fn network(net: &str, variables: &VarBuilder<'_>) -> Result<Vec<Layer>> {
    use Layer::{Flatten, Pool, Relu};
    let linear =
        |inputs, outputs, name: &str| candle_nn::linear(inputs, outputs, variables.pp(name)).map(Layer::Linear);
    let conv = |inputs, filters, kernel, padding, name: &str| {
        let config = Conv2dConfig { padding, ..Default::default() };
        candle_nn::conv2d(inputs, filters, kernel, config, variables.pp(name)).map(Layer::Conv)
    };
    let dropout = || Layer::Dropout(Dropout::new(0.5));
    Ok(match net {
        "P1" => vec![linear(784, 50, "a")?, Relu, linear(50, 10, "b")?],
        "P2" => vec![linear(784, 512, "a")?, Relu, linear(512, 512, "b")?, Relu, linear(512, 10, "c")?],
        "P3" => {
            let head = [Relu, Pool, Flatten, linear(30 * 144, 100, "a")?, Relu, linear(100, 10, "b")?];
            std::iter::once(conv(1, 30, 5, 0, "c")?).chain(head).collect()
        }
        _ => {
            let mut layers = Vec::new();
            let sizes = [(1, 16, 1), (16, 16, 1), (16, 32, 1), (32, 32, 2), (32, 64, 1), (64, 64, 1)];
            for (i, (inputs, filters, padding)) in sizes.into_iter().enumerate() {
                layers.extend([conv(inputs, filters, 3, padding, &format!("c{i}"))?, Relu]);
                layers.extend((i % 2 == 1).then_some(Pool));
            }
            layers.extend([Flatten, linear(1024, 50, "a")?, Relu, dropout(), linear(50, 10, "b")?, dropout()]);
            layers
        }
    })
}

enum Update {
    Sgd(SGD),
    Adam(AdamW),
}

fn main() -> Result<()> {
    let arguments = Arguments::read();
    let (size, device, variables) = (arguments.batch(), Device::Cpu, VarMap::new());
    let layers = network(&arguments.net, &VarBuilder::from_varmap(&variables, DType::F32, &device))?;
    let adam = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..Default::default() };
    let mut update = match arguments.net.as_str() {
        "P1" => Update::Sgd(SGD::new(variables.all_vars(), 0.1)?),
        _ => Update::Adam(AdamW::new(variables.all_vars(), adam)?),
    };
    let mut data = Data::new();
    let mut step = || -> Result<()> {
        let (x, y) = data.batch(size);
        let x = Tensor::from_vec(x, (size, 784), &device)?;
        let x = if arguments.is_convolutional() { x.reshape((size, 1, 28, 28))? } else { x };
        let scores = layers.iter().try_fold(x, |x, layer| layer.forward(&x))?;
        let loss = loss::cross_entropy(&scores, &Tensor::from_vec(y, size, &device)?)?;
        match &mut update {
            Update::Sgd(optimizer) => optimizer.backward_step(&loss),
            Update::Adam(optimizer) => optimizer.backward_step(&loss),
        }
    };
    measure("candle", VERSION, &arguments, || step().expect("a step"));
    Ok(())
}
