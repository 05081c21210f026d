//! What a directory holds, in memory: taken from the disk, changed, put on the disk again, and held against it. Knows no log.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) type Bytes = Arc<Vec<u8>>;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    File(Bytes),
    /// These bytes, and a hole behind them up to this size.
    Sparse(Bytes, u64),
    Directory,
    Link(PathBuf),
    Fifo,
}

/// Everything below a directory, by relative path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Image(BTreeMap<PathBuf, Node>);

impl Image {
    pub(crate) fn take(dir: &Path) -> Self {
        let mut image = Self::default();
        image.take_below(dir, Path::new(""));
        image
    }

    fn take_below(&mut self, root: &Path, below: &Path) {
        for entry in fs::read_dir(root.join(below)).unwrap() {
            let entry = entry.unwrap();
            let (name, kind) = (below.join(entry.file_name()), entry.file_type().unwrap());
            let node = if kind.is_dir() {
                self.take_below(root, &name);
                Node::Directory
            } else if kind.is_file() {
                take_file(&entry.path())
            } else if kind.is_symlink() {
                Node::Link(fs::read_link(entry.path()).unwrap())
            } else {
                Node::Fifo
            };
            self.0.insert(name, node);
        }
    }

    /// Makes `dir` hold this and nothing else.
    pub(crate) fn put(&self, dir: &Path) {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).unwrap();
        for (name, node) in &self.0 {
            let path = dir.join(name);
            match node {
                Node::File(bytes) => fs::write(&path, &**bytes).unwrap(),
                Node::Sparse(bytes, len) => {
                    fs::write(&path, &**bytes).unwrap();
                    fs::File::options().write(true).open(&path).unwrap().set_len(*len).unwrap();
                }
                Node::Directory => fs::create_dir_all(&path).unwrap(),
                Node::Link(target) => symlink(target, &path).unwrap(),
                Node::Fifo => {
                    let mode = rustix::fs::Mode::from_raw_mode(0o600);
                    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
                }
            }
        }
    }

    /// Names that are not in `dir` as they are here, apart from those that `is_exempt`.
    pub(crate) fn differences(&self, dir: &Path, is_exempt: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let now = Self::take(dir);
        let names = self.0.keys().chain(now.0.keys().filter(|name| !self.0.contains_key(*name)));
        names.filter(|name| !is_exempt(name) && !is_same(self.0.get(*name), now.0.get(*name))).cloned().collect()
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    pub(crate) fn get(&self, name: &Path) -> Option<&Node> {
        self.0.get(name)
    }

    /// The bytes of a regular file, without a hole behind them.
    pub(crate) fn file(&self, name: &Path) -> Option<&Bytes> {
        match self.0.get(name)? {
            Node::File(bytes) | Node::Sparse(bytes, _) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&PathBuf, &Bytes)> {
        self.0.iter().filter_map(|(name, node)| if let Node::File(bytes) = node { Some((name, bytes)) } else { None })
    }

    pub(crate) fn set(&mut self, name: &Path, node: Node) {
        self.remove(name);
        self.0.insert(name.to_owned(), node);
    }

    pub(crate) fn set_file(&mut self, name: &Path, bytes: Vec<u8>) {
        self.set(name, Node::File(Arc::new(bytes)));
    }

    pub(crate) fn remove(&mut self, name: &Path) {
        self.0.retain(|other, _| !other.starts_with(name));
    }

    /// Bytes of all files together.
    pub(crate) fn bytes(&self) -> u64 {
        self.files().map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

/// Zeros in front of a hole are as good as the hole.
fn is_same(one: Option<&Node>, other: Option<&Node>) -> bool {
    match (one, other) {
        (Some(Node::Sparse(one, one_len)), Some(Node::Sparse(other, other_len))) => one_len == other_len && used(one) == used(other),
        _ => one == other,
    }
}

fn used(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)]
}

/// Of a file that is mostly a hole, the beginning: nobody wrote the rest.
fn take_file(path: &Path) -> Node {
    let len = fs::metadata(path).unwrap().len();
    let mut bytes = Vec::new();
    fs::File::open(path).unwrap().take(TAKEN_BYTES_MAX).read_to_end(&mut bytes).unwrap();
    if len <= TAKEN_BYTES_MAX {
        return Node::File(Arc::new(bytes));
    }
    Node::Sparse(Arc::new(used(&bytes).to_vec()), len)
}

const TAKEN_BYTES_MAX: u64 = 4 << 20;
