//! Moves records from sources to partitions, and commits how far it came with them. Decides no exit codes, prints no results.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tidelog::Topic;

use super::note::{Note, SourceId};
use super::resume;
use super::target::{Commit, Target};
use super::{Args, OnError, Summary};
use crate::cli::progress::Progress;
use crate::cli::store;
use crate::cli::write::{RECORD_OVERHEAD_BYTES, item_bytes, route};
use crate::exit::{Exit, Failure};
use crate::input::{InputError, LineError, Mark, ReaderOptions, RecordReader, Rejects, Source};
use crate::output::counted;

/// Imports sources one after the other into the partitions of one topic.
pub(super) struct Importer<'a> {
    args: &'a Args,
    topic: &'a Topic,
    options: ReaderOptions,
    targets: Vec<Target>,
    /// The partitions that take turns.
    active: Vec<u32>,
    rejects: Option<Rejects>,
    settings_crc: u32,
    batch_bytes_max: usize,
    /// The source in work; `None` if it cannot be resumed.
    source: Option<SourceId>,
    /// Records of the source in work before the next one.
    records: u64,
    already_imported: u64,
    imported: u64,
}

impl<'a> Importer<'a> {
    pub(super) fn new(args: &'a Args, topic: &'a Topic, options: ReaderOptions, rejects: Option<Rejects>) -> Result<Self, Failure> {
        let name = &args.topic.topic;
        let partitions = store::partitions_to_write(topic, args.partition.partition)?.into_iter();
        let targets = partitions.map(|(number, partition)| Target::new(number, partition, format!("{name}/{number}"))).collect();
        let batch_bytes_max = options.value_bytes_max + RECORD_OVERHEAD_BYTES;
        let settings_crc = crc32fast::hash(fingerprint(args, topic.partition_count()).as_bytes());
        let active = topic.active_partitions();
        Ok(Self {
            args,
            topic,
            options,
            targets,
            active,
            rejects,
            settings_crc,
            batch_bytes_max,
            source: None,
            records: 0,
            already_imported: 0,
            imported: 0,
        })
    }

    /// Imports what is not there yet of one source. When it returns, that is durable.
    pub(super) fn import(&mut self, path: &Path) -> Result<Summary, Failure> {
        let rejected_before = self.rejects.as_ref().map_or(0, Rejects::count);
        let mut reader = self.begin(path)?;
        let progress = Progress::new(reader.source().name(), reader.source().stored_progress().1);
        let stopped_by = self.take_all(&mut reader, &progress)?;
        // What comes before a line that does not fit is kept. After any other error the mark might lie behind a record that is in no batch.
        let mark = reader.mark();
        self.commit_all(mark)?;
        self.flush()?;
        drop(progress);
        if let Some(error) = stopped_by {
            crate::cli::say(&format!("imported before the error: {}", counted(self.imported, "record", "records")));
            return Err(Failure::input(error));
        }
        Ok(Summary {
            source: reader.source().name().to_owned(),
            topic: self.args.topic.topic.clone(),
            imported: self.imported,
            already_imported: self.already_imported,
            rejected: self.rejects.as_ref().map_or(0, Rejects::count) - rejected_before,
            bytes: mark.position,
        })
    }

    /// Opens a source at the first byte that may be missing in a partition.
    fn begin(&mut self, path: &Path) -> Result<RecordReader, Failure> {
        (self.records, self.already_imported, self.imported) = (0, 0, 0);
        let mut reader = self.open(path)?;
        self.source = reader.source().identity().map(SourceId::new);
        let Some(source) = self.source.clone() else {
            let name = reader.source().name();
            crate::cli::say(&format!("{name} cannot be resumed: if this import is interrupted, a second one begins at its start"));
            self.targets.iter_mut().for_each(|target| target.begin(None));
            if let Some(rejects) = &mut self.rejects {
                rejects.begin_unknown();
            }
            return Ok(reader);
        };
        for target in &mut self.targets {
            let note = match &target.partition {
                Some(partition) => resume::newest_note(partition.view(), &target.place, &source)?,
                None => None,
            };
            target.begin(note);
        }
        resume::check_settings(&self.targets, path, self.settings_crc)?;
        resume::verify(&self.targets, path, &mut reader)?;
        let lowest = resume::lowest(&self.targets).cloned();
        if !resume::are_level(&self.targets) {
            self.check_records(path, lowest.as_ref())?;
            reader = self.open_at(path, lowest.as_ref())?;
        }
        if let Some(note) = &lowest {
            (self.records, self.already_imported) = (note.records, note.records);
        }
        self.begin_rejects(path)?;
        Ok(reader)
    }

