//! The state behind a simulated disk: names, files, and the draws that decide what is left of them. Takes no lock.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::medium::Medium;
use super::{Cut, Image, NameModel};
use crate::io::Kind;

#[derive(Debug)]
pub(super) struct World {
    name_model: NameModel,
    pub(super) random: Random,
    /// Directories are `None`. The first is the root.
    nodes: Vec<Option<Medium>>,
    cached: Names,
    stored: Names,
    /// What `cached` has and `stored` has not, in order.
    pending: Vec<NameChange>,
    pub(super) locked: HashSet<usize>,
    /// How many syncs from now on one fails; 0 for none.
    pub(super) failing_sync: u64,
    pub(super) failed_syncs: u64,
    pub(super) write_back_odds: u64,
    pub(super) calls: u64,
    pub(super) draws: usize,
    pub(super) mark: u64,
    pub(super) cuts: Vec<Cut>,
}

/// The names in each directory.
type Names = BTreeMap<usize, BTreeMap<OsString, usize>>;

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Add {
        directory: usize,
        name: OsString,
        node: usize,
    },
    Remove {
        directory: usize,
        name: OsString,
        node: usize,
    },
    /// One change, also between two directories.
    Rename {
        from: (usize, OsString),
        to: (usize, OsString),
        node: usize,
    },
}

impl NameChange {
    fn touches(&self, directory: usize) -> bool {
        match self {
            Self::Add { directory: touched, .. } | Self::Remove { directory: touched, .. } => *touched == directory,
            Self::Rename { from, to, .. } => from.0 == directory || to.0 == directory,
        }
    }

    /// As far as it can be done: a name to take away may never have come.
    fn apply(&self, names: &mut Names) {
        let mut remove = |directory: usize, name: &OsString, node: usize| {
            let there = names.entry(directory).or_default();
            if there.get(name) == Some(&node) {
                there.remove(name);
            }
        };
        match self {
            Self::Remove { directory, name, node } => remove(*directory, name, *node),
            Self::Add { directory, name, node } => {
                names.entry(*directory).or_default().insert(name.clone(), *node);
            }
            Self::Rename { from, to, node } => {
                remove(from.0, &from.1, *node);
                names.entry(to.0).or_default().insert(to.1.clone(), *node);
            }
        }
    }
}

impl World {
    /// A disk with an empty root.
    pub(super) fn new(seed: u64, name_model: NameModel) -> Self {
        let empty = Names::from([(ROOT, BTreeMap::new())]);
        Self {
            name_model,
            random: Random(seed),
            nodes: vec![None],
            cached: empty.clone(),
            stored: empty,
            pending: Vec::new(),
            locked: HashSet::new(),
            failing_sync: 0,
            failed_syncs: 0,
            write_back_odds: 8,
            calls: 0,
            draws: 0,
            mark: 0,
            cuts: Vec::new(),
        }
    }

    pub(super) fn add_directory(&mut self) -> usize {
        self.nodes.push(None);
        self.cached.insert(self.nodes.len() - 1, BTreeMap::new());
        self.nodes.len() - 1
    }

    pub(super) fn add_file(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.nodes.push(Some(Medium::new(bytes)?));
        Ok(self.nodes.len() - 1)
    }

    /// Gives a new node its name, as if that had been long ago.
    ///
    /// # Panics
    ///
    /// If there is no such directory.
    pub(super) fn name_durably(&mut self, path: &Path, node: usize) {
        let (directory, name) = self.parent(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let add = NameChange::Add { directory, name, node };
        add.apply(&mut self.cached);
        add.apply(&mut self.stored);
    }

    pub(super) fn medium(&self, node: usize) -> Option<&Medium> {
        self.nodes[node].as_ref()
    }

    pub(super) fn kind(&self, node: usize) -> Kind {
        if self.nodes[node].is_some() { Kind::File } else { Kind::Directory }
    }

    /// The names in a directory.
    pub(super) fn names_in(&self, node: usize) -> io::Result<&BTreeMap<OsString, usize>> {
        self.cached.get(&node).ok_or_else(|| io::ErrorKind::NotADirectory.into())
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<usize> {
        if path == Path::new("/") {
            return Ok(ROOT);
        }
        let (directory, name) = self.parent(path)?;
        self.names_in(directory)?.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The directory of a path, which must be there, and the name in it.
    pub(super) fn parent(&self, path: &Path) -> io::Result<(usize, OsString)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(io::ErrorKind::InvalidInput.into()) };
        let directory = self.find(parent)?;
        self.names_in(directory)?;
        Ok((directory, name.to_owned()))
    }

    /// As [`parent`](Self::parent), of a name that nothing has.
    pub(super) fn free_name(&self, path: &Path) -> io::Result<(usize, OsString)> {
        let (directory, name) = self.parent(path)?;
        if self.names_in(directory)?.contains_key(&name) { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok((directory, name)) }
    }

    pub(super) fn renaming(&self, from: &Path, to: &Path) -> io::Result<NameChange> {
        let node = self.find(from)?;
        Ok(NameChange::Rename { from: self.parent(from)?, to: self.parent(to)?, node })
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.cached);
        self.pending.push(change);
        self.called();
    }

