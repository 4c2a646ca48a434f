//! What is allocated: by a training step nothing after the first; by any work on this thread, at its peak.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use dojang::engine::checkpoint::Checkpoint;
use dojang::engine::network::Network;
use dojang::engine::samples::{Inputs, Samples};
use dojang::engine::shape::Shape;
use dojang::engine::train::{Command, Data, Observer, TrainEvent, Trainer};
use dojang::job::spec::TrainSpec;
use serde_json::json;

/// The system's allocator, counting what the threads of one pool ask for, and the bytes that a thread holds.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
    /// Bytes that this thread holds, less those it has freed for others; and the most it has held.
    static HELD: Cell<[isize; 2]> = const { Cell::new([0; 2]) };
}

/// Notes bytes that this thread takes, then bytes that it frees.
fn hold(taken: usize, freed: usize) {
    let _ = HELD.try_with(|held| {
        let [now, most] = held.get();
        let with = now + taken as isize;
        held.set([with - freed as isize, most.max(with)]);
    });
}

/// Does some work, and says how many more bytes this thread held at its peak than before.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = HELD.with(|held| {
        let [now, _] = held.get();
        held.set([now; 2]);
        now
    });
    let done = work();
    let most = HELD.with(Cell::get)[1];
    (done, u64::try_from(most - before).expect("no less than before"))
}

fn count() {
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator cannot be written without; each call is passed on as it came")]
// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        hold(layout.size(), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(0, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        hold(size, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts from one step to another.
struct Between {
    first: u64,
    last: u64,
    at_first: usize,
    counted: Option<usize>,
}

impl Observer for Between {
    fn next(&mut self, step: u64) -> Command {
        if step == self.first {
            self.at_first = COUNT.load(Ordering::Relaxed);
        }
        if step == self.last {
            self.counted = Some(COUNT.load(Ordering::Relaxed) - self.at_first);
            return Command::Stop;
        }
        Command::Continue
    }

    fn event(&mut self, _event: TrainEvent) {}

    fn checkpoint(&mut self, _checkpoint: Checkpoint) {}
}

#[test]
fn a_step_allocates_nothing() {
    let spec = TrainSpec::from_value(&json!({
        "dataset": {"name": "digits", "augment": {"shift": 1, "rotate": 5.0, "elastic": 1.0}},
        "network": [
            {"type": "conv2d", "filters": 4, "kernel": 5, "stride": 2, "padding": 2}, "batch_norm", "relu",
            "max_pool2d", {"type": "conv2d", "filters": 3, "kernel": 3}, "gelu", "flatten", {"type": "affine", "units": 40},
            "batch_norm", "sigmoid", "dropout", {"type": "affine", "units": 10},
        ],
        "schedule": "cosine", "gradient_clip": "norm", "weight_decay": 1e-4, "epochs": 1000, "diagnostics": false,
    }));
    let spec = spec.expect("a sound spec");
    let network = Network::build(&Shape::new(&[1, 28, 28]), &spec.network).expect("a sound network");
    let settings = spec.settings();
    let inputs: Vec<u8> = (0..1050 * 784).map(|i| (i % 253) as u8).collect();
    let labels: Vec<u16> = (0..1050).map(|i| i % 10).collect();
    let train = Samples::new(Inputs::Bytes(&inputs), &labels, 784);
    let test = Samples::new(Inputs::Bytes(&[]), &[], 784);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.broadcast(|_| COUNTED.with(|counted| counted.set(true)));
        // Three epochs, each with a smaller last batch; the first ones warm up what the pool and the product keep.
        let mut observer = Between { first: 22, last: 33, at_first: 0, counted: None };
        pool.install(|| Trainer::new(&network, &settings, Data { train, test }).run(&mut observer));
        assert_eq!(observer.counted, Some(0), "with {threads} threads");
    }
}
