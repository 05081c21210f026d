//! Where an import goes on: finds what each partition has of a source, and proves that the source is still the same. Appends nothing.

use std::path::Path;

use tidelog::{PartitionView, ReadError, ReadIsolation};

use super::note::{Note, NoteError, SourceId};
use super::target::Target;
use crate::cli::store::read_failure;
use crate::exit::{Exit, Failure};
use crate::input::{Mark, RecordReader};
use crate::output::counted;

/// The newest note about `source` in a partition, and how many records of its batch were cut off since.
pub(super) fn newest_note(view: &PartitionView, place: &str, source: &SourceId) -> Result<Option<(Note, u64)>, Failure> {
    let view = view.with_isolation(ReadIsolation::Written);
    let mut end = view.log_end_offset();
    let mut has_damage = false;
    let note = 'search: loop {
        let batches = view.batches_backwards(end).map_err(|error| read_failure(place, error))?;
        for batch in batches {
            let batch = match batch {
                Ok(batch) => batch,
                Err(ReadError::Corrupt { .. }) => {
                    has_damage = true;
                    continue;
                }
                Err(error) => return Err(read_failure(place, error)),
            };
            let unknown = |error| unknown(place, batch.base_offset().get(), error);
            let Some(note) = batch.note().map_or(Ok(None), Note::decode).map_err(unknown)? else { continue };
            if note.source == *source {
                let cut_off = note.cut_off(batch.next_offset().get()).map_err(unknown)?;
                break 'search Some((note, cut_off));
            }
            if note.run_base < batch.base_offset().get() {
                // All of that run is about the same other source.
                end = note.run_base.max(view.log_start_offset().get()).into();
                continue 'search;
            }
        }
        break None;
    };
    if has_damage {
        crate::cli::say(&format!("{place}: damaged, so it is not certain how much of the source is in it already"));
    }
    Ok(note)
}

/// Refuses a source that was read with other settings: it would be split or routed in another way.
pub(super) fn check_settings(targets: &[Target], path: &Path, settings_crc: u32) -> Result<(), Failure> {
    match targets.iter().find(|target| target.note.as_ref().is_some_and(|note| note.settings_crc != settings_crc)) {
        None => Ok(()),
        Some(target) => Err(refused(
            path,
            &format!("was imported into {} with another format, key, timestamp, separator or partition; give the same again", target.place),
        )),
    }
}

/// Reads the source as far as any partition has it, and refuses it if those bytes have changed.
pub(super) fn verify(targets: &[Target], path: &Path, reader: &mut RecordReader) -> Result<(), Failure> {
    for (_, Note { mark, .. }) in by_position(targets) {
        let Mark { position, .. } = *mark;
        if !reader.skip_to(mark).map_err(Failure::input)? {
            let found = reader.source().position();
            return Err(refused(path, &format!("was changed: it has {found} bytes, {position} were imported")));
        }
        let found = reader.mark();
        if (found.position, found.crc32) != (mark.position, mark.crc32) {
            return Err(refused(path, &format!("was changed: its first {position} bytes are not those that were imported")));
        }
    }
    if !reader.finish_line().map_err(Failure::input)? {
        let lines = reader.mark().lines;
        return Err(refused(path, &format!("was changed: line {lines} was imported without an end and now goes on")));
    }
    Ok(())
}

/// The notes in the order of what they say was read, with the places of their partitions.
pub(super) fn by_position(targets: &[Target]) -> Vec<(usize, &Note)> {
    let mut notes: Vec<_> = targets.iter().enumerate().filter_map(|(index, target)| Some((index, target.note.as_ref()?))).collect();
    notes.sort_by_key(|(_, note)| note.mark.position);
    notes
}

/// A source that is not read as the records that were imported: `found` of it, and of those in the partition, up to the note's mark.
pub(super) fn other_records(path: &Path, target: &Target, note: &Note, found: (u64, u64)) -> Failure {
    let Note { mark: Mark { position, .. }, records, partition_records, .. } = *note;
    let what = format!(
        "was imported as other records, with another batch_bytes_max or by another version of this program: its first {position} bytes are {} now, \
         {} of them of {}, where {records} and {partition_records} were imported; import it with the same settings again",
        counted(found.0, "record", "records"),
        found.1,
        target.place,
    );
    refused(path, &what)
}

/// The lowest note, if every partition has all that its own says: nothing before it is missing anywhere.
pub(super) fn lowest(targets: &[Target]) -> Option<&Note> {
    let notes: Option<Vec<&Note>> = targets.iter().map(Target::whole_note).collect();
    notes?.into_iter().min_by_key(|note| note.mark.position)
}

/// How far any partition has the source. Those bytes of it are proved to be the same.
pub(super) fn highest(targets: &[Target]) -> u64 {
    targets.iter().filter_map(|target| target.note.as_ref()).map(|note| note.mark.position).max().unwrap_or(0)
}

/// Whether all partitions stand at the place that their notes say, and it is the same.
pub(super) fn are_level(targets: &[Target]) -> bool {
    let position = |target: &Target| target.note.as_ref().map(|note| note.mark.position);
    targets.iter().all(|target| target.note.is_none() || target.whole_note().is_some())
        && targets.windows(2).all(|pair| position(&pair[0]) == position(&pair[1]))
}

/// A note that may be about the source, or is, and does not tell what is here of it: to import it again might double all of it.
fn unknown(place: &str, base_offset: u64, error: NoteError) -> Failure {
    let what = format!(
        "{place}: it cannot be told what was imported into it; import into another topic, or with the program that imported before: \
         the batch at offset {base_offset} has"
    );
    Failure::because(Exit::Refused, what, error)
}

fn refused(path: &Path, why: &str) -> Failure {
    let what = format!("{} {why}; what it holds now can be appended whole from the standard input", path.display());
    Failure::new(Exit::Refused, what)
}
