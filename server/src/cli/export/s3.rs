//! A bucket of S3, or of a server that speaks its language, by the variables that other tools know: `AWS_*`. Makes no request of its own.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use tidelog::PartitionView;
use tidelog::export::ParquetExport;
use tidelog::export::objects::ObjectPlace;

use crate::exit::{Exit, Failure};

/// A prefix in a bucket.
pub(super) struct Bucket {
    place: ObjectPlace,
}

impl Bucket {
    /// Takes keys, region and server from the environment.
    pub(super) fn open(bucket: &str, prefix: &str) -> Result<Self, Failure> {
        let name = format!("s3://{bucket}");
        let prefix = ObjectPath::parse(prefix).map_err(|error| Failure::because(Exit::Usage, format!("{name}/{prefix} is no place"), error))?;
        // Whoever was first has chosen already: this program, for another partition.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
        let store = store.map_err(|error| Failure::because(Exit::Usage, format!("opening {name}"), error))?;
        Ok(Self { place: ObjectPlace::new(Arc::new(store), prefix).named(name) })
    }

    /// An export of a partition to it.
    pub(super) fn export(&self, view: &PartitionView) -> ParquetExport {
        ParquetExport::to_objects(view, &self.place)
    }
}
