//! A progress bar with rate and time left, for what takes longer than two seconds.

use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

const PATIENCE: Duration = Duration::from_secs(2);

/// How far something is. On a terminal it shows after two seconds, elsewhere never.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    waiting: bool,
}

impl Progress {
    /// Nothing of `total` is done.
    pub(super) fn new(total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = "{msg:30} {bar:30} {percent:>3}%  {human_pos}/{human_len}  {rate}  {eta} left";
        let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that cannot be drawn is no loss.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
        Self { bar, started: Instant::now(), waiting: std::io::stderr().is_terminal() }
    }

    /// What is being done.
    pub(super) fn about(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
    }

    /// So much is done in all.
    pub(super) fn at(&mut self, done: u64) {
        if self.waiting && self.started.elapsed() >= PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.waiting = false;
        }
        self.bar.set_position(done);
    }

    /// Prints a result without disturbing the bar.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
