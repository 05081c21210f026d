//! An export in an object store: every object is put whole, and a commit is a put of an object that must not be there. Locks nothing, and
//! removes only what it is told to.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::error::{IoContext, IoError};
use crate::export::error::ExportError;
use crate::export::objects::driver::wait;
use crate::export::objects::object_place::ObjectPlace;
use crate::export::objects::upload::Upload;
use crate::export::target::{Draft, ReadAt, Target};
use crate::io::{Disk, Entry, Kind, Lock, Storage};

/// A place in an object store as one for exports.
#[derive(Debug)]
pub(super) struct ObjectTarget {
    place: ObjectPlace,
}

impl ObjectTarget {
    pub(super) fn new(place: ObjectPlace) -> Self {
        Self { place }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.place.store.clone()
    }

    /// What is in a directory; nothing, if there is no such prefix.
    fn entries(&self, directory: &Path) -> Result<Vec<Entry>, IoError> {
        let (store, prefix) = (self.store(), object_path(&self.place.name, directory)?);
        let listed = match asked(async move { store.list_with_delimiter(Some(&prefix)).await }) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("list", directory)?,
        };
        let objects = listed.objects.iter().map(|object| (&object.location, Kind::File));
        let prefixes = listed.common_prefixes.iter().map(|prefix| (prefix, Kind::Directory));
        let entry = |(path, kind): (&ObjectPath, Kind)| Some(Entry { name: path.filename()?.into(), kind });
        Ok(objects.chain(prefixes).filter_map(entry).collect())
    }
}

impl Target for ObjectTarget {
    /// A directory is what has something in it; files are not looked for.
    fn kind(&self, path: &Path) -> Result<Option<Kind>, IoError> {
        Ok((!self.entries(path)?.is_empty()).then_some(Kind::Directory))
    }

    fn list(&self, directory: &Path) -> Result<Vec<Entry>, IoError> {
        self.entries(directory)
    }

    fn list_from(&self, directory: &Path, first: &str) -> Result<Vec<Entry>, IoError> {
        let (store, prefix) = (self.store(), object_path(&self.place.name, directory)?);
        let (offset, within) = (prefix.clone().join(first), prefix.clone());
        let listed = asked(async move {
            let (mut objects, mut paths) = (store.list_with_offset(Some(&within), &offset), Vec::new());
            while let Some(object) = poll_fn(|context| objects.as_mut().poll_next(context)).await {
                paths.push(object?.location);
            }
            Ok(paths)
        });
        let paths = match listed {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("list", directory)?,
        };
        // What is below other directories is listed too.
        let name = |path: &ObjectPath| {
            let mut parts = path.prefix_match(&prefix)?;
            let name = parts.next()?.as_ref().to_owned();
            parts.next().is_none().then_some(Entry { name: name.into(), kind: Kind::File })
        };
        Ok(paths.iter().filter_map(name).collect())
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, IoError> {
        let (store, object) = (self.store(), object_path(&self.place.name, path)?);
        match asked(async move { store.get(&object).await?.bytes().await }) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => Ok(Some(other.at("get", path)?.into())),
        }
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn ReadAt>, IoError> {
        let (store, object) = (self.store(), object_path(&self.place.name, path)?);
        let opened = asked(async move {
            let len = store.head(&object).await?.size;
            let tail_at = len.saturating_sub(TAIL_BYTES);
            let tail = if len == 0 { Bytes::new() } else { store.get_range(&object, tail_at..len).await? };
            Ok(Object { store, path: object, len, tail_at, tail })
        });
        let opened = opened.at("get", path)?;
        let (expected, found) = (opened.len - opened.tail_at, opened.tail.len() as u64);
        if found != expected {
            let error = format!("the store sent {found} bytes where {expected} were asked for");
            return Err(io::Error::new(ErrorKind::UnexpectedEof, error)).at("get", path);
        }
        Ok(Arc::new(opened))
    }

    fn take(&self, _: &Path, _: &Path) -> Result<Option<Box<dyn Lock>>, ExportError> {
        Ok(None)
    }

    /// There are none.
    fn make_directory(&self, _: &Path) -> Result<(), IoError> {
        Ok(())
    }

    /// What is there is durable.
    fn settle(&self, _: &Path) -> Result<(), IoError> {
        Ok(())
    }

    fn create(&self, path: &Path, bytes: &[u8], _: &str) -> Result<bool, IoError> {
        let object = object_path(&self.place.name, path)?;
        let mut asked_times = 0;
        loop {
            let (store, object, payload) = (self.store(), object.clone(), PutPayload::from(bytes.to_vec()));
            let error = match asked(async move { store.put_opts(&object, payload, PutMode::Create.into()).await }) {
                Ok(_) => return Ok(true),
                Err(error) => error,
            };
            // The store may have done it all the same, or, asked again after it had, have found this very object there.
            let is_taken = error.kind() == ErrorKind::AlreadyExists;
            let read = self.read(path).map_err(|unread| unknown(&error, &unread.source)).at("put", path)?;
            match read {
                Some(there) => return Ok(there == bytes),
                // S3 answers so too while another is being asked for the same: perhaps in vain.
                None if is_taken && asked_times < CONFLICTS_MAX => asked_times += 1,
                None => return Err(error).at("put", path),
            }
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8], _: &str) -> Result<(), IoError> {
        let (store, object, payload) = (self.store(), object_path(&self.place.name, path)?, PutPayload::from(bytes.to_vec()));
        asked(async move { store.put(&object, payload).await }).at("put", path)?;
        Ok(())
    }

    fn begin(&self, directory: &Path, first: u64) -> Result<Box<dyn Draft>, IoError> {
        Ok(Box::new(Upload::begin(&self.place, directory, first)?))
    }

    fn remove(&self, path: &Path) -> Result<(), IoError> {
        let (store, object) = (self.store(), object_path(&self.place.name, path)?);
        match asked(async move { store.delete(&object).await }) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other.at("delete", path),
        }
    }

