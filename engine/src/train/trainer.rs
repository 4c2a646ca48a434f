//! The training loop.

use std::ops::Range;

use rayon::prelude::*;

use super::early_stopping::{Best, Evaluated, Verdict};
use super::gather::Augmented;
use super::pace::{Pace, split, total_steps};
use super::{Command, Data, MiniBatch, Observer, Outcome, Settings, TrainEvent};
use crate::aligned::Aligned;
use crate::augment::ImageShape;
use crate::checkpoint::{Arrangement, Checkpoint, Position, all_finite, is_finite};
use crate::diagnostics;
use crate::infer::{Rows, Sizes};
use crate::layer::Pass;
use crate::loss::Score;
use crate::metrics::{Evaluation, Judged, Report};
use crate::network::{Network, Weights};
use crate::optimizer::Moment;
use crate::rng::{Purpose, Rng};
use crate::samples::Samples;
use crate::schedule::Progress;
use crate::step::{Gather, Step, Workspace, workspace_bytes};
use crate::team;
use crate::update::{Place, Update};

/// A training under way.
#[derive(Debug)]
pub struct Trainer<'a> {
    network: &'a Network,
    settings: &'a Settings,
    data: Data<'a>,
    pace: Pace,
    sizes: Sizes,
    state: State,
    work: Workspace,
    /// Training samples that are learned from, and those that are held out, by their indices in rising order.
    learned: Vec<u32>,
    held_out: Vec<u32>,
    /// The former in the order of the epoch `ordered`, 0 for none yet.
    order: Vec<u32>,
    ordered: u64,
    /// The parameters before the last mini-batch, where diagnostics need them.
    before: Vec<f32>,
}

/// A checkpoint at work.
#[derive(Debug)]
struct State {
    position: Position,
    parameters: Aligned,
    slots: Vec<Aligned>,
    best: Option<Best>,
}

impl State {
    /// Takes a checkpoint up: the parameters, and what belongs to them, lie so that the largest tensor begins a line.
    fn of(network: &Network, checkpoint: Checkpoint) -> Self {
        let place = network.tensors().iter().max_by_key(|tensor| tensor.range.len()).map_or(0, |t| t.range.start);
        let taken_up = |values: Vec<f32>| {
            let mut taken = Aligned::with_line_at(place, values.len());
            taken.copy_from_slice(&values);
            taken
        };
        let Checkpoint { position, parameters, slots, best, .. } = checkpoint;
        let slots = slots.into_iter().map(taken_up).collect();
        Self { position, parameters: taken_up(parameters), slots, best }
    }

    /// A copy to keep.
    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            position: self.position,
            arrangement: Arrangement::Panels,
            parameters: self.parameters.to_vec(),
            slots: self.slots.iter().map(|slot| slot.to_vec()).collect(),
            best: self.best.clone(),
        }
    }

    /// Whether a checkpoint of it could be saved.
    fn is_finite(&self) -> bool {
        let slots = self.slots.iter().map(|slot| &**slot);
        is_finite(std::iter::once(&*self.parameters).chain(slots), self.best.as_ref())
    }
}