    pub(super) fn wrote(&mut self, node: usize, position: u64, len: usize) {
        if let Some(medium) = &mut self.nodes[node] {
            medium.wrote(position, len);
        }
        self.called();
    }

    pub(super) fn sync(&mut self, node: usize) -> io::Result<()> {
        let fails = self.failing_sync == 1;
        self.failing_sync = self.failing_sync.saturating_sub(1);
        self.failed_syncs += u64::from(fails);
        let outcome = match &mut self.nodes[node] {
            Some(medium) => medium.sync(fails.then_some(&mut self.random)),
            None => Ok(()),
        };
        if outcome.is_ok() && self.name_model == NameModel::Journal {
            self.commit(|_| true);
        }
        self.called();
        outcome
    }

    /// All files and all names; one sync, where failing is counted.
    pub(super) fn sync_all(&mut self) -> io::Result<()> {
        let fails = self.failing_sync == 1;
        self.failing_sync = self.failing_sync.saturating_sub(1);
        self.failed_syncs += u64::from(fails);
        let mut outcome = Ok(());
        for medium in self.nodes.iter_mut().flatten() {
            outcome = outcome.and(medium.sync(fails.then_some(&mut self.random)));
        }
        if outcome.is_ok() {
            self.commit(|_| true);
        }
        self.called();
        outcome
    }

    pub(super) fn sync_names(&mut self, directory: usize) {
        match self.name_model {
            NameModel::Strict => self.commit(|change| change.touches(directory)),
            NameModel::Journal => self.commit(|_| true),
        }
        self.called();
    }

    fn commit(&mut self, which: impl Fn(&NameChange) -> bool) {
        let (committed, pending) = self.pending.drain(..).partition::<Vec<_>, _>(which);
        self.pending = pending;
        committed.iter().for_each(|change| change.apply(&mut self.stored));
    }

    /// After every call that changed something.
    pub(super) fn called(&mut self) {
        self.calls += 1;
        if self.write_back_odds > 0 && self.random.one_in(self.write_back_odds) {
            let node = self.random.below(self.nodes.len() as u64) as usize;
            if let Some(medium) = &mut self.nodes[node] {
                medium.write_back(&mut self.random);
            }
        }
        self.keep_cuts();
    }

    pub(super) fn keep_cuts(&mut self) {
        if self.draws == 0 {
            return;
        }
        let (mark, call) = (self.mark, self.calls);
        self.cuts.push(Cut { mark, call, is_power: false, image: self.image() });
        for _ in 0..self.draws {
            let image = self.power_cut();
            self.cuts.push(Cut { mark, call, is_power: true, image });
        }
    }

    pub(super) fn image(&self) -> Image {
        self.image_of(&self.cached, |medium| medium.read())
    }

    pub(super) fn power_cut(&mut self) -> Image {
        let mut random = Random(self.random.draw());
        let changes: Vec<usize> = (0..self.pending.len()).collect();
        let kept = match self.name_model {
            NameModel::Strict => random.subset(&changes),
            NameModel::Journal => changes[..random.below(changes.len() as u64 + 1) as usize].to_vec(),
        };
        let mut names = self.stored.clone();
        kept.into_iter().for_each(|change| self.pending[change].apply(&mut names));
        self.image_of(&names, |medium| medium.after_power_cut(&mut random))
    }

    fn image_of(&self, names: &Names, mut bytes: impl FnMut(&Medium) -> Vec<u8>) -> Image {
        let mut image = Image::default();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, directory)) = open.pop() {
            for (name, &node) in names.get(&directory).into_iter().flatten() {
                let path = path.join(name);
                match &self.nodes[node] {
                    Some(medium) => image.put(path, bytes(medium)),
                    None => {
                        image.put_directory(&path);
                        open.push((path, node));
                    }
                }
            }
        }
        image
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    pub(super) fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    /// Some of `all`, in order. Nothing, everything, all but one, one alone, the first, the last, whole pages: each as likely as any subset.
    pub(super) fn subset(&mut self, all: &[usize]) -> Vec<usize> {
        if all.is_empty() {
            return Vec::new();
        }
        let one = self.below(all.len() as u64) as usize;
        let draws = self.draw();
        let keep = |at: usize, number: usize, random: &mut Self| match draws % 8 {
            0 => false,
            1 => true,
            2 => at != one,
            3 => at == one,
            4 => at <= one,
            5 => at >= one,
            6 => Self(draws.wrapping_add(number as u64 / SECTORS_A_PAGE)).one_in(2),
            _ => random.one_in(2),
        };
        all.iter().enumerate().filter(|&(at, &number)| keep(at, number, self)).map(|(_, &number)| number).collect()
    }
}

const ROOT: usize = 0;
const SECTORS_A_PAGE: u64 = 8;
