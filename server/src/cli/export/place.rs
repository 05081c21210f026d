//! Where an export goes: a directory, or a prefix in a bucket, as people write it. Makes nothing there.

use std::path::{Path, PathBuf};

use tidelog::PartitionView;
use tidelog::export::ParquetExport;

use super::s3::Bucket;
use crate::cli::store;
use crate::exit::{Exit, Failure};

/// What `--to` names.
pub(super) enum Place {
    /// A directory.
    Directory(PathBuf),
    /// A bucket, with a prefix in it.
    Bucket(Bucket),
}

impl Place {
    /// What is meant by `to`: a path, the same as `file://`, or `s3://`.
    pub(super) fn of(to: &Path) -> Result<Self, Failure> {
        let path = match to.to_str().and_then(|text| text.split_once("://")) {
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(Failure::new(Exit::Usage, format!("{} names no bucket: s3://BUCKET/PREFIX is expected", to.display())));
                }
                return Bucket::open(bucket, prefix).map(Self::Bucket);
            }
            Some(("file", path)) if path.starts_with('/') => Path::new(path),
            Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                let said = format!("{} is no place for an export: a directory, file:///DIRECTORY or s3://BUCKET/PREFIX is expected", to.display());
                return Err(Failure::new(Exit::Usage, said));
            }
            _ => to,
        };
        if let Some(around) = store::store_around(path) {
            let (to, around) = (path.display(), around.display());
            return Err(Failure::new(Exit::Usage, format!("{to} is in the store {around}: export to a directory outside of it")));
        }
        Ok(Self::Directory(path.to_owned()))
    }

    /// An export of a partition to it.
    pub(super) fn export(&self, view: &PartitionView) -> ParquetExport {
        match self {
            Self::Directory(directory) => ParquetExport::new(view, directory),
            Self::Bucket(bucket) => bucket.export(view),
        }
    }
}
