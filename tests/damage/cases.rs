//! Which damage is done to a log: every kind to every file, all of it to small files and an even share to large ones. Does none of it.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tidelog_format::{CHECKPOINT_NAME, FRAME_ALIGN, FileName, LIVE_NAME, LOCK_NAME, META_NAME, SLOT_BYTES, STORE_NAME, SegmentId};

use crate::anatomy::{Body, PARTITION, in_partition};
use crate::damage::{Case, Checksum, Damage, Fill, LinkTo, Shown};
use crate::image::Bytes;
use crate::random::Random;
use crate::specimen::Specimen;

/// The cases of a log. Their order and number follow from its seed.
pub(crate) fn of(specimen: &Specimen) -> Vec<Case> {
    let files: Vec<(&PathBuf, usize)> = specimen.image.files().map(|(name, bytes)| (name, bytes.len())).collect();
    let mut list = List { specimen, random: Random(specimen.seed ^ 0xca5e), cases: Vec::new() };
    list.add(Path::new(META_NAME), Damage::None);
    for &(file, len) in &files {
        list.bits(file);
        list.runs(file, len);
        list.sizes(file, len);
        list.not_files(file, &files);
        list.add(file, Damage::Delete);
        list.copies(file);
    }
    list.swaps(&files);
    list.others();
    list.lies();
    list.cases
}

/// Bits of the partition's files up to the last one that is set, and how many of them are flipped.
pub(crate) fn bits(specimen: &Specimen) -> (u64, u64) {
    let files = specimen.image.files().filter(|(name, _)| name.starts_with(PARTITION));
    let share = |(name, bytes): (&PathBuf, &Bytes)| {
        let used = used(name, bytes);
        let is_used = |bit: &u64| used.iter().any(|part| part.contains(bit));
        (used.iter().map(|part| part.end - part.start).sum::<u64>(), flips(specimen, name, bytes).iter().filter(|bit| is_used(bit)).count() as u64)
    };
    files.map(share).fold((0, 0), |(all, some), (bits, flipped)| (all + bits, some + flipped))
}

/// Where a file has bits that are not zero all the way to its end.
fn used(name: &Path, bytes: &[u8]) -> Vec<Range<u64>> {
    let part = |from: usize, bytes: &[u8]| {
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        from as u64 * 8..(from + used) as u64 * 8
    };
    if name.ends_with(CHECKPOINT_NAME) {
        return bytes.chunks(SLOT_BYTES).enumerate().map(|(slot, bytes)| part(slot * SLOT_BYTES, bytes)).collect();
    }
    vec![part(0, bytes)]
}

/// The bits of a file that are flipped: of a tiny log all that are used, and some of the zeros behind; of others, so many, evenly.
fn flips(specimen: &Specimen, name: &Path, bytes: &[u8]) -> Vec<u64> {
    let bits = bytes.len() as u64 * 8;
    let is_log = name.starts_with(PARTITION);
    if specimen.is_tiny && is_log {
        let mut flips: Vec<u64> = used(name, bytes).into_iter().flatten().collect();
        flips.extend((0..bits).step_by((bits / FLIPS).max(1) as usize | 1));
        flips.sort_unstable();
        flips.dedup();
        return flips;
    }
    let step = (bits / if is_log { FLIPS } else { FLIPS / 4 }).max(1);
    (specimen.seed % step..bits).step_by(step as usize).collect()
}

struct List<'a> {
    specimen: &'a Specimen,
    random: Random,
    cases: Vec<Case>,
}