/// Why a checkpoint does not belong to a training.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint belongs to another training: {0}")]
pub struct Mismatch(&'static str);

impl<'a> Trainer<'a> {
    /// A training from its first step.
    pub fn new(network: &'a Network, settings: &'a Settings, data: Data<'a>) -> Self {
        let parameters = network.init(&settings.init, settings.seed);
        Self::with_parameters(network, settings, data, parameters)
    }

    /// A training from its first step, with these initial parameters.
    ///
    /// # Panics
    /// If they are not as many as the network's.
    pub fn with_parameters(network: &'a Network, settings: &'a Settings, data: Data<'a>, parameters: Vec<f32>) -> Self {
        assert_eq!(parameters.len(), network.parameter_count(), "parameters of another network");
        let slots = vec![vec![0.0; network.parameter_count()]; settings.optimizer.rule().slots()];
        let (position, arrangement) = (Position::default(), Arrangement::Panels);
        let checkpoint = Checkpoint { position, arrangement, parameters, slots, best: None };
        Self::at(network, settings, data, checkpoint)
    }

    /// A training that goes on from a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint is not one of this network, optimizer and number of steps.
    pub fn resume(
        network: &'a Network,
        settings: &'a Settings,
        data: Data<'a>,
        checkpoint: Checkpoint,
    ) -> Result<Self, Mismatch> {
        let parameters = network.parameter_count();
        if checkpoint.parameters.len() != parameters {
            return Err(Mismatch("the number of parameters differs"));
        }
        let slots = settings.optimizer.rule().slots();
        if checkpoint.slots.len() != slots || checkpoint.slots.iter().any(|slot| slot.len() != parameters) {
            return Err(Mismatch("what the optimizer remembers differs"));
        }
        if checkpoint.best.as_ref().is_some_and(|best| ![0, parameters].contains(&best.parameters.len())) {
            return Err(Mismatch("the parameters of its best epoch differ in number"));
        }
        if checkpoint.position.step > total_steps(settings, data.train.len()) {
            return Err(Mismatch("it is past the last step"));
        }
        Ok(Self::at(network, settings, data, checkpoint.arranged_for(network)))
    }

    fn at(network: &'a Network, settings: &'a Settings, data: Data<'a>, state: Checkpoint) -> Self {
        let (learned, held_out) = divide(settings, data.train.len());
        let batch = settings.batch_size.min(learned.len());
        Self {
            network,
            settings,
            data,
            pace: Pace::new(settings, data.train.len()),
            sizes: Sizes::new(network, usize::MAX).expect("the plan has checked the sizes"),
            state: State::of(network, state),
            work: Workspace::new(network, batch, false),
            order: learned.clone(),
            learned,
            held_out,
            ordered: 0,
            before: vec![0.0; if settings.diagnostics { network.parameter_count() } else { 0 }],
        }
    }

    /// Mini-batches done.
    pub fn step(&self) -> u64 {
        self.state.position.step
    }

    /// A copy of all that is needed to go on from here.
    pub fn checkpoint(&self) -> Checkpoint {
        self.state.checkpoint()
    }

    /// The parameters as they are now.
    pub fn parameters(&self) -> &[f32] {
        &self.state.parameters
    }

    /// Trains until the end, or until the observer or the numbers stop it. The result of a training that has ended is
    /// there after [`restore_best`](Self::restore_best); before, a checkpoint is of the last mini-batch.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Outcome {
        team::lead(|| self.all_steps(observer))
    }

    fn all_steps(&mut self, observer: &mut dyn Observer) -> Outcome {
        while self.step() < self.pace.total {
            let Some(score) = self.mini_batch() else { return Outcome::Diverged { step: self.step() } };
            let position = &mut self.state.position;
            position.step += 1;
            position.epoch.add(score);
            let step = position.step;
            observer.mini_batch(MiniBatch {
                step,
                epoch: self.pace.epoch(step),
                score,
                learning_rate: self.learning_rate(step - 1),
                is_evaluated: self.pace.evaluates(step),
            });
            match self.inspect(observer) {
                Some(Verdict::Stop) => return self.sound(Outcome::EarlyStopped),
                Some(_) => {}
                None => return Outcome::Diverged { step },
            }
            if step == self.pace.total {
                break;
            }
            match observer.next(step) {
                Command::Continue => {}
                Command::Save if self.state.is_finite() => observer.checkpoint(self.checkpoint()),
                Command::Save => return Outcome::Diverged { step },
                Command::Stop => return Outcome::Stopped,
            }
        }
        self.sound(Outcome::Completed)
    }

    /// This outcome, unless a number is not finite.
    fn sound(&self, outcome: Outcome) -> Outcome {
        if self.state.is_finite() { outcome } else { Outcome::Diverged { step: self.step() } }
    }

    /// Makes the parameters of the best epoch the result, if the settings ask for it and there was one.
    pub fn restore_best(&mut self) {
        if let Some(best) = self.state.best.as_ref().filter(|best| !best.parameters.is_empty()) {
            self.state.parameters.copy_from_slice(&best.parameters);
        }
    }

    /// Does what is due after this step: evaluation and diagnostics; `None` if a weight is not finite.
    fn inspect(&mut self, observer: &mut dyn Observer) -> Option<Verdict> {
        let step = self.step();
        let epoch = self.pace.epoch(step);
        let mut verdict = Verdict::GoOn;
        if self.pace.evaluates(step) {
            if !all_finite(&self.state.parameters) {
                return None;
            }
            let train = std::mem::take(&mut self.state.position.epoch);
            let test = self.evaluate(self.data.test);
            let validation = (!self.held_out.is_empty()).then(|| self.score(self.data.train, Some(&self.held_out)));
            verdict = self.judge(epoch, validation);
            let is_best = verdict == Verdict::Better;
            observer.event(TrainEvent::Epoch { step, epoch, train, validation, test, is_best });
        }
        if self.settings.diagnostics && self.pace.has_diagnostics(step) {
            let look = diagnostics::look(self.network, &self.work, &self.before, &self.state.parameters, (step, epoch));
            observer.event(TrainEvent::Diagnostics(Box::new(look)));
        }
        Some(verdict)
    }

    /// Holds an epoch against the best one so far.
    fn judge(&mut self, epoch: u64, validation: Option<Score>) -> Verdict {
        let (Some(rule), Some(score)) = (&self.settings.early_stopping, validation) else { return Verdict::GoOn };
        let value = rule.value(&score);
        let verdict =
            rule.judge(self.state.best.as_ref(), value, Evaluated { epoch, every: self.settings.evaluate_every });
        if verdict == Verdict::Better {
            let parameters = if rule.restore_best { self.state.parameters.to_vec() } else { vec![] };
            self.state.best = Some(Best { value, epoch, parameters });
        }
        verdict
    }

    /// The learning rate of the mini-batch after `step` others.
    fn learning_rate(&self, step: u64) -> f64 {
        let at = Progress { step, total_steps: self.pace.total, steps_per_epoch: self.pace.per_epoch };
        let factor = self.settings.schedule.map_or(1.0, |schedule| schedule.rule().rate(at));
        self.settings.optimizer.rule().learning_rate() * factor
    }

    /// One mini-batch; `None` if its loss is not finite, and then the weights are as before.
    fn mini_batch(&mut self) -> Option<Score> {
        let step = self.step();
        let epoch = self.pace.epoch(step + 1);
        self.arrange(epoch);
        let first = (step % self.pace.per_epoch) as usize * self.settings.batch_size;
        let indices = &self.order[first..(first + self.settings.batch_size).min(self.order.len())];
        let learning_rate = self.learning_rate(step);
        let augmented = self.augmented(epoch);
        let samples: &dyn Gather = augmented.as_ref().map_or(&self.data.train, |augmented| augmented);
        let State { parameters, slots, .. } = &mut self.state;
        let pass = Pass::Train { seed: self.settings.seed, step };
        let loss = self.settings.loss.rule();
        let score =
            Step { network: self.network, loss, parameters, pass }.differentiate(&mut self.work, samples, indices);
        if !score.loss.is_finite() {
            return None;
        }
        let has_diagnostics = self.settings.diagnostics && self.pace.has_diagnostics(step + 1);
        if has_diagnostics {
            self.before.copy_from_slice(parameters);
        }
        // Each tile says for itself whether it decays.
        let optimizer = self.settings.optimizer.rule();
        let moment = Moment::of(optimizer, step + 1, learning_rate);
        let mut slots = slots.iter_mut().map(|slot| &mut **slot);
        let slots = std::array::from_fn(|_| slots.next().unwrap_or_default());
        let update = Update {
            network: self.network,
            optimizer,
            clip: self.settings.gradient_clip,
            weight_decay: self.settings.weight_decay as f32,
            keep_gradient: has_diagnostics,
        };
        update.run(&mut self.work, moment, Place { parameters, slots });
        Some(score)
    }

    fn augmented(&self, epoch: u64) -> Option<Augmented<'a>> {
        let augment = self.settings.augment?;
        let image = ImageShape::of(self.network.input())?;
        Some(Augmented { samples: self.data.train, augment, image, seed: self.settings.seed, epoch })
    }

    /// Puts the samples into the order of an epoch, from 1: a pure function of the seed and the epoch.
    fn arrange(&mut self, epoch: u64) {
        if self.ordered != epoch {
            self.order.copy_from_slice(&self.learned);
            Rng::new(self.settings.seed, Purpose::Shuffle, epoch, 0).shuffle(&mut self.order);
            self.ordered = epoch;
        }
    }

    /// Sums of loss and hits over some samples, with the weights as they are now.
    pub fn evaluate(&self, samples: Samples<'_>) -> Score {
        self.score(samples, None)
    }

    fn score(&self, samples: Samples<'_>, indices: Option<&[u32]>) -> Score {
        let loss = self.settings.loss.evaluated();
        let loss = loss.rule();
        let scores = self.over_passes(samples, indices, |_, outputs, labels| loss.score(outputs, labels));
        let mut total = Score::default();
        scores.into_iter().for_each(|score| total.add(score));
        total
    }

    /// All that there is to say of the weights as they are now on some samples that tell `classes` classes apart.
    pub fn report_on(&self, samples: Samples<'_>, classes: usize) -> Report {
        let loss = self.settings.loss.evaluated();
        let loss = loss.rule();
        let outputs = self.over_passes(samples, None, |_, outputs, _| outputs.to_vec()).into_iter().flatten();
        let (outputs, width) = (outputs.collect::<Vec<_>>(), self.network.output().len());
        let (mut whole, mut predictions) = (Evaluation::new(classes), vec![0.0; classes]);
        for (index, (outputs, &label)) in (0..).zip(outputs.chunks_exact(width).zip(samples.all_labels())) {
            loss.predictions(outputs, classes, &mut predictions);
            let predicted = loss.predicted_class(outputs).min(classes - 1);
            let loss = loss.row_loss(outputs, label);
            whole.record(Judged { index, label, predicted, predictions: &predictions, loss });
        }
        whole.report()
    }

    /// Predicts samples, pass by pass, and hands `(first row, outputs, labels)` to `task`; results in index order.
    fn over_passes<T: Send>(
        &self,
        samples: Samples<'_>,
        indices: Option<&[u32]>,
        task: impl Fn(usize, &[f32], &[u16]) -> T + Sync,
    ) -> Vec<T> {
        let (n, rows) = (indices.map_or(samples.len(), <[u32]>::len), self.sizes.rows);
        if n == 0 {
            // Not even the memory of a pass is wanted.
            return vec![];
        }
        let transformed = self.network.transformed(self.parameters());
        let weights = Weights::predicting(self.parameters(), &transformed);
        let passes = (0..n.div_ceil(rows)).into_par_iter();
        let pass = |(memory, labels): &mut (Aligned, Vec<u16>), pass: usize| {
            // At every pass, for one wake might come too soon.
            team::wake();
            let range = pass * rows..((pass + 1) * rows).min(n);
            let index = |row: usize| indices.map_or(row, |indices| indices[row] as usize);
            labels.clear();
            labels.extend(range.clone().map(|row| samples.all_labels()[index(row)]));
            let read = |rows: Range<usize>, x: &mut [f32]| {
                for (x, row) in x.chunks_exact_mut(samples.width()).zip(rows) {
                    samples.read(index(range.start + row), x);
                }
            };
            let x = Rows::Read(&read);
            let outputs = self.network.infer(weights, self.sizes, memory, range.len(), x);
            task(range.start, outputs, labels)
        };
        passes.map_init(|| (self.sizes.memory(), Vec::with_capacity(rows)), pass).collect()
    }
}