    /// Finds out what is kept aside of the source already.
    fn begin_rejects(&mut self, path: &Path) -> Result<(), Failure> {
        let Some(rejects) = &mut self.rejects else { return Ok(()) };
        let first = self.topic.view(self.targets[0].number).map_err(|error| store::topic_failure(&self.args.topic.topic, error))?;
        let uuid: String = first.uuid().iter().map(|byte| format!("{byte:02x}")).collect();
        let canonical = path.canonicalize().map_err(|error| Failure::because(Exit::Failed, path.display().to_string(), error))?;
        let source = format!("{uuid} {}", canonical.as_os_str().as_bytes().escape_ascii());
        let (highest, compression) = (resume::highest(&self.targets), self.args.compression);
        // Lines may be kept aside ahead of the records: a kill came between.
        let is_so = |position, crc32| {
            if position <= highest {
                return Ok(true);
            }
            let mut source = Source::open(path, compression)?;
            Ok(source.skip_to(position)? && source.crc32() == crc32)
        };
        let begun = rejects.begin(source, is_so).map_err(Failure::input)?;
        begun.map_err(|error| rejects_failure(rejects, error))
    }

    fn open(&self, path: &Path) -> Result<RecordReader, Failure> {
        let source = Source::open(path, self.args.compression).map_err(Failure::input)?;
        RecordReader::new(source, self.options.clone()).map_err(Failure::input)
    }

    /// Opens a source behind what a note says of it, or at its start.
    fn open_at(&self, path: &Path, note: Option<&Note>) -> Result<RecordReader, Failure> {
        let mut reader = self.open(path)?;
        if let Some(note) = note {
            reader.skip_to(&note.mark).and_then(|_| reader.finish_line()).map_err(Failure::input)?;
        }
        Ok(reader)
    }

    /// Refuses a source that is not read as the records that the notes count behind `lowest`: its bytes are the same, but limits and parsers
    /// may be others, and whoever passes by records by their number would leave some out.
    fn check_records(&self, path: &Path, lowest: Option<&Note>) -> Result<(), Failure> {
        let mut reader = self.open_at(path, lowest)?;
        let mut records = lowest.map_or(0, |note| note.records);
        let mut partition_records = vec![0; self.targets.len()];
        let mut is_given = false;
        for (index, note) in resume::by_position(&self.targets) {
            // Where the given record begins, or the next one may.
            while reader.source().position() < note.mark.position {
                if is_given {
                    partition_records[self.route(reader.item().key, records)] += 1;
                    records += 1;
                    is_given = false;
                    reader.consume_given();
                    continue;
                }
                match self.advance(&mut reader) {
                    Ok(false) => break,
                    Ok(true) => is_given = true,
                    Err(error) if error.can_skip() => drop(reader.reject(&mut |_| Ok(())).map_err(Failure::input)?),
                    Err(error) => return Err(Failure::input(error)),
                }
            }
            // What a partition has before `lowest` only its own note says.
            let of_partition = if lowest.is_some() { note.partition_records } else { partition_records[index] };
            if (records, of_partition) != (note.records, note.partition_records) {
                return Err(resume::other_records(path, &self.targets[index], note, (records, of_partition)));
            }
        }
        Ok(())
    }

    /// Goes on to the next record that fits; false at the end of the source.
    fn advance(&self, reader: &mut RecordReader) -> Result<bool, InputError> {
        if !reader.advance()? {
            return Ok(false);
        }
        self.too_long(reader).map_or(Ok(true), Err)
    }

