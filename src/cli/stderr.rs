//! Stderr behind a bounded queue: no writer ever waits for whoever reads it, or panics as nobody does.
//!
//! A thread of its own writes the lines. While stderr takes none (a pipe that nobody drains), lines queue up to
//! [`MOST_BYTES`]; beyond that they are dropped and counted, as are those whose write fails (a closed pipe, a terminal that is
//! gone, a full disk). The next line that gets through is preceded by one that says how many are missing.
//!
//! `tracing-appender` has such a writer, but at exit its guard prints to stdout while its queue is full, which blocks for ever
//! where both go to one pipe, and it does not count writes that fail.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Bytes of lines that may wait.
const MOST_BYTES: usize = 1 << 20;
/// Pause before a write is tried again that a non-blocking stderr has refused.
const RETRY: Duration = Duration::from_millis(20);

/// Lines on their way to stderr.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    /// Lines that were lost since the start.
    dropped: Arc<AtomicU64>,
    /// Whether lines are JSON objects.
    json: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Entry>,
    bytes: usize,
    /// Lines that were lost since the last entry that says so.
    unreported: u64,
    /// Whether the thread is at work on an entry that is no longer among `lines`.
    writing: bool,
    /// Whether somebody has waited for the queue in vain since the last successful write.
    stalled: bool,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// So many lines are missing here.
    Gap(u64),
}

static STDERR: LazyLock<Arc<Queue>> = LazyLock::new(|| Queue::start(stderr_file()));

/// The queue of this process' stderr.
pub(super) fn queue() -> &'static Arc<Queue> {
    &STDERR
}

/// Stderr by a handle of its own: while its thread waits in a write, nobody else waits for a lock.
fn stderr_file() -> Box<dyn Write + Send> {
    #[cfg(unix)]
    if let Ok(own) = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned() {
        return Box::new(std::fs::File::from(own));
    }
    Box::new(io::stderr())
}

impl Queue {
    /// A queue whose thread writes to `target`. If no thread can be started, all lines are dropped, and counted.
    fn start(mut target: Box<dyn Write + Send>) -> Arc<Self> {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            dropped: Arc::default(),
            json: AtomicBool::new(false),
        });
        let thread = queue.clone();
        // Without it the queue fills up and stays full.
        let _ = thread::Builder::new().name("stderr".into()).spawn(move || thread.work(&mut *target));
        queue
    }

    /// Number of lines that were lost since the start; goes on counting.
    pub(super) fn dropped(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }

    /// Makes lines about lost lines JSON objects.
    pub(super) fn write_json(&self) {
        self.json.store(true, Ordering::Relaxed);
    }

    /// Queues a line, with its line break, or drops it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.bytes + line.len() > MOST_BYTES {
            state.unreported += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.report();
        state.bytes += line.len();
        state.lines.push_back(Entry::Line(line.to_owned()));
        self.changed.notify_all();
    }

    /// Waits until all lines are written, but no longer than this, and not at all while nobody takes any.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        state.report();
        self.changed.notify_all();
        while (state.writing || !state.lines.is_empty()) && !state.stalled {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.stalled = true;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, target: &mut dyn Write) {
        let mut torn = false;
        loop {
            let mut state = self.lock();
            let entry = loop {
                match state.lines.pop_front() {
                    Some(entry) => break entry,
                    None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            state.writing = true;
            drop(state);
            let (bytes, lines) = match &entry {
                Entry::Line(line) => (line.as_slice(), 1),
                Entry::Gap(lines) => (&*self.gap(*lines), *lines),
            };
            // What a failed write has left of a line is not to run into the next one.
            let written = if torn { write(target, b"\n", &mut torn) } else { Ok(()) };
            let written = written.and_then(|()| write(target, bytes, &mut torn));
            let mut state = self.lock();
            if let Entry::Line(line) = &entry {
                state.bytes -= line.len();
            }
            match written {
                Ok(()) => state.stalled = false,
                Err(_) => {
                    state.unreported += lines;
                    if matches!(entry, Entry::Line(_)) {
                        self.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            state.writing = false;
            self.changed.notify_all();
        }
    }

    /// A line about so many lines that are missing.
    fn gap(&self, lines: u64) -> Vec<u8> {
        let (at, message) = (Timestamp::now(), "lines of the log were dropped, as stderr did not take them");
        let line = if self.json.load(Ordering::Relaxed) {
            format!("{{\"timestamp\":\"{at}\",\"level\":\"WARN\",\"message\":\"{message}\",\"dropped\":{lines}}}\n")
        } else {
            format!("{at}  WARN {message} dropped={lines}\n")
        };
        line.into()
    }
}

impl State {
    /// Queues an entry about the lines that were lost since the last one.
    fn report(&mut self) {
        if self.unreported > 0 {
            let lines = std::mem::take(&mut self.unreported);
            self.lines.push_back(Entry::Gap(lines));
        }
    }
}

/// Writes all bytes; `torn` tells afterwards whether a part of them was written.
fn write(target: &mut dyn Write, mut bytes: &[u8], torn: &mut bool) -> io::Result<()> {
    while !bytes.is_empty() {
        match target.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                *torn = !bytes.is_empty();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

/// A line of the log comes in one call.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Takes a write only once it is allowed to, and fails where it is told to.
    struct Gate {
        answers: mpsc::Receiver<io::Result<usize>>,
        written: Written,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = self.answers.recv().unwrap_or(Ok(usize::MAX))?;
            let taken = &bytes[..bytes.len().min(most)];
            self.written.lock().unwrap().extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Written = Arc<Mutex<Vec<u8>>>;

    /// A queue, what it has written, and what lets it write.
    fn gated() -> (Arc<Queue>, Written, mpsc::Sender<io::Result<usize>>) {
        let (allow, answers) = mpsc::channel();
        let written = Written::default();
        let queue = Queue::start(Box::new(Gate { answers, written: written.clone() }));
        (queue, written, allow)
    }

    fn text(written: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn whoever_writes_never_waits_and_what_is_lost_is_told() {
        let (queue, written, allow) = gated();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        for _ in 0..1024 + 7 {
            queue.push(&line);
        }
        assert_eq!(queue.dropped().load(Ordering::Relaxed), 7, "a line that is being written takes its room, too");
        let began = Instant::now();
        queue.flush(Duration::from_millis(50));
        queue.flush(PATIENCE);
        assert!(began.elapsed() < PATIENCE / 2, "the second one knows that nobody takes anything");
        // Now somebody reads.
        drop(allow);
        while queue.lock().stalled {
            thread::yield_now();
        }
        queue.push(b"later\n");
        queue.flush(PATIENCE);
        let text = text(&written);
        let last: Vec<_> = text.lines().skip(1024).collect();
        assert!(last[0].ends_with("dropped=7") && last[0].contains("WARN"), "{last:?}");
        assert_eq!(last[1..], ["later"]);
    }

    #[test]
    fn lines_that_fail_are_counted_and_leave_no_half_of_them() {
        let (queue, written, allow) = gated();
        queue.write_json();
        queue.push(b"one\n");
        queue.push(b"two\n");
        for answer in [Ok(2), Err(io::ErrorKind::StorageFull.into()), Err(io::ErrorKind::BrokenPipe.into())] {
            allow.send(answer).unwrap();
        }
        while queue.dropped().load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        drop(allow);
        queue.push(b"three\n");
        queue.flush(PATIENCE);
        let text = text(&written);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines[2], lines.len()), ("on", "three", 3), "{text}");
        let gap: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!((&gap["dropped"], &gap["level"]), (&2.into(), &"WARN".into()), "{gap}");
    }
}
