//! A progress bar on the standard error, on a terminal only. In a pipe it is nothing.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Bytes read so far, their rate and, if the size is known, the time left.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for one source.
    pub(crate) fn new(name: &str, bytes: Option<u64>) -> Self {
        let target = if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let (bar, template) = match bytes {
            Some(bytes) => {
                (ProgressBar::with_draw_target(Some(bytes), target), "{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} ETA {eta}")
            }
            None => (ProgressBar::with_draw_target(None, target), "{msg} {spinner} {bytes} {binary_bytes_per_sec}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(bar.with_style(style).with_message(name.to_owned()))
    }

    /// So many bytes of the source, as it is stored, are read.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
