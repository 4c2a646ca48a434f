//! What the peers in Rust share: arguments, random data, the stopwatch, and the line of JSON. Included by path.

use std::time::Instant;

/// Samples of a training, as many as MNIST has.
const SAMPLES: usize = 60_000;
/// Windows that the measured time is cut into, and fewest of them.
const WINDOWS: f64 = 10.0;
const FEWEST: usize = 3;

/// What is to be measured; the number of threads is set by `RAYON_NUM_THREADS`.
pub struct Arguments {
    pub net: String,
    threads: usize,
    seconds: f64,
}

impl Arguments {
    /// Reads `--net P1 --threads 2 --seconds 3`.
    pub fn read() -> Self {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let value = |name: &str| given.iter().position(|word| word == name).and_then(|at| given.get(at + 1));
        let net = value("--net").cloned().unwrap_or_else(|| "P1".into());
        let threads = value("--threads").map_or(1, |text| text.parse().expect("a number of threads"));
        let seconds = value("--seconds").map_or(3.0, |text| text.parse().expect("a number of seconds"));
        assert!(["P1", "P2", "P3", "P4"].contains(&net.as_str()), "no net is named {net}");
        Self { net, threads, seconds }
    }

    /// Samples of a mini-batch.
    pub fn batch(&self) -> usize {
        if self.net == "P2" { 128 } else { 100 }
    }

    /// Whether the net takes images, or rows of values.
    pub fn is_convolutional(&self) -> bool {
        matches!(self.net.as_str(), "P3" | "P4")
    }
}

/// Random images as bytes, four fifths of them zeros, and the order in which they are taken.
pub struct Data {
    random: u64,
    inputs: Vec<u8>,
    order: Vec<u32>,
    position: usize,
}

impl Data {
    pub fn new() -> Self {
        let mut data = Self { random: 88_172_645_463_325_252, inputs: vec![], order: vec![], position: SAMPLES };
        data.inputs =
            (0..SAMPLES * 784).map(|_| data.draw()).map(|x| if x % 5 == 0 { (x >> 8) as u8 } else { 0 }).collect();
        data.order = (0..SAMPLES as u32).collect();
        data
    }

    /// Marsaglia's xorshift.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// The next mini-batch: values 0–1, and labels. Each epoch has another order.
    pub fn batch(&mut self, size: usize) -> (Vec<f32>, Vec<u32>) {
        if self.position + size > SAMPLES {
            self.position = 0;
            for i in (1..SAMPLES).rev() {
                let other = (self.draw() % (i as u64 + 1)) as usize;
                self.order.swap(i, other);
            }
        }
        let indices = &self.order[self.position..self.position + size];
        self.position += size;
        let rows = indices.iter().flat_map(|&i| &self.inputs[i as usize * 784..(i as usize + 1) * 784]);
        (rows.map(|&byte| f32::from(byte) * (1.0 / 255.0)).collect(), indices.iter().map(|i| i % 10).collect())
    }
}

/// Measures repeated steps, window by window after a warm-up of a quarter of the time, and prints the line.
pub fn measure(peer: &str, version: &str, arguments: &Arguments, mut step: impl FnMut()) {
    let Arguments { net, threads, seconds } = arguments;
    let samples = arguments.batch() as f64;
    step();
    let (mut began, mut steps) = (Instant::now(), 0.0);
    while steps < 2.0 || began.elapsed().as_secs_f64() < seconds / 4.0 {
        step();
        steps += 1.0;
    }
    let stride = (steps / began.elapsed().as_secs_f64() * seconds / WINDOWS).max(1.0) as u64;
    began = Instant::now();
    let mut rates = Vec::new();
    while rates.len() < FEWEST || began.elapsed().as_secs_f64() < *seconds {
        let window = Instant::now();
        (0..stride).for_each(|_| step());
        rates.push(stride as f64 * samples / window.elapsed().as_secs_f64());
    }
    let windows = format!("{rates:?}");
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    println!(
        r#"{{"peer": "{peer}", "version": "{version}", "net": "{net}", "threads": {threads}, "samples_per_second": {median}, "windows": {windows}, "data": "random"}}"#
    );
}
