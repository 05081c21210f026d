//! The other half: plain code that stores a length, a checksum and the value, and nothing else. No recovery, no index, no reader.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use tidelog::io::{Disk, Published, SegmentMap, Storage};

use super::{Task, scattered, timed};
use crate::exit::{Exit, Failure};

/// A copy and a checksum a record into a preallocated, mapped file; pages are touched for the first time.
pub(super) fn map_append(task: &Task<'_>) -> Result<f64, Failure> {
    filled_map(task).map(|(took, _)| took).map_err(failure)
}

/// The same records looked up by arithmetic, copied out and checked.
pub(super) fn map_reads(task: &Task<'_>) -> Result<f64, Failure> {
    let (_, map) = filled_map(task).map_err(failure)?;
    let stride = stride(task);
    let (mut next, mut seen, mut value) = (scattered(task.records), 0, task.value.clone());
    let read = || {
        (0..task.reads).try_for_each(|_| {
            let at = next(seen) * stride;
            load(map.bytes(at, at + stride), &mut value)?;
            seen = u64::from(black_box(&value)[0]);
            Ok(())
        })
    };
    timed(task.reads, read).map_err(failure)
}

/// 64 KiB are collected in memory and then written. What is in the buffer dies with the process.
pub(super) fn write_append(task: &Task<'_>) -> Result<f64, Failure> {
    with_file(task, |mut file| {
        let (stride, mut buffer) = (stride(task), Vec::with_capacity(2 * BUFFER_BYTES));
        timed(task.records, || {
            for _ in 0..task.records {
                let at = buffer.len();
                buffer.resize(at + stride, 0);
                store(&mut buffer[at..], &task.value);
                if buffer.len() >= BUFFER_BYTES {
                    file.write_all(&buffer)?;
                    buffer.clear();
                }
            }
            file.write_all(&buffer)
        })
    })
}

/// One write and one fdatasync after the other, into a file that has its blocks.
pub(super) fn synced_writes(task: &Task<'_>) -> Result<f64, Failure> {
    let path = path(task);
    let bytes = vec![7; (FRAME_BYTES + task.value.len()).next_multiple_of(8)];
    let preallocate = || Disk::new().create(&path)?.allocate(0, (bytes.len() * task.durable_records) as u64);
    preallocate().map_err(failure)?;
    let file = File::options().write(true).open(&path).map_err(failure)?;
    let append = || {
        (0..task.durable_records).try_for_each(|number| {
            file.write_all_at(&bytes, (number * bytes.len()) as u64)?;
            file.sync_data()
        })
    };
    let took = file.sync_all().and_then(|()| timed(task.durable_records, append));
    std::fs::remove_file(&path).map_err(failure)?;
    took.map_err(failure)
}

/// Records in memory that is there already, copied out and checked one after the other.
pub(super) fn scan(task: &Task<'_>) -> Result<f64, Failure> {
    let stride = stride(task);
    let mut bytes = vec![0; stride * task.records];
    bytes.chunks_exact_mut(stride).for_each(|slot| store(slot, &task.value));
    let mut value = task.value.clone();
    timed(task.records, || bytes.chunks_exact(stride).try_for_each(|slot| load(slot, black_box(&mut value)))).map_err(failure)
}

/// A mapped file of all records, its name removed, and what each append took.
fn filled_map(task: &Task<'_>) -> io::Result<(f64, SegmentMap)> {
    let (path, stride) = (path(task), stride(task));
    let bytes = stride * task.records;
    let file = Disk::new().create(&path)?;
    std::fs::remove_file(&path)?;
    file.allocate(0, bytes as u64)?;
    let (map, Some(mut half)) = file.map(bytes, true)? else { return Err(io::ErrorKind::Unsupported.into()) };
    half.set_allocated(bytes);
    let took = timed(task.records, || {
        (0..task.records).for_each(|number| store(half.slot(number * stride, stride), &task.value));
        Ok::<(), io::Error>(())
    })?;
    half.publish(Published { end: bytes as u32, ..Published::default() });
    Ok((took, map))
}

fn with_file(task: &Task<'_>, work: impl FnOnce(&File) -> io::Result<f64>) -> Result<f64, Failure> {
    let path = path(task);
    let took = File::create_new(&path).and_then(|file| work(&file)).map_err(failure)?;
    std::fs::remove_file(&path).map_err(failure)?;
    Ok(took)
}

#[inline]
fn store(slot: &mut [u8], value: &[u8]) {
    slot[..4].copy_from_slice(&(value.len() as u32).to_le_bytes());
    slot[4..HEAD_BYTES].copy_from_slice(&crc32fast::hash(value).to_le_bytes());
    slot[HEAD_BYTES..HEAD_BYTES + value.len()].copy_from_slice(value);
}

#[inline]
fn load(slot: &[u8], value: &mut [u8]) -> io::Result<()> {
    value.copy_from_slice(&slot[HEAD_BYTES..HEAD_BYTES + value.len()]);
    if crc32fast::hash(value).to_le_bytes() == slot[4..HEAD_BYTES] { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn stride(task: &Task<'_>) -> usize {
    (HEAD_BYTES + task.value.len()).next_multiple_of(8)
}

fn path(task: &Task<'_>) -> PathBuf {
    task.dir.join("mark")
}

fn failure(error: io::Error) -> Failure {
    Failure::because(Exit::Failed, "measuring a mark", error)
}

const HEAD_BYTES: usize = 8;
const BUFFER_BYTES: usize = 64 << 10;
/// What the engine stores around a value that is appended alone.
const FRAME_BYTES: usize = 73;
