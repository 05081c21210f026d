//! What a simulated disk keeps and loses when power fails: neither more nor less than a real one may.

use std::collections::BTreeSet;
use std::path::Path;

use tidelog::io::sim::{Image, NameModel, SimDisk};
use tidelog::io::{Access, File, Published, Storage};

const CUTS: usize = 300;

fn bytes_of(image: &Image, path: &str) -> Option<Vec<u8>> {
    image.files().find(|(found, _)| *found == Path::new(path)).map(|(_, bytes)| bytes.to_vec())
}

fn names_of(image: &Image) -> String {
    image.files().map(|(path, _)| path.to_str().unwrap().trim_start_matches('/').to_owned()).collect::<Vec<_>>().join(" ")
}

fn cuts(disk: &SimDisk) -> impl Iterator<Item = Image> {
    (0..CUTS).map(|_| disk.power_cut())
}

/// A disk with one durable file of four pages of ones.
fn with_ones() -> (SimDisk, std::sync::Arc<dyn File>) {
    let disk = SimDisk::new(7, NameModel::Strict);
    disk.write_back(0);
    let file = disk.create("/f".as_ref()).unwrap();
    file.write_at(&[1; 16384], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir("/".as_ref()).unwrap();
    (disk, file)
}

#[test]
fn any_sectors_that_were_not_synced_are_kept_and_all_that_were() {
    let (disk, file) = with_ones();
    assert!(cuts(&disk).all(|image| bytes_of(&image, "/f").unwrap() == [1; 16384]));
    file.write_at(&[2; 8192], 4096).unwrap();
    let (mut seen, mut torn_pages) = (BTreeSet::new(), 0);
    for image in cuts(&disk) {
        let bytes = bytes_of(&image, "/f").unwrap();
        assert!(bytes[..4096].iter().chain(&bytes[12288..]).all(|&byte| byte == 1));
        let kept: Vec<u8> = bytes[4096..12288].chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes[4096..12288].chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "a sector is written whole");
        torn_pages += usize::from(kept[..8].contains(&1) && kept[..8].contains(&2));
        seen.insert(kept);
    }
    assert!(seen.contains(&vec![1; 16]) && seen.contains(&vec![2; 16]), "nothing, and everything");
    assert!(seen.len() > 50 && torn_pages > 20, "{} different, {torn_pages} torn", seen.len());
    file.sync().unwrap();
    assert!(cuts(&disk).all(|image| bytes_of(&image, "/f").unwrap()[4096..12288] == [2; 8192]));
}

#[test]
fn what_a_mapping_stored_is_kept_by_pages_too_and_by_a_sync() {
    let (disk, file) = with_ones();
    let (_map, store) = file.map(16384, true).unwrap();
    let mut store = store.unwrap();
    store.set_allocated(16384);
    store.slot(0, 8192).fill(3);
    store.publish(Published { end: 8192, next: 1, ..Published::default() });
    let kept: BTreeSet<Vec<u8>> = cuts(&disk).map(|image| bytes_of(&image, "/f").unwrap()).collect();
    assert!(kept.len() > 20 && kept.contains(&vec![1; 16384]));
    file.sync().unwrap();
    assert!(cuts(&disk).all(|image| bytes_of(&image, "/f").unwrap()[..8192] == [3; 8192]));
}

#[test]
fn sizes_are_old_or_new_and_what_was_not_written_is_zero() {
    let (disk, file) = with_ones();
    file.allocate(0, 32768).unwrap();
    file.write_at(&[2; 4096], 16384).unwrap();
    let mut lens = BTreeSet::new();
    for image in cuts(&disk) {
        let bytes = bytes_of(&image, "/f").unwrap();
        lens.insert(bytes.len());
        assert!(bytes[..16384] == [1; 16384] && bytes[16384..].iter().all(|byte| [0, 2].contains(byte)));
        assert!(bytes.iter().skip(20480).all(|&byte| byte == 0));
    }
    assert_eq!(lens, BTreeSet::from([16384, 32768]));
    file.set_len(100).unwrap();
    file.sync().unwrap();
    assert!(cuts(&disk).all(|image| bytes_of(&image, "/f").unwrap() == [1; 100]));
}

