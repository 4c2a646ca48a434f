//! The engine of **dojang**, floor 0 of its house: numbers only.
//!
//! The engine knows no files, clock, HTTP or SQL and imports nothing else of dojang's. Read it in this order:
//!
//! 1. [`describe`]: how every part says what fields it has; one table serves checks, defaults and the catalog
//! 2. [`shape`], [`form`], [`rng`], [`math`], [`processor`], [`gemm`], [`im2col`], `aligned`: the ground
//! 3. [`layer`], [`init`], [`loss`], [`optimizer`], [`schedule`]: the parts, one file each, with their registries;
//!    [`augment`], [`clip`]
//! 4. [`network`]: layers in a row over one flat parameter buffer
//! 5. [`samples`], [`segment`], `layout`, [`batch`], `team`, [`step`], [`update`], [`train`]: how training goes over them;
//!    [`infer`], [`model`]: how they predict
//! 6. [`metrics`], [`diagnostics`]: how good it is, and what goes on inside
//! 7. [`checkpoint`]: all that is needed to go on bit for bit
//! 8. [`gradient_check`]: the witness
//!
//! # What holds everywhere
//! - Layers are stateless: `forward` and `backward` take `&self`, parameters and buffers.
//! - Work is cut by the data, never by the number of threads, and partial sums are added in index order: 1, 2 or N
//!   threads give the same bits.
//! - After its first call a training step allocates nothing.

pub mod aligned;
pub mod augment;
pub mod batch;
pub mod checkpoint;
pub mod clip;
pub mod describe;
pub mod diagnostics;
pub mod form;
pub mod gemm;
pub mod gradient_check;
pub mod im2col;
pub mod infer;
pub mod init;
pub mod layer;
mod layout;
pub mod loss;
pub mod math;
pub mod metrics;
pub mod model;
pub mod network;
pub mod optimizer;
pub mod processor;
pub mod rng;
pub mod samples;
pub mod schedule;
pub mod segment;
pub mod shape;
pub mod step;
mod team;
pub mod train;
pub mod update;
