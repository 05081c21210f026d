//! Recovers partitions that a crash left in order many at a time, with two syncs for all of them. Leaves the others as they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::io::Storage;
use crate::log::recovery::{RecoverHow, Standing, write_back_unsynced};

/// Recovers the partitions in `dirs`, which nobody has open; the store in `store_dir` is locked. Returns the numbers of those that take a
/// whole recovery, because a crash or damage cost them something, or because something failed, which whoever opens them will hear of.
pub(crate) fn recover_many(storage: &Arc<dyn Storage>, store_dir: &Path, dirs: &[PathBuf], options: &Config) -> Vec<usize> {
    let (mut others, mut unproven) = (Vec::new(), Vec::new());
    for (number, dir) in dirs.iter().enumerate() {
        match write_back_unsynced(storage, dir, RecoverHow::of(options)) {
            Ok(Standing::Clean) => {}
            Ok(Standing::Unproven(partition)) => unproven.push((number, partition)),
            Ok(Standing::Else) | Err(_) => others.push(number),
        }
    }
    if unproven.is_empty() {
        return others;
    }
    let numbers: Vec<usize> = unproven.iter().map(|(number, _)| *number).collect();
    // Everything, then the notes that say so.
    let is_synced = storage.sync_all(store_dir).is_ok();
    let are_noted = is_synced && unproven.into_iter().map(|(_, partition)| partition.note()).all(|noted| noted.is_ok());
    if !(are_noted && storage.sync_all(store_dir).is_ok()) {
        others.extend(numbers);
    }
    others
}
