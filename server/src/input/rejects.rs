//! The file that keeps lines aside which did not fit. A run that goes on after a crash does not write a line twice; nothing is ever cut or overwritten.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Lines are compared with what the file holds, from its start: as long as they are there already, they are not written again.
pub(crate) struct Rejects {
    file: File,
    path: PathBuf,
    position: u64,
    line_start: u64,
    is_matching: bool,
    count: u64,
}

impl Rejects {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file, path: path.to_owned(), position: 0, line_start: 0, is_matching: true, count: 0 })
    }

    /// The file's path as given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lines kept aside in this run.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Where the next line goes, or is looked for.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Starts looking at `position`: a run before this one had written that much.
    pub(crate) fn start_at(&mut self, position: u64) -> io::Result<()> {
        self.is_matching = true;
        if position <= self.file.metadata()?.len() {
            self.position = position;
        }
        Ok(())
    }

    /// Begins a line.
    pub(crate) fn begin_line(&mut self) {
        self.line_start = self.position;
        self.count += 1;
    }

    /// A part of the line begun last.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.is_matching {
            let present = self.present(bytes)?;
            if present == bytes.len() {
                self.position += present as u64;
                return Ok(());
            }
            self.is_matching = false;
            if self.position + present as u64 == self.file.metadata()?.len() {
                // The file ends inside this line: it was being written when the run before ended.
                self.position += present as u64;
                bytes = &bytes[present..];
            } else {
                self.move_line_to_end()?;
            }
        }
        self.file.write_all_at(bytes, self.position)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// How many of `bytes` the file has at the position.
    fn present(&self, bytes: &[u8]) -> io::Result<usize> {
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

    /// The parts of the current line that were found in the file so far are copied to its end, where the rest will follow.
    fn move_line_to_end(&mut self) -> io::Result<()> {
        let mut from = self.line_start;
        let until = self.position;
        self.position = self.file.metadata()?.len();
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

    fn run(path: &Path, lines: &[&str]) -> u64 {
        let mut rejects = Rejects::open(path).unwrap();
        for line in lines {
            rejects.begin_line();
            for part in line.as_bytes().chunks(2) {
                rejects.write(part).unwrap();
            }
            rejects.write(b"\n").unwrap();
        }
        rejects.sync().unwrap();
        rejects.count()
    }

    fn check(before: &str, lines: &[&str], after: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rejects");
        std::fs::write(&path, before).unwrap();
        assert_eq!(run(&path, lines), lines.len() as u64);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
    }

    #[test]
    fn the_same_lines_are_not_written_twice() {
        check("", &["one", "two"], "one\ntwo\n");
        check("one\n", &["one", "two"], "one\ntwo\n");
        check("one\ntwo\n", &["one", "two"], "one\ntwo\n");
    }

    #[test]
    fn a_line_torn_by_a_kill_is_completed() {
        for cut in 0.."one\ntwo\n".len() {
            check(&"one\ntwo\n"[..cut], &["one", "two"], "one\ntwo\n");
        }
    }

    #[test]
    fn what_another_run_wrote_stays() {
        check("other\n", &["one"], "other\none\n");
        check("one\nother\n", &["one", "owl"], "one\nother\nowl\n");
        check("one\nonly\n", &["one", "on", "two"], "one\nonly\non\ntwo\n");
    }
}
