//! Any bytes as a Parquet file: it is refused, or each of its rows becomes a record, once; and whatever was restored is found again. If it has
//! no offsets, its rows come in the order of time.

use std::path::Path;
use std::sync::Arc;

use tidelog::export::{ImportError, ImportReport, ParquetImport, TimedColumns, TimedImport};
use tidelog::io::Storage;
use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{Partition, StoreOptions, SyncPolicy};

pub fn run(data: &[u8]) {
    let disk: Arc<dyn Storage> = Arc::new(SimDisk::new(0, NameModel::Strict));
    disk.create_dir(Path::new("/in")).unwrap();
    let file = disk.create(Path::new("/in/rows.parquet")).unwrap();
    file.write_at(data, 0).unwrap();
    in_the_order_of_time(&disk);
    let Ok(import) = ParquetImport::open_in(disk.clone(), "/in", "t") else { return };
    let options = || StoreOptions::new().storage(disk.clone()).sync_policy(SyncPolicy::OsOnly).segment_bytes(64 << 10);
    let (restored, first) = in_store(options(), |partition| {
        let restored = import.restore(0, partition, &mut |_| {});
        (restored, offsets(partition))
    });
    let (again, second) = in_store(options(), |partition| {
        assert_eq!(offsets(partition), first, "after a clean close");
        (import.restore(0, partition, &mut |_| {}), offsets(partition))
    });
    assert!(first.is_sorted_by(|one, next| one < next), "{first:?}");
    match (restored, again) {
        (Ok(ImportReport { rows, kept_rows, .. }), Ok(again)) => {
            assert_eq!((rows, kept_rows), (first.len() as u64, 0));
            assert_eq!((again.rows, again.kept_rows, &second), (0, rows, &first));
        }
        // What stops a run stops the next one in the same place, or before it, where it is compared.
        (Err(_), Err(_)) => assert!(second.starts_with(&first) || second == first),
        (restored, again) => panic!("{restored:?}, then {again:?}"),
    }
}

/// The same file for an import without offsets, with a column of the seeds for the value, and with whole rows.
fn in_the_order_of_time(disk: &Arc<dyn Storage>) {
    for (topic, columns) in [("values", TimedColumns::new().value("_value")), ("rows", TimedColumns::new().rows_as_json())] {
        let Ok(import) = TimedImport::open_in(disk.clone(), "/in", &columns) else { continue };
        let import = import.memory_bytes_max(64 << 20);
        let options = StoreOptions::new().storage(disk.clone()).sync_policy(SyncPolicy::OsOnly).segment_bytes(64 << 10);
        let store = options.open("/timed").unwrap();
        let partition = store.topic(topic).unwrap().partition(0).unwrap();
        let imported = import.append_to(&partition, &mut |_| {});
        let times = partition.read_from(0).unwrap().map(|record| record.unwrap().timestamp()).collect::<Vec<_>>();
        assert!(times.is_sorted(), "{times:?}");
        let again = import.append_to(&partition, &mut |_| {});
        match (imported, again) {
            (Ok(report), Ok(again)) => {
                assert_eq!((report.rows, report.kept_rows), (times.len() as u64, 0));
                assert_eq!((again.rows, again.kept_rows), (0, report.rows));
            }
            (Err(_), Err(_)) => {}
            (imported, again) => panic!("{imported:?}, then {again:?}"),
        }
    }
}

fn in_store<T>(
    options: StoreOptions,
    work: impl FnOnce(&Partition) -> (Result<ImportReport, ImportError>, T),
) -> (Result<ImportReport, ImportError>, T) {
    let store = options.open("/data").unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    assert!(partition.recovery_report().damage.is_empty());
    let outcome = work(&partition);
    drop(partition);
    store.close().unwrap();
    outcome
}

fn offsets(partition: &Partition) -> Vec<u64> {
    partition.read_from(partition.log_start_offset()).unwrap().map(|record| record.unwrap().offset().get()).collect()
}
