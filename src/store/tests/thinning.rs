//! Histories that have become long.

use super::*;

/// Points of a curve that falls, with a spike at each of these steps, and evaluations at each tenth step.
fn curve(steps: std::ops::RangeInclusive<u64>, spikes: &[u64]) -> Figures {
    let loss = |step: u64| if spikes.contains(&step) { 1000.0 + step as f64 } else { 1.0 + 1.0 / step as f64 };
    let mut figures = Figures::default();
    for step in steps {
        figures.steps.push(StepPoint {
            step,
            epoch: step.div_ceil(10),
            loss: Some(loss(step)),
            accuracy: None,
            learning_rate: None,
            samples_per_second: None,
            at: at(1),
        });
        if step.is_multiple_of(10) {
            let epoch = Epoch {
                epoch: step / 10,
                step,
                train_loss: None,
                train_accuracy: None,
                validation_loss: None,
                validation_accuracy: None,
                test_loss: Some(loss(step)),
                test_accuracy: None,
                seconds: 0.1,
            };
            figures.epochs.push(EpochPoint::new(&epoch, at(1)));
        }
    }
    figures
}

impl House {
    /// Adds points in batches, as a run does.
    async fn draw(&self, run: RunKey, curve: Figures) {
        let (mut steps, mut epochs) = (curve.steps.as_slice(), curve.epochs.as_slice());
        while !steps.is_empty() || !epochs.is_empty() {
            let (some, rest) = steps.split_at(steps.len().min(300));
            let (some_epochs, rest_epochs) = epochs.split_at(epochs.len().min(300));
            let points = Figures { steps: some.to_vec(), epochs: some_epochs.to_vec(), ..Figures::default() };
            let last = progress(points.steps.last().map_or(1, |point| point.step));
            let metrics = LastMetrics::default();
            let news = News { figures: &points, ..news(&[], &last, &metrics) };
            self.append(run, news).await.unwrap();
            (steps, epochs) = (rest, rest_epochs);
        }
    }

    async fn save(&self, run: RunKey, step: u64) {
        let event = [saved(run, self.next_id(run.job).await, step)];
        let metrics = LastMetrics::default();
        self.save_checkpoint(run, &new_checkpoint(step, 10), news(&event, &progress(step), &metrics)).await.unwrap();
    }
}

#[tokio::test]
async fn a_long_history_is_thinned_and_loses_no_spike() {
    let house = House::new().await;
    let run = house.running().await;
    let spikes = [7, 4_560, 9_990, 20_000, 29_999];
    house.draw(run, curve(1..=30_000, &spikes)).await;
    let History { steps, epochs, resolution } = house.metrics(run.job).await.unwrap();
    assert!(steps.len() <= 2000 && steps.len() > 400, "{}", steps.len());
    assert!(epochs.len() <= 2000 && epochs.len() > 400, "{}", epochs.len());
    assert!(resolution.steps.is_power_of_two() && resolution.steps > 8 && resolution.epochs > 1, "{resolution:?}");
    assert!(
        steps.windows(2).all(|pair| pair[0].step < pair[1].step && pair[1].step - pair[0].step <= 2 * resolution.steps)
    );
    assert_eq!((steps[0].step, steps[steps.len() - 1].step), (1, 30_000));
    assert!(spikes.iter().all(|spike| steps.iter().any(|point| point.step == *spike)), "{steps:?}");
    let tenths = spikes.iter().filter(|spike| spike.is_multiple_of(10));
    assert!(tenths.clone().count() == 3 && tenths.clone().all(|spike| epochs.iter().any(|point| point.step == *spike)));
    // Another job's is as it was.
    let other = house.running().await;
    house.draw(other, curve(1..=100, &[])).await;
    let History { steps, resolution, .. } = house.metrics(other.job).await.unwrap();
    assert_eq!((steps.len(), resolution), (100, Resolution::default()));
}

#[tokio::test]
async fn a_thinned_history_goes_back_to_its_checkpoint() {
    let house = House::new().await;
    let run = house.running().await;
    house.draw(run, curve(1..=1_500, &[])).await;
    house.save(run, 1_500).await;
    // A spike before the checkpoint, in one window with a larger one after it.
    house.draw(run, curve(1_501..=1_501, &[1_501])).await;
    house.save(run, 1_501).await;
    house.draw(run, curve(1_502..=30_000, &[1_502])).await;
    assert_eq!(house.requeue_running(at(2)).await.unwrap(), [run.job]);
    let claim = house.claimed().await;
    let History { steps, .. } = house.metrics(run.job).await.unwrap();
    assert_eq!(steps.last().map(|point| point.step), Some(1_501));
    assert!(steps.iter().any(|point| point.loss == Some(2501.0)), "the spike before the checkpoint is still there");
    assert_eq!(claim.job.metrics.loss, Some(2501.0), "the newest figure that stays");
    // Trained again: each step once.
    house.draw(claim.run, curve(1_502..=30_000, &[])).await;
    let History { steps, .. } = house.metrics(run.job).await.unwrap();
    assert!(steps.len() <= 2000 && steps.windows(2).all(|pair| pair[0].step < pair[1].step));
    assert!(!steps.iter().any(|point| point.loss == Some(2502.0)), "what was lost is not remembered");
}

#[tokio::test]
async fn progress_that_lost_sight_of_its_plan_is_put_right() {
    let house = House::new().await;
    let id = house.submit().await;
    let lost = r#"{"step":30,"total_steps":0,"epoch":29,"epochs":0,"fraction":30.0,"samples_per_second":null,"eta_seconds":null}"#;
    sqlx::query("update jobs set progress = ?").bind(lost).execute(&house.writer).await.unwrap();
    let progress = house.get(id).await.progress;
    assert_eq!((progress.step, progress.total_steps, progress.epoch, progress.epochs), (30, 100, 3, 10));
    assert!((progress.fraction - 0.3).abs() < 1e-12 && !progress.eta_at_most);
}

#[tokio::test]
async fn a_training_that_ends_within_an_epoch_never_passes_its_last_one() {
    let house = House::new().await;
    house.submit_with(&json!({"epochs": null, "steps": 67, "batch_size": 84})).await;
    // Twelve mini-batches an epoch, six epochs.
    for (step, epoch) in [(60, 5), (61, 6), (66, 6)] {
        let run = house.claimed().await.run;
        house.save(run, step).await;
        let last = Progress { total_steps: 67, epochs: 6, ..progress(67) };
        house.append(run, news(&[], &last, &LastMetrics::default())).await.unwrap();
        house.requeue_running(at(2)).await.unwrap();
        let claim = house.claimed().await;
        assert_eq!((claim.job.progress.step, claim.job.progress.epoch, claim.job.progress.epochs), (step, epoch, 6));
        house.requeue_running(at(3)).await.unwrap();
    }
}
