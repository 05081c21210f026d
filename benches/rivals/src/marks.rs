//! Plain code that does the least possible, as if it were a log: what the machine gives. Recovers nothing, and checks only what it reads.

use std::path::Path;
use std::time::Instant;

use crate::cell::timed;
use crate::plain::map_log::MapLog;
use crate::plain::mapped_checksum::MappedChecksum;
use crate::plain::resident::Resident;
use crate::plain::synced_writes::SyncedWrites;
use crate::plain::values::{Rng, Values};
use crate::plain::write_log::WriteLog;
use crate::plain::{store, stored_bytes};
use crate::sample::Sample;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    /// Length, checksum and value stored into a preallocated map, whose pages are touched for the first time.
    MapStores,
    /// The same collected in memory, and written 1 MiB at a time.
    Writes,
    /// One thread that writes so many records into a preallocated file, and syncs once.
    Syncs(usize),
    /// Records in memory, copied and checked.
    Memory,
    /// Records of a map at computed places, copied and checked.
    MapReads,
    /// One checksum over a mapped file.
    Checksum,
}

impl Mark {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MapStores => "stores into a map",
            Self::Writes => "1 MiB writes",
            Self::Syncs(1) => "write, fdatasync",
            Self::Syncs(8) => "8 writes, fdatasync",
            Self::Syncs(_) => "64 writes, fdatasync",
            Self::Memory => "memory: copy, checksum",
            Self::MapReads => "map: copy, checksum",
            Self::Checksum => "checksum over a map",
        }
    }

    pub(crate) fn measure(self, dir: &Path, values: &Values, records: usize) -> Sample {
        let path = dir.join("mark");
        match self {
            Self::MapStores => {
                let mut log = MapLog::create(&path, records, values.value_bytes());
                timed(records, || (0..records).for_each(|number| log.append(values.get(number))))
            }
            Self::Writes => timed(records, || write(&path, values, records)),
            Self::Syncs(group) => syncs(&path, values, records, group),
            Self::Memory => {
                let (resident, mut value) = (Resident::new(values, records), vec![0; values.value_bytes()]);
                timed(records, || assert!(resident.scan(&mut value) > 0))
            }
            Self::MapReads => {
                write(&path, values, records);
                let (map, mut rng, mut value) = (MapLog::open(&path, values.value_bytes()), Rng(5), vec![0; values.value_bytes()]);
                let reads = records / 8;
                timed(reads, || (0..reads).for_each(|_| rng.0 ^= u64::from(map.read(rng.below(records), &mut value))))
            }
            Self::Checksum => {
                write(&path, values, records);
                timed(1, || assert!(MappedChecksum::new(&path).of(records * stored_bytes(values.value_bytes())) > 0))
            }
        }
    }
}

fn write(path: &Path, values: &Values, records: usize) {
    let mut log = WriteLog::with_buffer(path, 1 << 20);
    (0..records).for_each(|number| log.append(values.get(number)));
    log.flush();
}

fn syncs(path: &Path, values: &Values, records: usize, group: usize) -> Sample {
    let mut log = SyncedWrites::create(path, (records * stored_bytes(values.value_bytes())) as u64);
    let (mut record, mut waits) = (vec![0; stored_bytes(values.value_bytes())], Vec::with_capacity(records));
    let sample = timed(records, || {
        for first in (0..records).step_by(group) {
            let start = Instant::now();
            for number in first..first + group {
                store(&mut record, values.get(number));
                log.write(&record);
            }
            log.sync();
            waits.extend([start.elapsed().as_nanos() as u64].repeat(group));
        }
    });
    sample.with_latencies(waits)
}