    /// What is being uploaded is not seen.
    fn is_leftover(&self, _: &Entry) -> bool {
        false
    }

    fn remove_leftover(&self, _: &Path, _: &str) -> Result<(), IoError> {
        Ok(())
    }

    fn random(&self) -> u64 {
        Disk::new().random()
    }
}

/// An object of which parts are read. Its last bytes are here already: a footer is among them, and stands in one of a few MiB.
#[derive(Debug)]
struct Object {
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    len: u64,
    tail_at: u64,
    tail: Bytes,
}

impl Object {
    fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        if let Some(from) = range.start.checked_sub(self.tail_at) {
            return Ok(self.tail.slice(from as usize..(range.end - self.tail_at) as usize));
        }
        let (store, path) = (self.store.clone(), self.path.clone());
        asked(async move { store.get_range(&path, range).await })
    }
}

impl ReadAt for Object {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let end = position.saturating_add(buffer.len() as u64).min(self.len);
        if end <= position {
            return Ok(0);
        }
        let bytes = self.range(position..end)?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let read = self.read_at(buffer, position)?;
        if read == buffer.len() { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

/// The object that a path names, of which people see the store's name too.
pub(super) fn object_path(name: &str, path: &Path) -> Result<ObjectPath, IoError> {
    let refused = |error: String| IoError::new("name", path, io::Error::new(ErrorKind::InvalidInput, error));
    let text = path.to_str().and_then(|text| text.strip_prefix(name)).ok_or_else(|| refused(format!("it does not begin with {name}")))?;
    ObjectPath::parse(text).map_err(|error| refused(error.to_string()))
}

/// Waits for what a store is asked for. Its error is the source of the one that is returned.
pub(super) fn asked<T: Send + 'static>(request: impl Future<Output = object_store::Result<T>> + Send + 'static) -> io::Result<T> {
    wait(request)?.map_err(answered)
}

/// An error of a store as one of this program.
pub(super) fn answered(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::PermissionDenied,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// A put that failed, and perhaps did not.
fn unknown(error: &io::Error, unread: &io::Error) -> io::Error {
    io::Error::new(unread.kind(), format!("{error}; whether it was done all the same cannot be read: {unread}"))
}

/// What is read of an object when it is opened.
const TAIL_BYTES: u64 = 64 << 10;
/// How often a put is asked for again that was in another's way, when neither is there.
const CONFLICTS_MAX: u32 = 3;