/// Which training samples are learned from and which held out: a pure function of the seed.
fn divide(settings: &Settings, samples: usize) -> (Vec<u32>, Vec<u32>) {
    let (_, count) = split(settings, samples);
    let mut all: Vec<u32> = (0..samples as u32).collect();
    if count == 0 {
        return (all, vec![]);
    }
    Rng::new(settings.seed, Purpose::Validation, 0, 0).shuffle(&mut all);
    let mut held_out = all.split_off(samples - count);
    all.sort_unstable();
    held_out.sort_unstable();
    (all, held_out)
}

/// Bytes that a training takes at its peak besides the data, with one checkpoint in flight; `None` where it overflows.
pub fn peak_bytes(network: &Network, settings: &Settings, samples: usize) -> Option<usize> {
    /// Passes that predict at once: as many as a machine has threads, about.
    const PASSES: usize = 16;
    /// Larger buffers go back to the system as soon as they are freed; of smaller ones the allocator keeps some.
    const KEPT_BY_ALLOCATOR: usize = 32 << 20;
    let batch = settings.batch_size.min(samples).max(1);
    let copies = 1 + settings.optimizer.rule().slots() + usize::from(settings.early_stopping.is_some());
    let state = network.parameter_count().checked_mul(4)?.checked_mul(copies)?;
    // The state itself, its copy for a checkpoint, and that copy as bytes and as a compressed or chunked file.
    let states = state.checked_mul(4)?.checked_add(network.parameter_count().checked_mul(4)?)?;
    let states = states.checked_add(network.parameter_count().checked_mul(4)?.min(KEPT_BY_ALLOCATOR))?;
    let passes = Sizes::new(network, samples)?.checked_len()?.checked_mul(4 * PASSES)?;
    let passes = network.transformed_len().checked_mul(4)?.checked_add(passes)?;
    states.checked_add(workspace_bytes(network, batch)?)?.checked_add(passes)?.checked_add(samples.checked_mul(12)?)
}
