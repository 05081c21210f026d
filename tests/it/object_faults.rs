//! An object store that fails, or says that it failed when it did not, and lets others in between. Holds nothing itself.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};

/// Another store, some calls of which fail. Clones share their faults.
#[derive(Debug, Clone)]
pub(crate) struct FlakyStore {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

/// When a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing is done.
    Before,
    /// It is done all the same.
    After,
}

#[derive(Default)]
struct Faults {
    calls: AtomicU64,
    fired: AtomicU64,
    aborts: AtomicU64,
    parts: AtomicU64,
    deletes: AtomicU64,
    denies_deletes: AtomicBool,
    /// Done on the thread of the requests before the next commit is put.
    inline: Mutex<Option<Deed>>,
    /// The first call that fails, counted from the last time that this was set, and whether all behind it fail too.
    fault: Mutex<Option<(u64, When, bool)>>,
    /// What others do before the next commit is put.
    others: Mutex<Option<Deed>>,
    /// What others do before a call, counted as that of `fault`.
    intruder: Mutex<Option<(u64, Deed)>>,
    /// What conditional puts are answered with, nothing being done.
    conflicts: AtomicU64,
}

/// What others do.
type Deed = Box<dyn FnOnce() + Send>;

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

impl FlakyStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, faults: Arc::default() }
    }

    /// Fails the `nth` call from now on, and all behind it if `for_ever`.
    pub(crate) fn fail(&self, nth: u64, when: When, for_ever: bool) {
        self.faults.calls.store(0, Ordering::Relaxed);
        *self.faults.fault.lock().unwrap() = Some((nth, when, for_ever));
    }

    pub(crate) fn heal(&self) {
        *self.faults.fault.lock().unwrap() = None;
    }

    /// Does this before the next commit is put.
    pub(crate) fn before_commit(&self, others: impl FnOnce() + Send + 'static) {
        *self.faults.others.lock().unwrap() = Some(Box::new(others));
    }

    /// Does this before the `nth` call from now on, or the next one that answers by itself and not by a stream.
    pub(crate) fn before_call(&self, nth: u64, others: impl FnOnce() + Send + 'static) {
        self.faults.calls.store(0, Ordering::Relaxed);
        *self.faults.intruder.lock().unwrap() = Some((nth, Box::new(others)));
    }

    /// Whether that has not come yet.
    pub(crate) fn waits(&self) -> bool {
        self.faults.intruder.lock().unwrap().is_some()
    }

    /// Does this before the next commit is put, on the very thread that makes the requests.
    pub(crate) fn inline_before_commit(&self, others: impl FnOnce() + Send + 'static) {
        *self.faults.inline.lock().unwrap() = Some(Box::new(others));
    }

    /// Answers so many commits with a conflict, and does nothing.
    pub(crate) fn conflict(&self, times: u64) {
        self.faults.conflicts.store(times, Ordering::Relaxed);
    }

    /// The calls since the last time that one was made to fail.
    pub(crate) fn calls(&self) -> u64 {
        self.faults.calls.load(Ordering::Relaxed)
    }

    /// From now on nothing is deleted.
    pub(crate) fn deny_deletes(&self) {
        self.faults.denies_deletes.store(true, Ordering::Relaxed);
    }

    pub(crate) fn fired(&self) -> u64 {
        self.faults.fired.load(Ordering::Relaxed)
    }

    pub(crate) fn aborts(&self) -> u64 {
        self.faults.aborts.load(Ordering::Relaxed)
    }

    pub(crate) fn parts(&self) -> u64 {
        self.faults.parts.load(Ordering::Relaxed)
    }

    pub(crate) fn deletes(&self) -> u64 {
        self.faults.deletes.load(Ordering::Relaxed)
    }
}

impl Faults {
    /// Whether this call fails, when, and which it is.
    fn next(&self) -> Option<(When, u64)> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let (nth, when, for_ever) = (*self.fault.lock().unwrap_or_else(PoisonError::into_inner))?;
        let fails = call == nth || for_ever && call > nth;
        fails.then(|| {
            self.fired.fetch_add(1, Ordering::Relaxed);
            // Whoever is cut off for good does nothing any more.
            (if call == nth { when } else { When::Before }, call)
        })
    }

    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = self.next();
        let intruder = self.intruder.lock().unwrap().take_if(|(nth, _)| *nth <= self.calls.load(Ordering::Relaxed));
        if let Some((_, others)) = intruder {
            tokio::task::spawn_blocking(others).await.unwrap();
        }
        match fault {
            Some((When::Before, number)) => Err(failure(number)),
            Some((When::After, number)) => {
                drop(call.await);
                Err(failure(number))
            }
            None => call.await,
        }
    }
}

fn failure(call: u64) -> Error {
    Error::Generic { store: "flaky", source: format!("call {call} was not answered").into() }
}

impl fmt::Display for FlakyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flaky {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FlakyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if location.as_ref().contains("_delta_log") {
            let others = self.faults.others.lock().unwrap().take();
            if let Some(others) = others {
                tokio::task::spawn_blocking(others).await.unwrap();
            }
            let inline = self.faults.inline.lock().unwrap().take();
            if let Some(inline) = inline {
                inline();
            }
            let left = self.faults.conflicts.load(Ordering::Relaxed);
            if left > 0 {
                self.faults.conflicts.store(left - 1, Ordering::Relaxed);
                return Err(Error::AlreadyExists { path: location.to_string(), source: "409 ConditionalRequestConflict".into() });
            }
        }
        self.faults.around(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.faults.around(self.inner.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(FlakyUpload { inner: upload, faults: self.faults.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.faults.around(self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.faults.around(self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.faults.deletes.fetch_add(1, Ordering::Relaxed);
        if self.faults.denies_deletes.load(Ordering::Relaxed) {
            let denied = Error::PermissionDenied { path: String::new(), source: "DeleteObject".into() };
            return futures_util::stream::once(async { Err(denied) }).boxed();
        }
        match self.faults.next() {
            Some((When::Before, call)) => futures_util::stream::once(async move { Err(failure(call)) }).boxed(),
            Some((When::After, call)) => self.inner.delete_stream(locations).map(move |_| Err(failure(call))).boxed(),
            None => self.inner.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.faults.next() {
            Some((_, call)) => futures_util::stream::once(async move { Err(failure(call)) }).boxed(),
            None => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.faults.around(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.faults.around(self.inner.copy_opts(from, to, options)).await
    }
}

/// An upload, some calls of which fail.
#[derive(Debug)]
struct FlakyUpload {
    inner: Box<dyn MultipartUpload>,
    faults: Arc<Faults>,
}

#[async_trait]
impl MultipartUpload for FlakyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.faults.parts.fetch_add(1, Ordering::Relaxed);
        let (part, faults) = (self.inner.put_part(data), self.faults.clone());
        async move { faults.around(part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let faults = self.faults.clone();
        faults.around(self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.faults.aborts.fetch_add(1, Ordering::Relaxed);
        let faults = self.faults.clone();
        faults.around(self.inner.abort()).await
    }
}
