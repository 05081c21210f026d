//! The file that keeps lines aside which did not fit, each once, however often a run is killed. Nothing in it is ever cut or overwritten.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::reader::Mark;
use super::rejects_sources::{Entry, RejectsSources, sync_parent};

/// Lines of one source after the other. Those that an earlier run wrote and did not [commit](Self::commit) are looked for where they must
/// be: as long as they are there, they are not written again.
pub(crate) struct Rejects {
    file: File,
    path: PathBuf,
    sources: RejectsSources,
    /// Names the source in work.
    source: String,
    /// Lines that begin before this byte of the source are here already.
    kept_before: u64,
    state: State,
    /// Where the next byte goes, or is looked for.
    position: u64,
    line_start: u64,
    /// Where the source stands before the line begun last.
    line_mark: Option<Mark>,
    is_dirty: bool,
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Here are no lines of the source yet, or no place is left behind them: the next one begins at the end of the file.
    Apart,
    /// What comes may have been written by a run before this one, up to this byte, where another source may have begun.
    Matching { until: u64, is_last: bool },
    /// The file ends with lines of the source.
    Writing,
}

/// Why lines cannot be kept aside in a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RejectsError {
    /// Another import keeps lines aside in it: wait for it, or name another file.
    #[error("another import keeps lines aside in it")]
    Locked,
    /// Only a regular file can be gone through after a crash: name one.
    #[error("not a regular file: what is kept aside is looked for in it after a crash")]
    NotAFile,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Rejects {
    /// Opens the file, or makes it, for this process alone.
    pub(crate) fn open(path: &Path) -> Result<Self, RejectsError> {
        let is_new = !path.exists();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(RejectsError::NotAFile);
        }
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => RejectsError::Locked,
            TryLockError::Error(error) => error.into(),
        })?;
        if is_new {
            sync_parent(path)?;
        }
        let sources = RejectsSources::open(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            sources,
            source: String::new(),
            kept_before: 0,
            state: State::Apart,
            position: 0,
            line_start: 0,
            line_mark: None,
            is_dirty: false,
            count: 0,
        })
    }

    /// The files that are written for `path`.
    pub(crate) fn paths(path: &Path) -> [PathBuf; 2] {
        [path.to_owned(), RejectsSources::path_for(path)]
    }

    /// The file's path as given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lines kept aside in this run.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Begins a source. `is_so` says whether its first bytes, so many, still have this CRC-32: what was written down about other bytes is
    /// not about this source.
    pub(crate) fn begin<E>(&mut self, source: String, mut is_so: impl FnMut(u64, u32) -> Result<bool, E>) -> Result<io::Result<()>, E> {
        let mut found = None;
        for share in self.sources.shares(&source) {
            if is_so(share.position, share.crc32)? {
                found = Some(share);
                break;
            }
        }
        (self.source, self.is_dirty, self.line_mark) = (source, false, None);
        let len = match self.len() {
            Ok(len) => len,
            Err(error) => return Ok(Err(error)),
        };
        self.kept_before = found.map_or(0, |share| share.position);
        (self.state, self.position) = match found {
            Some(share) if share.at <= len => {
                (State::Matching { until: share.until.unwrap_or(len).min(len), is_last: share.until.is_none() }, share.at)
            }
            _ => (State::Apart, len),
        };
        Ok(Ok(()))
    }

    /// Begins a source of which nothing is known, and nothing will be.
    pub(crate) fn begin_unknown(&mut self) {
        (self.source, self.kept_before, self.state) = ("-".to_owned(), 0, State::Apart);
        (self.is_dirty, self.line_mark) = (false, None);
    }

    /// Whether the line that begins at this byte of the source is here already.
    pub(crate) fn has(&self, position: u64) -> bool {
        position < self.kept_before
    }

    /// Begins a line, before which the source stands at `mark`.
    pub(crate) fn begin_line(&mut self, mark: Mark) -> io::Result<()> {
        self.line_mark = Some(mark);
        self.line_start = self.position;
        self.count += 1;
        if self.state == State::Apart {
            self.go_to_end()?;
        }
        self.is_dirty = true;
        Ok(())
    }

    /// A part of the line begun last.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let State::Matching { until, is_last } = self.state {
            let present = self.present(bytes, until)?;
            if present == bytes.len() {
                self.position += present as u64;
                return Ok(());
            }
            if is_last && self.position + present as u64 == until {
                // The file ends inside this line, or before it: the run before was killed here. Where another source has begun, if only begun, what
                // is written would be taken for its.
                self.position += present as u64;
                bytes = &bytes[present..];
                self.state = State::Writing;
            } else {
                self.go_to_end()?;
            }
        }
        self.file.write_all_at(bytes, self.position)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Makes durable that everything wrong before `mark` is here. To be called before records behind those lines are appended: what an import
    /// has passed over is then in one place or the other, whenever it is killed.
    pub(crate) fn commit(&mut self, mark: &Mark) -> io::Result<()> {
        if self.is_dirty {
            self.file.sync_data()?;
            self.add(false, self.position, mark)?;
            self.is_dirty = false;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn add(&mut self, is_begin: bool, at: u64, mark: &Mark) -> io::Result<()> {
        self.sources.add(Entry { is_begin, at, position: mark.position, crc32: mark.crc32, source: self.source.clone() })
    }

    /// How many of `bytes` the file has at the position, before `until`.
    fn present(&self, bytes: &[u8], until: u64) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(usize::try_from(until.saturating_sub(self.position)).unwrap_or(usize::MAX))];
        let mut buffer = [0; 4096];
        let mut present = 0;
        while present < bytes.len() {
            let wanted = buffer.len().min(bytes.len() - present);
            let read = self.file.read_at(&mut buffer[..wanted], self.position + present as u64)?;
            let equal = buffer[..read].iter().zip(&bytes[present..]).take_while(|(a, b)| a == b).count();
            present += equal;
            if read == 0 || equal < read {
                break;
            }
        }
        Ok(present)
    }

    /// Goes on at the end of the file, which is written down first: lines without an owner would be anybody's after a kill. The parts of the
    /// current line that were found so far are copied there.
    fn go_to_end(&mut self) -> io::Result<()> {
        let (mut from, until) = (self.line_start, self.position);
        let mut end = self.len()?;
        let mut last = [b'\n'];
        if end > 0 {
            self.file.read_exact_at(&mut last, end - 1)?;
        }
        if last != [b'\n'] {
            // Somebody's line was torn by a kill: what is written here must not become a part of it.
            self.file.write_all_at(b"\n", end)?;
            end += 1;
        }
        if let Some(mark) = self.line_mark {
            self.file.sync_data()?;
            self.add(true, end, &mark)?;
        }
        (self.state, self.position) = (State::Writing, end);
        let mut buffer = [0; 4096];
        while from < until {
            let count = buffer.len().min((until - from) as usize);
            self.file.read_exact_at(&mut buffer[..count], from)?;
            self.file.write_all_at(&buffer[..count], self.position)?;
            from += count as u64;
            self.position += count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source of wrong lines: a line starts at the byte that is its number times ten. Ends without a commit, as if killed, if asked to.
    struct Run<'a> {
        source: &'a str,
        /// Of the records in the log.
        committed: u64,
        lines: &'a [&'a str],
        is_killed: bool,
    }

    fn mark(position: u64) -> Mark {
        Mark { position, crc32: position as u32, lines: 0, is_mid_line: false }
    }

    fn run(path: &Path, run: &Run<'_>) {
        let mut rejects = Rejects::open(path).unwrap();
        rejects.begin(run.source.to_owned(), |position, crc32| Ok::<_, ()>(position as u32 == crc32)).unwrap().unwrap();
        for (number, line) in run.lines.iter().enumerate() {
            let position = number as u64 * 10;
            if position < run.committed || rejects.has(position) {
                continue;
            }
            rejects.begin_line(mark(position)).unwrap();
            for part in line.as_bytes().chunks(2) {
                rejects.write(part).unwrap();
            }
            rejects.write(b"\n").unwrap();
        }
        if !run.is_killed {
            rejects.commit(&mark(run.lines.len() as u64 * 10)).unwrap();
        }
    }

    struct Place(tempfile::TempDir);

    impl Place {
        fn new(before: &str) -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            std::fs::write(place.path(), before).unwrap();
            place
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("rejects")
        }

        #[track_caller]
        fn run(&self, source: &str, lines: &[&str], after: &str) {
            run(&self.path(), &Run { source, committed: 0, lines, is_killed: false });
            assert_eq!(std::fs::read_to_string(self.path()).unwrap(), after);
        }

        fn killed(&self, source: &str, lines: &[&str]) {
            run(&self.path(), &Run { source, committed: 0, lines, is_killed: true });
        }

        /// What a kill leaves of the last write.
        fn cut(&self, len: usize) {
            File::options().write(true).open(self.path()).unwrap().set_len(len as u64).unwrap();
        }
    }

    #[test]
    fn the_same_lines_are_not_written_twice() {
        let place = Place::new("");
        place.run("a", &["one", "two"], "one\ntwo\n");
        place.run("a", &["one", "two"], "one\ntwo\n");
        place.run("a", &["one", "two", "two"], "one\ntwo\ntwo\n");
        place.killed("a", &["one", "two", "two", "two"]);
        place.run("a", &["one", "two", "two", "two"], "one\ntwo\ntwo\ntwo\n");
    }

    #[test]
    fn equal_lines_of_two_sources_are_two_lines() {
        let place = Place::new("bad\n");
        place.run("a", &["bad"], "bad\nbad\n");
        place.run("b", &["bad"], "bad\nbad\nbad\n");
        for _ in 0..2 {
            place.run("a", &["bad", "bad"], "bad\nbad\nbad\nbad\n");
            place.run("b", &["bad"], "bad\nbad\nbad\nbad\n");
        }
    }

    /// A kill came between what is written down and the first line: the next line of another source is not taken for its.
    #[test]
    fn a_source_that_had_only_begun_takes_nobodys_line() {
        let place = Place::new("");
        place.run("a", &["bad"], "bad\n");
        let mut only_begun = Rejects::open(&place.path()).unwrap();
        only_begun.begin("b".to_owned(), |_, _| Ok::<_, ()>(true)).unwrap().unwrap();
        only_begun.begin_line(mark(0)).unwrap();
        drop(only_begun);
        place.run("a", &["bad", "bad"], "bad\nbad\n");
        place.run("b", &["bad"], "bad\nbad\nbad\n");
        place.run("a", &["bad", "bad"], "bad\nbad\nbad\n");
    }

    #[test]
    fn a_line_torn_by_a_kill_is_completed() {
        for cut in 0.."one\ntwo\n".len() {
            let place = Place::new("");
            place.killed("a", &["one", "two"]);
            place.cut(cut);
            place.run("a", &["one", "two"], "one\ntwo\n");
        }
    }

    /// Another source is imported before the killed one goes on.
    #[test]
    fn what_another_source_kept_is_not_taken_for_ones_own() {
        for cut in 0..="bad\nbad\n".len() {
            let place = Place::new("");
            place.killed("a", &["bad", "bad"]);
            place.cut(cut);
            place.killed("b", &["bad", "bad"]);
            for _ in 0..2 {
                for source in ["a", "b"] {
                    run(&place.path(), &Run { source, committed: 0, lines: &["bad", "bad"], is_killed: false });
                }
                let text = std::fs::read_to_string(place.path()).unwrap();
                // A torn line stays as it is, beside the whole one.
                assert_eq!(text.lines().filter(|line| *line == "bad").count(), 4, "{cut}: {text:?}");
                assert!(text.lines().all(|line| "bad".starts_with(line)), "{cut}: {text:?}");
            }
        }
    }

    #[test]
    fn a_file_that_was_taken_away_begins_anew() {
        let place = Place::new("");
        place.run("a", &["one", "two"], "one\ntwo\n");
        std::fs::remove_file(place.path()).unwrap();
        place.run("a", &["one", "two", "three"], "three\n");
    }

    #[test]
    fn one_import_at_a_time() {
        let place = Place::new("");
        let held = Rejects::open(&place.path()).unwrap();
        assert!(matches!(Rejects::open(&place.path()), Err(RejectsError::Locked)));
        drop(held);
        assert!(Rejects::open(&place.path()).is_ok());
    }
}