    /// The place among the targets of record `number` of the source.
    fn route(&self, key: Option<&[u8]>, number: u64) -> usize {
        route(self.topic, self.targets.len(), &self.active, key, number)
    }

    /// Takes records until the source ends, or until the input error that is returned.
    fn take_all(&mut self, reader: &mut RecordReader, progress: &Progress) -> Result<Option<InputError>, Failure> {
        loop {
            let wrong = match self.advance(reader) {
                Ok(false) => return Ok(None),
                Ok(true) => {
                    self.take(reader, progress)?;
                    continue;
                }
                Err(error) => error,
            };
            if !wrong.can_skip() || !self.keep_aside(reader)? {
                return Ok(Some(wrong));
            }
        }
    }

    /// With its key, a record may pass the limit that its value alone does not.
    fn too_long(&self, reader: &mut RecordReader) -> Option<InputError> {
        let limit = self.options.value_bytes_max;
        (item_bytes(&reader.item()) > self.batch_bytes_max).then(|| reader.refuse(LineError::TooLong { limit }))
    }

    /// Puts the record that the reader stands at into the batch of its partition, unless it is in the log already.
    fn take(&mut self, reader: &mut RecordReader, progress: &Progress) -> Result<(), Failure> {
        let item = reader.item();
        let index = self.route(item.key, self.records);
        if self.targets[index].passes_by(reader.source().position()) {
            self.records += 1;
            self.already_imported += 1;
            return Ok(());
        }
        if !self.targets[index].has_room(&item, self.batch_bytes_max) {
            let mark = reader.mark_before();
            self.commit(index, mark)?;
        }
        self.targets[index].push(&reader.item())?;
        self.records += 1;
        if self.targets[index].is_full() {
            let mark = reader.mark();
            self.commit(index, mark)?;
            progress.set(reader.source().stored_progress().0);
        }
        Ok(())
    }

    /// Passes over the wrong line and keeps it; false if that is not wanted.
    fn keep_aside(&mut self, reader: &mut RecordReader) -> Result<bool, Failure> {
        let Some(rejects) = self.rejects.as_mut().filter(|_| self.args.on_error == OnError::Skip) else { return Ok(false) };
        let mark = reader.mark_before();
        let is_new = !rejects.has(mark.position);
        if is_new {
            rejects.begin_line(mark).map_err(|error| rejects_failure(rejects, error))?;
        }
        let written = reader.reject(&mut |part| if is_new { rejects.write(part) } else { Ok(()) }).map_err(Failure::input)?;
        written.map_err(|error| rejects_failure(rejects, error))?;
        Ok(true)
    }

    fn commit(&mut self, index: usize, mark: Mark) -> Result<(), Failure> {
        if let Some(rejects) = &mut self.rejects {
            // Before the records behind them: a line kept aside must not be lost when what follows it is there.
            rejects.commit(&mark).map_err(|error| rejects_failure(rejects, error))?;
        }
        let commit = Commit { source: self.source.as_ref(), mark, settings_crc: self.settings_crc, records: self.records };
        self.imported += self.targets[index].commit(self.topic, &commit)?;
        Ok(())
    }

    fn commit_all(&mut self, mark: Mark) -> Result<(), Failure> {
        (0..self.targets.len()).try_for_each(|index| self.commit(index, mark))
    }

    fn flush(&self) -> Result<(), Failure> {
        self.targets.iter().try_for_each(Target::flush)
    }
}

/// What decides which records a source becomes and where they go. Its checksum is persisted: never change it.
fn fingerprint(args: &Args, partitions: u32) -> String {
    let partition = args.partition.partition.map_or("-".to_owned(), |number| number.to_string());
    let (format, parse, separator) = (args.format.name(), args.parse.fingerprint(), args.separator);
    format!("format={format} {parse} separator={separator} partition={partition} partitions={partitions}")
}

fn rejects_failure(rejects: &Rejects, error: std::io::Error) -> Failure {
    Failure::because(Exit::Failed, rejects.path().display().to_string(), error)
}