impl List<'_> {
    fn add(&mut self, file: &Path, damage: Damage) {
        self.cases.push(Case { file: file.to_owned(), damage });
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    fn bits(&mut self, file: &Path) {
        let bytes = self.specimen.image.file(file).expect("a case is about a file that is there");
        for bit in flips(self.specimen, file, bytes) {
            self.add(file, Damage::Flip { bit });
        }
    }

    fn runs(&mut self, file: &Path, len: usize) {
        let body = self.specimen.bodies.iter().find(|body| body.name() == file);
        let starts: Vec<usize> = body.map_or_else(Vec::new, |body| body.spots.iter().map(|spot| spot.at).collect());
        for number in 0..if body.is_some() { RUNS } else { RUNS / 4 } {
            if len == 0 {
                return;
            }
            let from = match number % 3 {
                0 => self.below(len) / 512 * 512,
                1 if !starts.is_empty() => starts[self.below(starts.len())],
                _ => self.below(len),
            };
            let most = [8, 64, 512, 4096, len][self.below(5)];
            let to = (from + 1 + self.below(most)).min(len);
            let with = match number % 4 {
                0 => Fill::Zeros,
                1 => Fill::Ones,
                _ => Fill::Garbage(self.random.draw()),
            };
            self.add(file, Damage::Fill { from, to, with });
        }
        self.add(file, Damage::Fill { from: 0, to: len, with: Fill::Zeros });
    }

    fn sizes(&mut self, file: &Path, len: usize) {
        let step = if len <= EVERY_WORD_BYTES_MAX { FRAME_ALIGN } else { 512 };
        let step = step.max(len / SIZES / 8 * 8);
        for to in (0..len).step_by(step).chain([1, 127, 128, 129].into_iter().filter(|to| *to < len)) {
            self.add(file, Damage::Truncate { to });
        }
        for by in [1, 8, 127, 128, 512, 4096, 70_000] {
            self.add(file, Damage::Grow { by, with: Fill::Zeros });
            let seed = self.random.draw();
            self.add(file, Damage::Grow { by, with: Fill::Garbage(seed) });
        }
        self.add(file, Damage::Sparse);
    }

    fn not_files(&mut self, file: &Path, files: &[(&PathBuf, usize)]) {
        let other = files[self.below(files.len())].0.clone();
        let same = (other == file).then_some(LinkTo::Itself);
        for to in [LinkTo::Itself, LinkTo::Outside, LinkTo::Nothing, same.unwrap_or(LinkTo::Other(other))] {
            self.add(file, Damage::Link(to));
        }
        self.add(file, Damage::Directory { holds_something: false });
        self.add(file, Damage::Directory { holds_something: true });
        self.add(file, Damage::Fifo);
    }

    /// A file under other names: of its own kind, in the place of others that are not there, and of no kind.
    fn copies(&mut self, file: &Path) {
        let Some(name) = file.strip_prefix(PARTITION).ok().and_then(Path::to_str).map(str::to_owned) else { return };
        let mut names = vec![
            format!("{name}.tmp"),
            "notes.txt".to_owned(),
            "quarantine".to_owned(),
            format!("{name}.bak"),
            "recovery-00000000000000000001.json".to_owned(),
        ];
        if let Some(FileName::Log(id) | FileName::Index(id)) = FileName::parse(&name) {
            let is_log = name.ends_with(".log");
            let name = |id: SegmentId| if is_log { id.log_name() } else { id.index_name() };
            let (base_offset, seq, end) = (id.base_offset, id.seq, self.specimen.model.end());
            let other = |base_offset, seq| name(SegmentId { base_offset, seq });
            names.extend([other(base_offset, seq + 7), other(base_offset + 1, seq), other(end, seq + 1), other(end + 9, seq + 9)]);
            names.extend([other(base_offset, SEQ_FAR), SegmentId::spare_name(seq + 1), SegmentId::spare_name(seq)]);
        }
        for to in names.iter().map(|name| in_partition(name)).filter(|to| self.specimen.image.get(to).is_none()) {
            self.cases.push(Case { file: file.to_owned(), damage: Damage::Duplicate { to } });
        }
    }

    fn swaps(&mut self, files: &[(&PathBuf, usize)]) {
        let pairs: Vec<_> = files.iter().enumerate().flat_map(|(at, one)| files[at + 1..].iter().map(|other| (one.0, other.0))).collect();
        let step = pairs.len().div_ceil(SWAPS).max(1);
        let first = self.below(step);
        for (one, other) in pairs.into_iter().skip(first).step_by(step) {
            self.add(one, Damage::Swap { with: other.clone() });
        }
    }

    fn others(&mut self) {
        let specimen = self.specimen;
        let step = specimen.older.len().div_ceil(OLDER).max(1);
        for (file, bytes) in specimen.older.iter().step_by(step) {
            self.add(file, Damage::Older(Shown(bytes.clone())));
        }
        for (file, bytes) in &specimen.foreign {
            self.add(file, Damage::Foreign(Shown(bytes.clone())));
            // And in the place of another file of its kind.
            let alike: Vec<&PathBuf> = specimen.image.files().map(|(name, _)| name).filter(|name| name.extension() == file.extension()).collect();
            if let Some(&other) = alike.get(self.below(alike.len().max(1))).filter(|other| **other != file) {
                self.add(other, Damage::Foreign(Shown(bytes.clone())));
            }
        }
    }

    fn lies(&mut self) {
        for slot in 0..2 {
            let from = slot * SLOT_BYTES;
            self.lie(&in_partition(CHECKPOINT_NAME), from + 20, 4, Some(Checksum { from, with_rest: false }));
            self.lie(&in_partition(CHECKPOINT_NAME), from + 56, 8, Some(Checksum { from, with_rest: false }));
        }
        for at in [64, 66] {
            self.lie(&in_partition(META_NAME), at, 2, Some(Checksum { from: 0, with_rest: true }));
        }
        self.lie(Path::new(STORE_NAME), 10, 2, None);
        for body in &self.specimen.bodies {
            // In a log that was killed, a capacity that lies hides who vouches for what.
            if self.specimen.is_closed {
                self.lie(&body.name(), 80, 4, Some(Checksum { from: 0, with_rest: false }));
            }
            if body.index.is_some() {
                for (at, width) in [(16, 4), (48, 8), (56, 8), (64, 8)] {
                    self.lie(&body.index_name(), at, width, Some(Checksum { from: 0, with_rest: false }));
                }
                self.lie(&body.index_name(), body.index.as_ref().map_or(0, |index| index.len()).saturating_sub(8), 4, None);
            }
            self.frame_lies(body);
        }
        for name in [LIVE_NAME, LOCK_NAME] {
            self.lie(Path::new(name), 0, 4, None);
        }
    }

    /// Lengths in and behind the headers of a few frames; the salt that their checksums take is not known to whoever lies.
    fn frame_lies(&mut self, body: &Body) {
        let step = body.spots.len().div_ceil(LYING_FRAMES).max(1);
        for spot in body.spots.iter().step_by(step) {
            for at in [8, 40, 44, 56] {
                self.lie(&body.name(), spot.at + at, 4, None);
            }
            // The length of the first record.
            if spot.head_end + 4 <= spot.end {
                self.lie(&body.name(), spot.head_end, 4, None);
            }
        }
    }

    /// Other values for a length of `width` bytes at `at`: small, near, large and the largest.
    fn lie(&mut self, file: &Path, at: usize, width: usize, checksum: Option<Checksum>) {
        let Some(bytes) = self.specimen.image.file(file).filter(|bytes| bytes.len() >= at + width) else { return };
        let mut word = [0; 8];
        word[..width].copy_from_slice(&bytes[at..at + width]);
        let (is, most) = (u64::from_le_bytes(word), u64::MAX >> (64 - 8 * width));
        let values =
            [0, 1, 16, 17, is / 2, is.wrapping_sub(8), is.wrapping_sub(1), is + 1, is.saturating_add(8), is.saturating_add(1000), 1 << 20, 1 << 30];
        let far = [most, most / 2, most / 2 + 1, most - 7];
        let values: HashSet<u64> = values.iter().chain(&far).map(|value| value & most).filter(|value| *value != is).collect();
        // Offsets that a checkpoint vouches for, under a right checksum, are lost and used up: not more than a test can look at.
        let values = values.into_iter().filter(|value| checksum.is_none() || width < 8 || *value <= is + 1000);
        let mut values: Vec<u64> = values.collect();
        values.sort_unstable();
        for value in values {
            self.add(file, Damage::Lie { at, value, width, checksum });
        }
    }
}

/// About so many bits of each file.
const FLIPS: u64 = 160;
const RUNS: usize = 40;
/// Files up to this size are cut at every multiple of 8, longer ones at every sector, unless that is more often than `SIZES`.
const EVERY_WORD_BYTES_MAX: usize = 2048;
const SIZES: usize = 256;
const SWAPS: usize = 60;
const OLDER: usize = 60;
const LYING_FRAMES: usize = 4;
/// A number that no writer comes to.
const SEQ_FAR: u64 = i64::MAX as u64;
