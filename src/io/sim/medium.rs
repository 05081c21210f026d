//! One file of a simulated disk: its bytes as the cache has them, and as the medium has them. Decides nothing: what is kept is drawn.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::world::Random;
use crate::io::file::DiskFile;
use crate::io::{File, read_full_at, write_all_at};

/// A file. What a mapping stored is found by comparing, so bytes are kept three times.
#[derive(Debug)]
pub(super) struct Medium {
    /// What every reader sees.
    cached: Arc<DiskFile>,
    /// What is there after a power cut, and how much of it the file reaches.
    stored: Vec<u8>,
    stored_len: usize,
    /// What the cache believes to be stored: more than is, after a failed sync.
    clean: Vec<u8>,
    /// Sectors that were written, perhaps with what was there.
    written: BTreeSet<usize>,
}

impl Medium {
    /// A file whose bytes are all stored.
    pub(super) fn new(bytes: &[u8]) -> io::Result<Self> {
        let cached = Arc::new(DiskFile::in_memory()?);
        write_all_at(&*cached, bytes, 0)?;
        Ok(Self { cached, stored: bytes.to_vec(), stored_len: bytes.len(), clean: bytes.to_vec(), written: BTreeSet::new() })
    }

    pub(super) fn bytes(&self) -> &Arc<DiskFile> {
        &self.cached
    }

    /// The cached bytes.
    pub(super) fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.cached.len().expect("memory has a length") as usize];
        read_full_at(&*self.cached, &mut bytes, 0).expect("memory can be read");
        bytes
    }

    pub(super) fn wrote(&mut self, position: u64, len: usize) {
        if len > 0 {
            self.written.extend(position as usize / SECTOR..=(position as usize + len - 1) / SECTOR);
        }
    }

    /// Everything dirty is stored; or, with `lost`, a part of it, and the rest counts as stored too.
    pub(super) fn sync(&mut self, lost: Option<&mut Random>) -> io::Result<()> {
        let now = self.read();
        let dirty = self.dirty(&now);
        let fails = lost.is_some();
        let (kept, takes_len) = match lost {
            Some(random) => (random.subset(&dirty), random.one_in(2)),
            None => (dirty.clone(), true),
        };
        for sector in kept {
            put(&mut self.stored, &now, sector);
        }
        for sector in dirty {
            put(&mut self.clean, &now, sector);
        }
        self.written.clear();
        self.clean.truncate(now.len());
        if takes_len {
            self.stored.truncate(now.len());
            self.stored_len = now.len();
        }
        if fails { Err(io::Error::from_raw_os_error(super::super::fault::EIO)) } else { Ok(()) }
    }

    /// The cache writes some dirty pages by itself.
    pub(super) fn write_back(&mut self, random: &mut Random) {
        let now = self.read();
        for sector in random.subset(&self.dirty(&now)) {
            put(&mut self.stored, &now, sector);
            put(&mut self.clean, &now, sector);
            self.written.remove(&sector);
        }
    }

    /// What is left after a power cut: any subset of the dirty sectors, the old size or the new one.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Vec<u8> {
        let now = self.read();
        let mut left = self.stored.clone();
        for sector in random.subset(&self.dirty(&now)) {
            put(&mut left, &now, sector);
        }
        left.resize(if random.one_in(2) { now.len() } else { self.stored_len }, 0);
        left
    }

    fn dirty(&self, now: &[u8]) -> Vec<usize> {
        let differs = |&sector: &usize| self.written.contains(&sector) || !same(now, &self.clean, sector);
        (0..now.len().div_ceil(SECTOR)).filter(differs).collect()
    }
}

/// Whether a sector is the same, where what is beyond the end counts as zeros.
fn same(a: &[u8], b: &[u8], sector: usize) -> bool {
    let (a, b) = (of(a, sector), of(b, sector));
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    long.starts_with(short) && long[short.len()..].iter().all(|&byte| byte == 0)
}

fn put(to: &mut Vec<u8>, from: &[u8], sector: usize) {
    let bytes = of(from, sector);
    let start = sector * SECTOR;
    to.resize(to.len().max(start + bytes.len()), 0);
    to[start..start + bytes.len()].copy_from_slice(bytes);
}

fn of(bytes: &[u8], sector: usize) -> &[u8] {
    let start = (sector * SECTOR).min(bytes.len());
    &bytes[start..(start + SECTOR).min(bytes.len())]
}

/// What a medium writes whole or not at all.
const SECTOR: usize = 512;
