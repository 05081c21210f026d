//! What can happen to one file, or to two that are mixed up: every kind, as a change of an image. Says nothing of what follows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::image::{Bytes, Image, Node};
use crate::random::Random;

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) file: PathBuf,
    pub(crate) damage: Damage,
}

#[derive(Debug, Clone)]
pub(crate) enum Damage {
    /// Nothing: the log is what its program says.
    None,
    Flip {
        bit: u64,
    },
    Fill {
        from: usize,
        to: usize,
        with: Fill,
    },
    Truncate {
        to: usize,
    },
    Grow {
        by: usize,
        with: Fill,
    },
    /// With a hole up to 1 TiB.
    Sparse,
    Delete,
    Swap {
        with: PathBuf,
    },
    /// A copy under another name.
    Duplicate {
        to: PathBuf,
    },
    /// As the file was at another time, also where it is no more.
    Older(Shown),
    /// A file of another partition, or of another store.
    Foreign(Shown),
    /// A length that is not so; under a right checksum or not.
    Lie {
        at: usize,
        value: u64,
        width: usize,
        /// Where the checksum stands that is made anew.
        checksum: Option<Checksum>,
    },
    Link(LinkTo),
    Directory {
        holds_something: bool,
    },
    Fifo,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fill {
    Zeros,
    Ones,
    Garbage(u64),
}

#[derive(Debug, Clone)]
pub(crate) enum LinkTo {
    Itself,
    /// The file itself, moved out of the store.
    Outside,
    Nothing,
    Other(PathBuf),
}

/// The checksum of `from..from + 124`, and of what follows the 128 bytes there if `with_rest`, at `from + 124`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checksum {
    pub(crate) from: usize,
    pub(crate) with_rest: bool,
}

/// Bytes that are printed as how many they are.
#[derive(Clone)]
pub(crate) struct Shown(pub(crate) Bytes);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Fill {
    fn bytes(self, count: usize) -> Vec<u8> {
        match self {
            Self::Zeros => vec![0; count],
            Self::Ones => vec![0xff; count],
            Self::Garbage(seed) => {
                let mut random = Random(seed);
                (0..count).map(|_| random.draw() as u8).collect()
            }
        }
    }
}

impl Case {
    /// What figures call it.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.damage {
            Damage::None => "undamaged",
            Damage::Flip { .. } => "one bit flipped",
            Damage::Fill { with: Fill::Garbage(_), .. } => "a run of garbage",
            Damage::Fill { .. } => "a run of zeros or ones",
            Damage::Truncate { .. } => "a file cut short",
            Damage::Grow { .. } => "a file grown",
            Damage::Sparse => "a file grown to 1 TiB",
            Damage::Delete => "a file deleted",
            Damage::Swap { .. } => "two files swapped",
            Damage::Duplicate { .. } => "a file copied under another name",
            Damage::Older(_) => "an older file put back",
            Damage::Foreign(_) => "a file of another partition or store",
            Damage::Lie { checksum: Some(_), .. } => "a length that lies, under a right checksum",
            Damage::Lie { .. } => "a length that lies",
            Damage::Link(_) => "a symlink for a file",
            Damage::Directory { .. } => "a directory for a file",
            Damage::Fifo => "a fifo for a file",
        }
    }

    /// Whether something lies under a right checksum: then less can be told of what must be found.
    pub(crate) fn is_signed_lie(&self) -> bool {
        matches!(self.damage, Damage::Lie { checksum: Some(_), .. })
    }

    /// The damaged store, and what stands beside it.
    pub(crate) fn apply(&self, whole: &Image) -> (Image, Image) {
        let (mut store, mut outside) = (whole.clone(), Image::default());
        outside.set_file(Path::new("bystander"), b"not ours".to_vec());
        let file = &self.file;
        let old = || whole.file(file).expect("a case is about a file that is there").to_vec();
        match &self.damage {
            Damage::None => {}
            Damage::Flip { .. } | Damage::Fill { .. } | Damage::Truncate { .. } | Damage::Grow { .. } | Damage::Lie { .. } => {
                let mut bytes = old();
                self.edit(&mut bytes);
                store.set_file(file, bytes);
            }
            Damage::Sparse => store.set(file, Node::Sparse(Arc::new(old()), TIB)),
            Damage::Delete => store.remove(file),
            Damage::Swap { with } => {
                let other = whole.file(with).expect("files that are there are swapped").to_vec();
                store.set_file(with, old());
                store.set_file(file, other);
            }
            Damage::Duplicate { to } => store.set_file(to, old()),
            Damage::Older(bytes) | Damage::Foreign(bytes) => store.set(file, Node::File(bytes.0.clone())),
            Damage::Link(to) => {
                let up = "../".repeat(file.components().count());
                let target = match to {
                    LinkTo::Itself => PathBuf::from(file.file_name().expect("a file has a name")),
                    LinkTo::Outside => {
                        outside.set_file(Path::new("moved"), old());
                        Path::new(&up).join("outside/moved")
                    }
                    LinkTo::Nothing => Path::new(&up).join("outside/nothing"),
                    LinkTo::Other(other) => Path::new(&up).join("store").join(other),
                };
                store.set(file, Node::Link(target));
            }
            Damage::Directory { holds_something } => {
                store.set(file, Node::Directory);
                if *holds_something {
                    store.set_file(&file.join("something"), b"inside".to_vec());
                }
            }
            Damage::Fifo => store.set(file, Node::Fifo),
        }
        (store, outside)
    }

    fn edit(&self, bytes: &mut Vec<u8>) {
        match self.damage {
            Damage::Flip { bit } => bytes[bit as usize / 8] ^= 1 << (bit % 8),
            Damage::Fill { from, to, with } => bytes[from..to].copy_from_slice(&with.bytes(to - from)),
            Damage::Truncate { to } => bytes.truncate(to),
            Damage::Grow { by, with } => bytes.extend(with.bytes(by)),
            Damage::Lie { at, value, width, checksum } => {
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
                if let Some(Checksum { from, with_rest }) = checksum {
                    let mut covered = bytes[from..from + 124].to_vec();
                    covered.extend(bytes[from + 128..].iter().filter(|_| with_rest));
                    let sum = tidelog_format::crc32(&covered);
                    bytes[from + 124..from + 128].copy_from_slice(&sum.to_le_bytes());
                }
            }
            _ => {}
        }
    }
}

const TIB: u64 = 1 << 40;
