//! A file without a name, for what is written here and goes elsewhere: it is gone when it is closed, however the process ends.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::File;
use super::file::DiskFile;

/// Makes one on the file system of `directory`; `None` is where the system has its temporary files.
pub(crate) fn unnamed(directory: Option<&Path>) -> io::Result<Arc<dyn File>> {
    let file = directory.map_or_else(tempfile::tempfile, tempfile::tempfile_in)?;
    Ok(Arc::new(DiskFile { file }))
}
