//! Verifies a partition: every batch, and, if asked, every record and index. Changes not one byte.

use tidelog_format::{DecodeError, Offset};

use crate::config::ReadIsolation;
use crate::error::{DamagedRange, ReadError};
use crate::log::offset_index::check_index;
use crate::log::partition_view::PartitionView;
use crate::log::plan::joined;
use crate::log::stored::StoredBatch;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct VerifyReport {
    /// Batches that verify.
    pub batches: u64,
    /// Records in them that the log holds: of a batch that its start lies in, those from there on.
    pub records: u64,
    /// Bytes of log read.
    pub bytes: u64,
    /// Ranges that cannot be read.
    pub damage: Vec<DamagedRange>,
    /// Index files that are not what they should be: they cost time, not records, and are made anew.
    pub bad_indexes: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is damaged but what was declared lost before.
    pub fn is_sound(&self) -> bool {
        self.damage.iter().all(|range| range.declared)
    }
}

impl PartitionView {
    /// Reads everything that is there and verifies checksums, offsets and chains of batches; with `deep`, decodes every record and checks
    /// the index files too. `progress` hears of the next offset now and then.
    ///
    /// # Errors
    /// [`ReadError`] for anything but damage, which is what the report is about.
    pub fn verify(&self, deep: bool, progress: &mut dyn FnMut(Offset)) -> Result<VerifyReport, ReadError> {
        let all = self.with_isolation(ReadIsolation::Written);
        let mut report = VerifyReport::default();
        let start = all.log_start_offset();
        let declared = joined(all.damage().iter().filter(|known| known.declared).map(|known| (known.from, known.to)));
        let mut reader = all.read_from(start)?;
        while let Some(batch) = reader.next_batch() {
            let lost = match &batch {
                Ok(batch) => {
                    report.batches += 1;
                    report.bytes += batch.stored_bytes();
                    let (records, broken) = look_into(batch, start, deep);
                    report.records += records;
                    let from = batch.base_offset().max(start).get();
                    broken.map(|error| DamagedRange { from, to: batch.next_offset().get(), reason: error.to_string(), declared: false })
                }
                Err(ReadError::Corrupt { from, to, reason, .. }) => {
                    let (from, to, reason) = (from.get(), to.get(), reason.clone());
                    let declared = declared.iter().any(|known| known.0 <= from && to <= known.1);
                    Some(DamagedRange { from, to, reason, declared })
                }
                Err(ReadError::CodecNotBuilt { .. }) => None,
                Err(error) => return Err(error.clone()),
            };
            report.damage.extend(lost);
            if report.batches % PROGRESS_EVERY == 0 {
                progress(reader.offset());
            }
        }
        // What recovery found may hold no offset at all, and so stand in no reader's way.
        for known in all.damage() {
            if known.from == known.to && !report.damage.contains(&known) {
                report.damage.push(known);
            }
        }
        if deep {
            for entry in &all.list().entries {
                let segment = &entry.segment;
                if let Err(reason) = check_index(&**segment.storage(), segment.dir(), segment.id, segment.header.salt) {
                    report.bad_indexes.push(format!("{}: {reason}", segment.id.index_name()));
                }
            }
        }
        report.damage.sort_by_key(|range| range.from);
        Ok(report)
    }
}

/// How many records of a batch the log holds, and, if they are decoded for it, what is wrong with one of them.
fn look_into(batch: &StoredBatch, start: Offset, deep: bool) -> (u64, Option<DecodeError>) {
    let len = batch.len() as u64;
    if !deep && batch.base_offset() >= start {
        return (len, None);
    }
    let mut below = 0;
    for record in batch.records() {
        match record {
            Ok(record) => below += u64::from(record.offset() < start),
            Err(error) => return (len.saturating_sub(below), Some(error)),
        }
    }
    (len.saturating_sub(below), None) // a header may count fewer than there are
}

const PROGRESS_EVERY: u64 = 4096;
