//! A progress bar on the standard error, on a terminal only. In a pipe it is nothing.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Bytes read so far, their rate and, if the size is known, the time left.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for one source.
    pub(crate) fn new(name: &str, bytes: Option<u64>) -> Self {
        let target = target();
        let (bar, template) = match bytes {
            Some(bytes) => {
                (ProgressBar::with_draw_target(Some(bytes), target), "{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} ETA {eta}")
            }
            None => (ProgressBar::with_draw_target(None, target), "{msg} {spinner} {bytes} {binary_bytes_per_sec}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(bar.with_style(style).with_message(name.to_owned()))
    }

    /// A bar that counts records.
    pub(crate) fn of_records(name: &str) -> Self {
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {human_pos}/{human_len} {per_sec} ETA {eta}");
        let bar = ProgressBar::with_draw_target(Some(0), target());
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(name.to_owned()))
    }

    /// So many of so many are done.
    pub(crate) fn set_of(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }

    /// So many bytes of the source, as it is stored, are read.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
