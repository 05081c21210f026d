//! What takes the place of a bucket in a build that knows none: it says how to get one that does.

use tidelog::PartitionView;
use tidelog::export::ParquetExport;

use crate::exit::{Exit, Failure};

/// There is none.
pub(super) enum Bucket {}

impl Bucket {
    /// Refuses.
    pub(super) fn open(bucket: &str, _: &str) -> Result<Self, Failure> {
        let said = "this build knows no s3; one that does comes from `cargo build --release --package tidelog-server --features s3`";
        Err(Failure::new(Exit::Usage, format!("s3://{bucket}: {said}")))
    }

    /// Never called.
    pub(super) fn export(&self, _: &PartitionView) -> ParquetExport {
        match *self {}
    }
}