/// After a sync failed, pages count as clean: the next sync succeeds and writes nothing. Only what is written again is safe.
#[test]
fn a_failed_sync_leaves_clean_pages_that_are_not_written() {
    let (disk, file) = with_ones();
    file.write_at(&[2; 16384], 0).unwrap();
    disk.fail_sync(1);
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    file.sync().unwrap();
    let left: BTreeSet<Vec<u8>> = cuts(&disk).map(|image| bytes_of(&image, "/f").unwrap()).collect();
    assert_eq!(left.len(), 1, "nothing is dirty any more");
    assert!(left.first().unwrap().contains(&1), "some pages were lost");
    let mut cached = [0; 16384];
    file.read_at(&mut cached, 0).unwrap();
    assert_eq!(cached, [2; 16384], "and the cache does not show it");
    file.write_at(&cached, 0).unwrap();
    file.sync().unwrap();
    assert!(cuts(&disk).all(|image| bytes_of(&image, "/f").unwrap() == [2; 16384]));
}

#[test]
fn names_are_kept_each_on_its_own_or_in_order() {
    for (model, expected) in [(NameModel::Strict, BTreeSet::from(["", "a", "b", "a b"])), (NameModel::Journal, BTreeSet::from(["", "a", "a b"]))] {
        let disk = SimDisk::new(3, model);
        let a = disk.create("/a".as_ref()).unwrap();
        disk.create("/b".as_ref()).unwrap();
        let seen: BTreeSet<String> = cuts(&disk).map(|image| names_of(&image)).collect();
        assert_eq!(seen.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{model:?}");
        a.sync().unwrap();
        let after_sync: BTreeSet<String> = cuts(&disk).map(|image| names_of(&image)).collect();
        assert_eq!(after_sync.len(), if model == NameModel::Journal { 1 } else { 4 }, "a journal commits earlier names with any sync");
        disk.sync_dir("/".as_ref()).unwrap();
        assert!(cuts(&disk).all(|image| names_of(&image) == "a b"));
    }
}

#[test]
fn a_rename_is_done_or_not_and_a_removed_name_may_come_back() {
    let (disk, _file) = with_ones();
    disk.create_dir("/d".as_ref()).unwrap();
    disk.sync_dir("/".as_ref()).unwrap();
    disk.rename("/f".as_ref(), "/d/g".as_ref()).unwrap();
    let seen: BTreeSet<String> = cuts(&disk).map(|image| names_of(&image)).collect();
    assert_eq!(seen, BTreeSet::from(["d/g".to_owned(), "f".to_owned()]));
    disk.sync_dir("/d".as_ref()).unwrap();
    assert!(cuts(&disk).all(|image| names_of(&image) == "d/g"));
    disk.unlink("/d/g".as_ref()).unwrap();
    let seen: BTreeSet<String> = cuts(&disk).map(|image| names_of(&image)).collect();
    assert_eq!(seen, BTreeSet::from([String::new(), "d/g".to_owned()]));
}

#[test]
fn a_killed_process_has_no_handles_and_no_locks_and_its_bytes_stay() {
    let (disk, file) = with_ones();
    file.write_at(b"cached", 0).unwrap();
    let lock = disk.lock("/".as_ref()).unwrap().unwrap();
    let next = disk.kill();
    for error in [file.write_at(b"x", 0).map(drop), file.sync(), disk.sync_dir("/".as_ref()), disk.create("/x".as_ref()).map(drop)] {
        assert!(error.unwrap_err().to_string().contains("killed"));
    }
    let held = next.lock("/".as_ref()).unwrap();
    assert!(held.is_some());
    drop(lock);
    assert!(next.is_locked("/".as_ref()).unwrap(), "the lock of the dead is not this one");
    let mut bytes = [0; 6];
    next.open("/f".as_ref(), Access::Read).unwrap().read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"cached");
}

#[test]
fn one_seed_is_one_disk() {
    let run = |seed| {
        let disk = SimDisk::new(seed, NameModel::Strict);
        disk.watch(3);
        for number in 0..20 {
            let file = disk.create(format!("/{number}").as_ref()).unwrap();
            file.write_at(&disk.random().to_le_bytes().repeat(300), 0).unwrap();
            if number % 3 == 0 {
                file.sync().unwrap();
            }
        }
        disk.take_cuts().iter().map(|cut| (cut.call, cut.is_power, cut.image.fingerprint())).collect::<Vec<_>>()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
