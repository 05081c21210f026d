//! One file on its way into an object store: written on the local disk, and uploaded when its name is known. Chooses no names.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;

use crate::error::{IoContext, IoError};
use crate::export::objects::driver::wait;
use crate::export::objects::object_place::ObjectPlace;
use crate::export::objects::object_target::{answered, asked, object_path};
use crate::export::target::Draft;
use crate::io::{File, read_exact_at, spool, write_all_at};

/// A file that is not an object yet. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Upload {
    place: ObjectPlace,
    directory: PathBuf,
    /// What errors name: the file's own name is not known yet.
    path: PathBuf,
    file: Arc<dyn File>,
    len: u64,
}

impl Upload {
    pub(super) fn begin(place: &ObjectPlace, directory: &Path, first: u64) -> Result<Self, IoError> {
        let path = directory.join(format!("{first:020}-*.parquet"));
        let file = spool::unnamed(place.spool_directory.as_deref()).map_err(|error| spooling(place, error)).at("write", &path)?;
        Ok(Self { place: place.clone(), directory: directory.to_owned(), path, file, len: 0 })
    }

    fn read(&self, position: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        read_exact_at(&*self.file, &mut bytes, position).map_err(|error| spooling(&self.place, error))?;
        Ok(bytes)
    }

    fn upload(&self, object: ObjectPath) -> io::Result<()> {
        let store = self.place.store.clone();
        // Of more parts they are larger.
        let part_bytes = (self.place.part_bytes as u64).max(self.len.div_ceil(PARTS_MAX));
        if self.len > part_bytes {
            return self.upload_parts(store, object, part_bytes);
        }
        let bytes = PutPayload::from(self.read(0, self.len)?);
        // Nobody else has this name: what is there already was put by a request that was made again.
        asked(async move { store.put(&object, bytes).await })?;
        Ok(())
    }

    fn upload_parts(&self, store: Arc<dyn ObjectStore>, object: ObjectPath, part_bytes: u64) -> io::Result<()> {
        let mut parts = Parts { upload: asked(async move { store.put_multipart(&object).await })?, on_way: JoinSet::new() };
        let mut position = 0;
        while position < self.len {
            let bytes = match self.read(position, part_bytes.min(self.len - position)) {
                Ok(bytes) => bytes,
                Err(error) => return Err(parts.abort(error)),
            };
            position += bytes.len() as u64;
            let put;
            (put, parts) = wait(async move { (parts.put(bytes).await, parts) })?;
            if let Err(error) = put {
                return Err(parts.abort(answered(error)));
            }
        }
        let (completed, parts) = wait(async move { (parts.complete().await, parts) })?;
        completed.map_err(|error| parts.abort(answered(error)))
    }
}

/// The parts of an upload, a few of which are on their way.
struct Parts {
    upload: Box<dyn MultipartUpload>,
    on_way: JoinSet<object_store::Result<()>>,
}

impl Parts {
    async fn put(&mut self, bytes: Vec<u8>) -> object_store::Result<()> {
        self.wait_until(PARTS_AT_ONCE - 1).await?;
        self.on_way.spawn(self.upload.put_part(bytes.into()));
        Ok(())
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        self.wait_until(0).await?;
        self.upload.complete().await.map(drop)
    }

    /// Waits until so many are on their way at most.
    async fn wait_until(&mut self, count: usize) -> object_store::Result<()> {
        while self.on_way.len() > count
            && let Some(put) = self.on_way.join_next().await
        {
            put??;
        }
        Ok(())
    }

    /// Ends an upload because of an error, which is what is to be told: if this fails too, parts stay that nobody sees.
    fn abort(mut self, error: io::Error) -> io::Error {
        let _ = asked(async move {
            self.on_way.shutdown().await;
            self.upload.abort().await
        });
        error
    }
}

impl Draft for Upload {
    fn path(&self) -> &Path {
        &self.path
    }

    fn finish(&mut self, name: &str) -> Result<u64, IoError> {
        let path = self.directory.join(name);
        self.upload(object_path(&self.place.name, &path)?).at("upload", &path)?;
        Ok(self.len)
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all_at(&*self.file, bytes, self.len).map_err(|error| spooling(&self.place, error))?;
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error of the local disk, which is not where the file is to be.
fn spooling(place: &ObjectPlace, error: io::Error) -> io::Error {
    let directory = place.spool_directory.clone().unwrap_or_else(std::env::temp_dir);
    io::Error::new(error.kind(), format!("it is written in {} first: {error}", directory.display()))
}

/// So many parts are on their way at most, and one more is read.
const PARTS_AT_ONCE: usize = 3;
/// What S3 takes.
const PARTS_MAX: u64 = 10_000;
