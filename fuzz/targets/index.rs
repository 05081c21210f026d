//! Any bytes in place of an index: it costs time, and never a record, whatever its entries say under a right checksum. A header that no writer
//! made and that is right by its checksum is taken at its word: it makes up no record.

use tidelog::OnDamage;
use tidelog::io::sim::NameModel;
use tidelog_format::{FILE_HEADER_BYTES, FileName, IndexHeader};

use super::heal;
use super::served::{Served, look, open};
use super::stored;

/// The first byte says which log and segment it is of, and whether checksums are made right; the rest is the index, or what it differs in from
/// the one that the engine wrote.
pub fn run(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else { return };
    let stored = if how & 1 == 0 { stored::closed() } else { stored::killed() };
    let named = |wanted: fn(&FileName) -> bool| {
        stored
            .image
            .files()
            .filter(move |(path, _)| path.file_name().and_then(|name| FileName::parse(name.to_str()?)).is_some_and(|name| wanted(&name)))
    };
    let logs: Vec<_> = named(|name| matches!(name, FileName::Log(_))).map(|(path, _)| path.with_extension("idx")).collect();
    let path = &logs[usize::from(how >> 1 & 3) % logs.len()];
    let written = named(|name| matches!(name, FileName::Index(_))).find(|(found, _)| found == path).map_or(&[][..], |(_, bytes)| bytes);
    let mut bytes =
        if how & 8 == 0 { data.to_vec() } else { (0..written.len()).map(|at| data.get(at).copied().unwrap_or(0) ^ written[at]).collect() };
    if how & 16 != 0 {
        bytes = heal::index(&bytes);
    }
    if how & 32 != 0 && bytes.len() >= FILE_HEADER_BYTES {
        bytes.truncate(FILE_HEADER_BYTES + (bytes.len() - FILE_HEADER_BYTES) / 2);
    }
    let is_known = IndexHeader::decode(&bytes).is_err() || bytes.get(..FILE_HEADER_BYTES) == written.get(..FILE_HEADER_BYTES);
    let mut image = stored.image.clone();
    image.put(path, bytes);
    let disk = image.disk(1, NameModel::Strict);
    let check = |view: &tidelog::PartitionView, who: &str| {
        let served = Served::of(view);
        if !is_known {
            let mut known = stored.served.rows.iter();
            assert!(served.rows.iter().all(|row| known.any(|known| known == row)), "{who}: a record that was never written");
            return;
        }
        assert!(
            served == stored.served,
            "{who}: an index cost more than time: {:?}, {:?} of {:?}",
            summary(&served),
            view.findings(),
            summary(&stored.served)
        );
        served.check_other_ways(view);
        // A time that an index gives under a right checksum is held against nothing: a scan to do that would need no index.
        if how & 16 == 0 {
            served.check_times(view);
        }
    };
    check(&look(&disk).expect("an index refuses nothing"), "a reader");
    assert!(disk.image() == image, "who only looked changed something");
    let (store, partition) = open(&disk, OnDamage::Isolate).expect("an index refuses nothing");
    check(partition.view(), "the writer");
    drop(partition);
    store.close().expect("nothing fails");
    check(&look(&disk.kill()).expect("an index refuses nothing"), "a reader afterwards");
}

fn summary(served: &Served) -> (u64, u64, Vec<u64>, &[(u64, u64)]) {
    (served.log_start, served.end, served.rows.iter().map(|row| row.offset).collect(), &served.lost)
}
