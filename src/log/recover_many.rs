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
    // Before anything is written that it must tell of.
    let file_system = storage.file_system(store_dir).ok();
    let is_covered = |dir: &Path| file_system.as_ref().is_some_and(|file_system| file_system.holds(dir).unwrap_or(false));
    for (number, dir) in dirs.iter().enumerate() {
        match write_back_unsynced(storage, dir, RecoverHow::of(options)) {
            Ok(Standing::Clean) => {}
            Ok(Standing::Unproven(partition)) if is_covered(dir) => unproven.push((number, partition)),
            _ => others.push(number),
        }
    }
    let Some(file_system) = file_system.filter(|_| !unproven.is_empty()) else { return others };
    let numbers: Vec<usize> = unproven.iter().map(|(number, _)| *number).collect();
    // Everything, then the notes that say so.
    let is_synced = file_system.sync().is_ok();
    let are_noted = is_synced && unproven.into_iter().map(|(_, partition)| partition.note()).all(|noted| noted.is_ok());
    if !(are_noted && file_system.sync().is_ok()) {
        others.extend(numbers);
    }
    others
}
