//! What every storage owes the engine, asked of the disk and of the disk behind faults; then the faults themselves. No log in here.

use std::fs;
use std::io::{ErrorKind, IoSlice};
use std::os::unix::fs::{MetadataExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tidelog::io::fault::{EIO, ENOSPC, Fault, Faulty, Op};
use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::io::{Access, Disk, Entry, File, Kind, Published, SegmentMap, SharedWords, Storage};

#[test]
fn what_is_written_is_read() {
    check_all(|storage, path| {
        let file = storage.create(&path.join("f")).unwrap();
        assert!(file.is_empty().unwrap());
        write(&*file, b"0123456789", 0);
        write(&*file, b"ab", 12);
        assert_eq!(file.len().unwrap(), 14);
        file.sync().unwrap();
        storage.sync_dir(path).unwrap();

        let file = storage.open(&path.join("f"), Access::Read).unwrap();
        assert_eq!(read(&*file, 0, 14), b"0123456789\0\0ab");
        assert_eq!(read(&*file, 9, 100), b"9\0\0ab");
        assert_eq!(file.read_at(&mut [0; 4], 14).unwrap(), 0);
        assert_eq!(get(storage, &path.join("f")), b"0123456789\0\0ab");
    });
}

#[test]
fn pieces_are_written_one_behind_the_other() {
    check_all(|storage, path| {
        let file = storage.create(&path.join("f")).unwrap();
        let pieces = ["", "01", "", "234", "5"].map(|piece| IoSlice::new(piece.as_bytes()));
        let mut rest = pieces;
        let (mut left, mut at) = (&mut rest[..], 3);
        while !left.is_empty() {
            let written = file.write_vectored_at(left, at).unwrap();
            assert!(written > 0, "nothing is written of what there is");
            at += written as u64;
            IoSlice::advance_slices(&mut left, written);
        }
        assert_eq!((at, read(&*file, 0, 9)), (9, b"\0\0\x00012345".to_vec()));
        assert_eq!(file.write_vectored_at(&pieces[..1], 0).unwrap(), 0);
        assert_eq!(file.write_vectored_at(&[], 0).unwrap(), 0);
    });
}

#[test]
fn a_file_is_made_once_and_opened_only_if_it_is_there() {
    check_all(|storage, path| {
        let name = path.join("f");
        assert_eq!(kind_of(storage.open(&name, Access::ReadWrite)), ErrorKind::NotFound);
        write(&*storage.create(&name).unwrap(), b"x", 0);
        assert_eq!(kind_of(storage.create(&name)), ErrorKind::AlreadyExists);
        write(&*storage.open(&name, Access::ReadWrite).unwrap(), b"y", 1);
        assert_eq!(get(storage, &name), b"xy");
    });
}

#[test]
fn a_symlink_is_a_name_and_is_not_followed() {
    check(|storage, path| {
        symlink(path.join("nowhere"), path.join("dangling")).unwrap();
        assert_eq!(kind_of(storage.create(&path.join("dangling"))), ErrorKind::AlreadyExists);
        assert!(!path.join("nowhere").exists());
        assert_eq!(storage.kind(&path.join("dangling")).unwrap(), Some(Kind::Other));
        assert_eq!(storage.list(path).unwrap(), [Entry { name: "dangling".into(), kind: Kind::Other }]);
        storage.unlink(&path.join("dangling")).unwrap();
        assert!(names(storage, path).is_empty());
    });
}

#[test]
fn what_is_opened_for_reading_cannot_change() {
    check_all(|storage, path| {
        storage.create(&path.join("f")).unwrap().set_len(64).unwrap();
        let file = storage.open(&path.join("f"), Access::Read).unwrap();
        file.write_at(b"x", 0).unwrap_err();
        file.set_len(0).unwrap_err();
        file.allocate(0, 128).unwrap_err();
        assert_eq!(kind_of(file.map(64, true)), ErrorKind::PermissionDenied);
        assert_eq!(kind_of(file.map_words(64, true)), ErrorKind::PermissionDenied);
        assert_eq!(get(storage, &path.join("f")), [0; 64]);
    });
}

#[test]
fn only_regular_files_are_opened_and_none_is_waited_for() {
    check(|storage, path| {
        fs::write(path.join("file"), "x").unwrap();
        symlink(path.join("file"), path.join("link")).unwrap();
        fs::create_dir(path.join("directory")).unwrap();
        mknodat(CWD, path.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
        for name in ["link", "directory", "fifo", "socket"] {
            for access in [Access::Read, Access::ReadWrite] {
                let found = within_seconds(|| storage.open(&path.join(name), access).map(|_| ()).map_err(|error| error.kind()));
                assert_eq!(found, Err(ErrorKind::InvalidInput), "{name} {access:?}");
            }
        }
        within_seconds(|| assert_eq!(kind_of(storage.lock(&path.join("fifo"))), ErrorKind::InvalidInput));
        storage.open(&path.join("file"), Access::ReadWrite).unwrap();
    });
}

#[test]
fn a_rename_replaces_and_a_new_name_does_not() {
    check_all(|storage, path| {
        let (a, b) = (path.join("a"), path.join("b"));
        put(storage, &a, "a");
        put(storage, &b, "b");
        assert_eq!(kind_of(storage.rename_new(&a, &b)), ErrorKind::AlreadyExists);
        assert_eq!((get(storage, &a), get(storage, &b)), (b"a".to_vec(), b"b".to_vec()));
        storage.rename_new(&a, &path.join("c")).unwrap();
        assert_eq!(get(storage, &path.join("c")), b"a");
        assert_eq!(kind_of(storage.rename_new(&a, &path.join("d"))), ErrorKind::NotFound);
        storage.rename(&path.join("c"), &b).unwrap();
        assert_eq!(get(storage, &b), b"a");
        assert_eq!(names(storage, path), ["b"]);
    });
}

#[test]
fn names_come_and_go() {
    check_all(|storage, path| {
        let directory = path.join("directory");
        storage.create_dir(&directory).unwrap();
        assert_eq!(kind_of(storage.create_dir(&directory)), ErrorKind::AlreadyExists);
        assert_eq!(kind_of(storage.create_dir(&path.join("no/parent"))), ErrorKind::NotFound);
        storage.create(&directory.join("f")).unwrap();
        storage.remove_dir(&directory).unwrap_err();
        storage.unlink(&directory).unwrap_err();
        put(storage, &path.join("file"), "x");
        assert_eq!(storage.kind(&directory).unwrap(), Some(Kind::Directory));
        assert_eq!(storage.kind(&directory.join("f")).unwrap(), Some(Kind::File));
        assert_eq!(storage.kind(&path.join("nothing")).unwrap(), None);

        let mut found = storage.list(path).unwrap();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let expected = [("directory", Kind::Directory), ("file", Kind::File)].map(|(name, kind)| Entry { name: name.into(), kind });
        assert_eq!(found, expected);

        storage.unlink(&path.join("file")).unwrap();
        storage.unlink(&directory.join("f")).unwrap();
        assert_eq!(kind_of(storage.unlink(&directory.join("f"))), ErrorKind::NotFound);
        storage.remove_dir(&directory).unwrap();
        assert_eq!(kind_of(storage.list(&directory)), ErrorKind::NotFound);
        assert_eq!(kind_of(storage.sync_dir(&directory)), ErrorKind::NotFound);
        assert!(names(storage, path).is_empty());
    });
}

#[test]
fn allocation_takes_blocks_and_leaves_bytes() {
    check(|storage, path| {
        let file = storage.create(&path.join("f")).unwrap();
        write(&*file, b"keep", 0);
        match file.allocate(0, 1 << 20) {
            Ok(()) => {}
            // The contract of a file system that cannot; there is nothing to look at then.
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Unsupported),
        }
        assert_eq!(file.len().unwrap(), 1 << 20);
        assert!(fs::metadata(path.join("f")).unwrap().blocks() * 512 >= 1 << 20);
        assert_eq!(read(&*file, 0, 8), b"keep\0\0\0\0");
        file.allocate(0, 0).unwrap();
        file.allocate(0, 4096).unwrap();
        assert_eq!(file.len().unwrap(), 1 << 20);
    });
}

#[test]
fn a_file_is_cut_and_grown() {
    check_all(|storage, path| {
        let file = storage.create(&path.join("f")).unwrap();
        write(&*file, b"0123456789", 0);
        file.set_len(4).unwrap();
        file.set_len(8).unwrap();
        assert_eq!(read(&*file, 0, 100), b"0123\0\0\0\0");
    });
}

#[test]
fn a_lock_has_one_holder() {
    check(|storage, path| {
        fs::write(path.join("file"), "").unwrap();
        fs::create_dir(path.join("directory")).unwrap();
        symlink(path.join("directory"), path.join("alias")).unwrap();
        for (name, alias) in [("file", "file"), ("directory", "alias")] {
            let (name, alias) = (path.join(name), path.join(alias));
            assert!(!storage.is_locked(&name).unwrap());
            let held = storage.lock(&name).unwrap().unwrap();
            assert!(storage.is_locked(&alias).unwrap());
            assert!(storage.lock(&alias).unwrap().is_none());
            drop(held);
            assert!(!storage.is_locked(&alias).unwrap());
            assert!(storage.lock(&alias).unwrap().is_some());
        }
        assert_eq!(kind_of(storage.lock(&path.join("nothing"))), ErrorKind::NotFound);
        assert_eq!(kind_of(storage.is_locked(&path.join("nothing"))), ErrorKind::NotFound);
    });
}

#[test]
fn probes_do_not_keep_a_writer_out() {
    check_all(|storage, path| {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    storage.is_locked(path).unwrap();
                }
            });
            let refused = (0..200).filter(|_| storage.lock(path).unwrap().is_none()).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
    });
}

#[test]
fn a_mapping_and_the_file_are_the_same_bytes() {
    check_all(|storage, path| {
        let file = storage.create(&path.join("f")).unwrap();
        file.set_len(8192).unwrap();
        let (map, store) = file.map(8192, true).unwrap();
        let mut store = store.unwrap();
        store.set_allocated(8192);
        store.slot(0, 8).copy_from_slice(b"stored..");
        write(&*file, b"written.", 8);
        store.publish(Published { end: 16, next: 2, ..Published::default() });

        assert_eq!(map.bytes(0, 16), b"stored..written.");
        assert_eq!(read(&*file, 0, 16), b"stored..written.");
        assert_eq!(map.published(), Published { end: 16, next: 2, sealed: false, retired: false });
        assert!(map.address_range().contains(&map.bytes(8, 16).as_ptr().addr()));

        // Another opening sees it too, and what it holds outlives the name.
        let reader = storage.open(&path.join("f"), Access::Read).unwrap();
        // Behind the end of the file, where nobody looks.
        let (shown, none) = reader.map(1 << 20, false).unwrap();
        assert!(none.is_none());
        assert_eq!((shown.len(), shown.published()), (1 << 20, Published::default()));
        shown.expose(Published { end: 16, next: 2, sealed: true, retired: false });
        storage.unlink(&path.join("f")).unwrap();
        drop((file, reader, store, map));
        assert_eq!(shown.clone().bytes(0, 16), b"stored..written.");
    });
}

/// E3: what is stored through a window is in the file and in the mapping, and goes no further than the window.
#[test]
fn a_window_shows_what_the_mapping_does() {
    const MIB: usize = 1 << 20;
    check_all(|storage, path| {
        let file = storage.create(&path.join("f")).unwrap();
        file.set_len(MIB as u64).unwrap();
        let (map, store) = file.map(MIB, true).unwrap();
        let mut store = store.unwrap();
        let to = |end: usize| Published { end: end as u32, next: end as u32, ..Published::default() };
        store.set_allocated(MIB);
        let mut end = 0;
        for (from, len) in [(0, 64 << 10), (64 << 10, 128 << 10), (192 << 10, 8192)] {
            let window = file.map_window(from, len).unwrap();
            assert_eq!(window.range(), from..from + len);
            store.publish(to(from + 16));
            store.set_window(Some(window));
            // Of the window where it covers that, else of the mapping.
            [(from, len), (from, 4096), (from, len + 4096), (0, MIB)].into_iter().for_each(|(at, len)| map.populate(at, len).unwrap());
            assert_eq!((store.has_window(), store.reach(), store.allocated()), (true, from + len, MIB));
            refused("bytes to store to", || store.slot(from + len - 8, 16).len());
            refused("bytes to store to", || store.slot(from + 8, 8).len());
            store.slot(from + 16, 8).copy_from_slice(b"begin...");
            store.slot(from + len - 8, 8).copy_from_slice(b"end.....");
            [(0, MIB), (from, from + len), (from + len, MIB), (0, from)].into_iter().for_each(|(at, to)| map.release(at, to).unwrap());
            end = from + len;
            store.publish(to(end));
            assert_eq!((map.bytes(from + 16, from + 24), map.bytes(end - 8, end)), (&b"begin..."[..], &b"end....."[..]));
            assert_eq!((read(&*file, from as u64 + 16, 8), read(&*file, end as u64 - 8, 8)), (b"begin...".to_vec(), b"end.....".to_vec()));
        }
        refused("a window that begins at", || store.set_window(Some(file.map_window(256 << 10, 4096).unwrap())));
        store.set_window(None);
        assert_eq!((store.has_window(), store.reach()), (false, MIB));
        store.slot(end, 8).copy_from_slice(b"mapping.");
        store.publish(to(end + 8));
        assert_eq!(read(&*file, end as u64, 8), b"mapping.");
        assert_eq!(kind_of(file.map_window(8, 4096)), ErrorKind::InvalidInput);
        let read_only = storage.open(&path.join("f"), Access::Read).unwrap();
        assert_eq!(kind_of(read_only.map_window(0, 4096)), ErrorKind::PermissionDenied);
    });
}

#[test]
fn the_watermark_parts_readers_from_the_writer() {
    let (map, mut store) = SegmentMap::anonymous(4096).unwrap();
    let to = |end, next| Published { end, next, ..Published::default() };
    refused("a slot", || store.slot(0, 8).len());
    refused("outside of 0..=4096", || store.set_allocated(4097));
    store.set_allocated(64);
    store.slot(0, 64).fill(7);
    refused("asked for", || map.bytes(0, 1).len());
    refused("cannot follow", || store.publish(to(72, 1)));
    store.publish(to(32, 4));

    assert_eq!(map.bytes(0, 32), [7; 32]);
    assert_eq!(map.bytes(32, 32), [0u8; 0]);
    refused("asked for", || map.bytes(0, 33).len());
    refused("asked for", || map.bytes(2, 1).len());
    for (at, len) in [(31, 1), (0, 64), (32, 33), (65, 0), (usize::MAX, 2), (40, usize::MAX)] {
        refused("a slot", || store.slot(at, len).len());
    }
    for published in [to(24, 4), to(32, 3), to(72, 4)] {
        refused("cannot follow", || store.publish(published));
    }
    refused("multiple of 8", || store.publish(to(33, 4)));
    refused("outside of 32..=4096", || store.set_allocated(31));
    refused("half that stores", || map.expose(to(64, 5)));
    refused("half that stores", || map.mark_retired());
    assert_eq!((map.published(), store.published()), (to(32, 4), to(32, 4)));

    let sealed = Published { sealed: true, ..to(40, 5) };
    store.publish(sealed);
    refused("cannot follow", || store.publish(to(40, 5)));
    refused("cannot follow", || store.publish(Published { sealed: true, ..to(48, 6) }));
    drop(store);
    map.mark_retired();
    assert_eq!(map.published(), Published { retired: true, ..sealed });
}

#[test]
fn an_exposed_end_never_goes_back() {
    check_all(|storage, path| {
        put(storage, &path.join("f"), [1; 4096]);
        let map = storage.open(&path.join("f"), Access::Read).unwrap().map(4096, false).unwrap().0;
        let to = |end, next| Published { end, next, ..Published::default() };
        map.expose(to(64, 8));
        map.expose(to(32, 4));
        assert_eq!(map.published(), to(64, 8));
        map.expose(Published { sealed: true, ..to(4096, 9) });
        refused("exposed of a mapping", || map.expose(to(4104, 9)));
        map.mark_retired();
        assert_eq!(map.published(), Published { end: 4096, next: 9, sealed: true, retired: true });
        assert_eq!(map.bytes(0, 4096), [1; 4096]);
    });
}

#[test]
fn published_is_one_word() {
    let last = Published { end: u32::MAX - 7, next: u32::MAX, sealed: true, retired: true };
    let all = u64::MAX - (1 << 31);
    let none = Published::default();
    let bits = [
        (Published { sealed: true, ..none }, 1),
        (Published { retired: true, ..none }, 2),
        (Published { end: 8, ..none }, 1 << 2),
        (Published { end: 1 << 31, ..none }, 1 << 30),
        (Published { next: 1, ..none }, 1 << 32),
    ];
    for (published, word) in bits.into_iter().chain([(none, 0), (last, all)]) {
        assert_eq!((published.pack(), Published::unpack(word)), (word, published));
    }
}

#[test]
fn readers_see_whole_frames_while_the_writer_stores() {
    const FRAME: usize = 64;
    const FRAMES: usize = 20_000;
    let (map, mut store) = SegmentMap::anonymous(FRAME * FRAMES).unwrap();
    store.set_allocated(FRAME * FRAMES);
    thread::scope(|scope| {
        let readers: [_; 2] = std::array::from_fn(|_| {
            let map = map.clone();
            scope.spawn(move || {
                let mut seen = 0;
                while seen < FRAMES {
                    let published = map.published();
                    assert_eq!(published.end as usize, published.next as usize * FRAME);
                    while seen < published.next as usize {
                        let frame = map.bytes(seen * FRAME, (seen + 1) * FRAME);
                        assert!(frame.iter().all(|&byte| byte == seen as u8 | 1));
                        seen += 1;
                    }
                }
            })
        });
        for frame in 0..FRAMES {
            store.slot(frame * FRAME, FRAME).fill(frame as u8 | 1);
            store.publish(Published { end: ((frame + 1) * FRAME) as u32, next: frame as u32 + 1, ..Published::default() });
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn populating_changes_no_byte_and_reports_what_is_not_there() {
    check_all(|storage, path| {
        let file = storage.create(&path.join("f")).unwrap();
        file.set_len(64 << 10).unwrap();
        write(&*file, b"keep", 5000);
        let (map, _store) = file.map(1 << 20, true).unwrap();
        map.populate(100, (64 << 10) - 100).unwrap();
        assert_eq!(read(&*file, 5000, 4), b"keep");
        map.populate(64 << 10, 4096).unwrap_err();
        assert_eq!(kind_of(map.populate(1 << 20, 1)), ErrorKind::InvalidInput);
        assert_eq!(kind_of(map.populate(usize::MAX, 2)), ErrorKind::InvalidInput);
        map.advise_random().unwrap();
        map.advise_normal().unwrap();
        let (for_reading, _) = file.map(4096, false).unwrap();
        assert_eq!(kind_of(for_reading.populate(0, 4096)), ErrorKind::Unsupported);
    });
}

#[test]
fn released_pages_hold_what_was_stored() {
    check_all(|storage, path| {
        let file = storage.create(&path.join("f")).unwrap();
        file.set_len(64 << 10).unwrap();
        let (map, store) = file.map(64 << 10, true).unwrap();
        let mut store = store.expect("it is for storing");
        store.set_allocated(64 << 10);
        store.slot(0, 50_000).fill(7);
        store.publish(Published { end: 50_000, next: 1, ..Published::default() });
        let held = map.bytes(100, 50_000);
        for (from, to) in [(0, 50_000), (0, 0), (4095, 8192), (49_999, 50_000), (0, 64 << 10)] {
            map.release(from, to).unwrap();
            assert!(held.iter().all(|&byte| byte == 7) && map.bytes(0, 50_000).len() == 50_000, "{from}..{to}");
        }
        // A page that is being stored to is found again as well.
        let slot = store.slot(50_000, 8);
        slot[..4].fill(8);
        map.release(0, 64 << 10).unwrap();
        slot[4..].fill(8);
        store.publish(Published { end: 50_008, next: 2, ..Published::default() });
        assert_eq!(map.bytes(50_000, 50_008), [8; 8]);
        map.release(0, 50_008).unwrap();
        assert_eq!((map.bytes(49_999, 50_002), read(&*file, 49_999, 3).as_slice()), (&[7, 8, 8][..], &[7, 8, 8][..]));
        for (from, to) in [(0, (64 << 10) + 1), (2, 1), (usize::MAX, usize::MAX)] {
            assert_eq!(kind_of(map.release(from, to)), ErrorKind::InvalidInput);
        }
    });
}

#[test]
fn words_are_shared_and_can_be_for_loading_alone() {
    check_all(|storage, path| {
        let file = storage.create(&path.join("f")).unwrap();
        file.set_len(4096).unwrap();
        let stored = file.map_words(4096, true).unwrap();
        let loaded = storage.open(&path.join("f"), Access::Read).unwrap().map_words(4096, false).unwrap();
        stored.store_u64(4088, u64::MAX - 1);
        stored.u64_at(8).fetch_add(5, Ordering::AcqRel);
        stored.store_u32(4, 9);
        assert_eq!((loaded.load_u64(4088), loaded.load_u64(8), loaded.load_u32(4), loaded.load_u32(0)), (u64::MAX - 1, 5, 9, 0));
        assert_eq!(read(&*file, 8, 8), 5_u64.to_le_bytes());
        bounds_of_words(&stored);
        bounds_of_words(&loaded);
        assert!(stored.is_writable());
        for words in [loaded, stored.read_only()] {
            assert!(!words.is_writable());
            refused("loading alone", || words.store_u64(0, 1));
            refused("loading alone", || words.store_u32(0, 1));
            refused("loading alone", || words.u64_at(0).load(Ordering::Relaxed));
            refused("loading alone", || words.u32_at(0).load(Ordering::Relaxed));
        }
        assert_eq!(kind_of(file.map_words(4097, false)), ErrorKind::UnexpectedEof);
    });
    let anonymous = SharedWords::anonymous(16).unwrap();
    let clone = anonymous.clone();
    clone.store_u64(8, 3);
    assert_eq!((anonymous.load_u64(8), anonymous.len(), anonymous.is_empty()), (3, 16, false));
}

fn bounds_of_words(words: &SharedWords) {
    for position in [4, 4089, 4096, usize::MAX - 7] {
        refused("no word of 8", || words.load_u64(position));
    }
    for position in [2, 4096, usize::MAX - 3] {
        refused("no word of 4", || words.load_u32(position));
    }
}

#[test]
fn random_numbers_differ() {
    check_all(|storage, _| {
        let drawn: std::collections::HashSet<u64> = (0..1000).map(|_| storage.random()).collect();
        assert_eq!(drawn.len(), 1000);
        assert!(!drawn.contains(&0));
    });
}

/// Every call of the seam once, on fresh names under `path`.
fn every_call(storage: &dyn Storage, path: &Path) -> std::io::Result<()> {
    let (a, b) = (path.join("a"), path.join("b"));
    storage.create_dir(&path.join("sub"))?;
    storage.remove_dir(&path.join("sub"))?;
    let file = storage.create(&a)?;
    file.set_len(4096)?;
    // A file system that cannot is no fault.
    file.allocate(0, 4096).or_else(|error| if error.kind() == ErrorKind::Unsupported { Ok(()) } else { Err(error) })?;
    assert_eq!(file.write_at(b"0123456789", 0)?, 10);
    file.sync()?;
    assert_eq!(file.read_at(&mut [0; 4], 0)?, 4);
    file.len()?;
    file.map(4096, false)?;
    file.map_words(4096, false)?;
    storage.rename_new(&a, &b)?;
    storage.rename(&b, &a)?;
    storage.sync_dir(path)?;
    storage.file_system(path)?.sync()?;
    storage.list(path)?;
    storage.kind(&a)?;
    storage.is_locked(path)?;
    storage.lock(path)?;
    storage.open(&a, Access::Read)?;
    storage.unlink(&a)
}

#[test]
fn every_kind_of_call_is_counted_once() {
    let faulty = in_memory();
    every_call(&faulty, "/".as_ref()).unwrap();
    for op in Op::ALL {
        assert_eq!(faulty.count(op), 1, "{op:?}");
    }
    assert_eq!((faulty.calls(), faulty.syncs(), faulty.dir_syncs(), faulty.name_changes()), (22, 1, 1, 6));
    assert_eq!((faulty.bytes_read(), faulty.bytes_written(), faulty.fired()), (4, 10, 0));
    faulty.reset_counts();
    assert_eq!((faulty.calls(), faulty.bytes_read(), faulty.bytes_written()), (0, 0, 0));
}

#[test]
fn every_call_can_be_the_one_that_fails() {
    let mut n = 1;
    loop {
        let faulty = in_memory();
        faulty.inject(Fault::anywhere().nth(n).error(ENOSPC));
        let outcome = every_call(&faulty, "/".as_ref());
        if faulty.fired() == 0 {
            outcome.unwrap();
            break;
        }
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::StorageFull, "call {n}");
        assert_eq!((faulty.fired(), faulty.calls()), (1, n));
        n += 1;
    }
    assert_eq!(n, 23);
    for op in Op::ALL {
        let faulty = in_memory();
        faulty.inject(Fault::at(op));
        assert_eq!(every_call(&faulty, "/".as_ref()).unwrap_err().raw_os_error(), Some(EIO), "{op:?}");
        assert_eq!((faulty.fired(), faulty.count(op)), (1, 1));
    }
}

#[test]
fn a_fault_strikes_once_or_from_then_on_and_where_it_is_told_to() {
    let (faulty, directory) = faulty();
    let [a, b] = ["a.log", "b.idx"].map(|name| faulty.create(&directory.path().join(name)).unwrap());
    faulty.inject(Fault::at(Op::Sync).nth(2).on_path(".log"));
    assert!([&a, &b, &a, &b, &a].map(|file| file.sync().is_ok()) == [true, true, false, true, true]);
    faulty.inject(Fault::at(Op::Sync).nth(2).on_path(".idx").from_then_on());
    assert!([&b, &b, &a, &b].map(|file| file.sync().is_ok()) == [true, false, true, false]);
    faulty.inject(Fault::at(Op::Rename).on_path("to"));
    faulty.rename(&directory.path().join("a.log"), &directory.path().join("to")).unwrap_err();
    faulty.heal();
    b.sync().unwrap();
    assert_eq!(faulty.fired(), 4);
}

#[test]
fn reads_and_writes_are_short_and_writes_are_torn() {
    let (faulty, directory) = faulty();
    let file = faulty.create(&directory.path().join("f")).unwrap();
    faulty.inject(Fault::at(Op::Write).short(3));
    assert_eq!(file.write_at(b"abcdefgh", 0).unwrap(), 3);
    faulty.inject(Fault::anywhere().torn(2, EIO));
    file.sync().unwrap();
    let pieces = ["d", "efgh"].map(|piece| IoSlice::new(piece.as_bytes()));
    assert_eq!(file.write_vectored_at(&pieces, 3).unwrap_err().raw_os_error(), Some(EIO));
    assert_eq!(fs::read(directory.path().join("f")).unwrap(), b"abcde");
    faulty.inject(Fault::anywhere().short(1).from_then_on());
    let mut buffer = [0; 5];
    assert_eq!((file.read_at(&mut buffer, 0).unwrap(), buffer), (1, *b"a\0\0\0\0"));
    assert_eq!(read(&*file, 0, 5), b"abcde");
    assert_eq!((faulty.bytes_written(), faulty.bytes_read()), (5, 6));
}

#[test]
fn mapping_can_be_switched_off() {
    let (faulty, directory) = faulty();
    let file = faulty.create(&directory.path().join("f")).unwrap();
    file.set_len(64).unwrap();
    faulty.allow_mapping(false);
    assert_eq!(kind_of(file.map(64, true)), ErrorKind::Unsupported);
    assert_eq!(file.map_words(64, false).unwrap().len(), 64);
    faulty.allow_mapping(true);
    assert_eq!(file.map(64, false).unwrap().0.len(), 64);
}

#[test]
fn calls_are_recorded_in_order() {
    let (faulty, directory) = faulty();
    let path = directory.path().join("f");
    faulty.create(&path).unwrap();
    faulty.record_calls();
    let file = faulty.open(&path, Access::ReadWrite).unwrap();
    write(&*file, b"abc", 7);
    file.sync().unwrap();
    faulty.rename(&path, &directory.path().join("g")).unwrap();
    let calls = faulty.recorded_calls();
    assert_eq!(calls.iter().map(|call| call.op).collect::<Vec<_>>(), [Op::Open, Op::Write, Op::Sync, Op::Rename]);
    assert_eq!((&calls[1].path, calls[1].position, calls[1].bytes), (&path, 7, 3));
    assert_eq!(calls[3].to, Some(directory.path().join("g")));
    file.sync().unwrap();
    assert!(faulty.recorded_calls().is_empty());
}

/// Runs a test over every storage, the simulated one too, each in a directory of its own.
fn check_all(test: impl Fn(&dyn Storage, &Path)) {
    check(&test);
    for names in [NameModel::Strict, NameModel::Journal] {
        let disk = SimDisk::new(1, names);
        disk.create_dir("/home".as_ref()).unwrap();
        test(&disk, "/home".as_ref());
        // As it is under test: cut everywhere.
        let disk = SimDisk::new(2, names);
        disk.watch(1);
        test(&Faulty::new(Arc::new(disk)), "/".as_ref());
    }
}

/// Runs a test over the real disk, with faults and without.
fn check(test: impl Fn(&dyn Storage, &Path)) {
    let directory = tempfile::tempdir().unwrap();
    test(&Disk::new(), directory.path());
    let (faulty, directory) = faulty();
    test(&faulty, directory.path());
}

/// The disk that tests run on may be of a kind that is not synced as a whole.
fn in_memory() -> Faulty {
    Faulty::new(Arc::new(SimDisk::new(1, NameModel::Strict)))
}

fn faulty() -> (Faulty, tempfile::TempDir) {
    (Faulty::new(Arc::new(Disk::new())), tempfile::tempdir().unwrap())
}

fn write(file: &dyn File, bytes: &[u8], position: u64) {
    assert_eq!(file.write_at(bytes, position).unwrap(), bytes.len());
}

fn read(file: &dyn File, position: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let mut buffer = vec![0; len - bytes.len()];
        match file.read_at(&mut buffer, position + bytes.len() as u64).unwrap() {
            0 => break,
            read => bytes.extend(&buffer[..read]),
        }
    }
    bytes
}

fn put(storage: &dyn Storage, path: &Path, bytes: impl AsRef<[u8]>) {
    write(&*storage.create(path).unwrap(), bytes.as_ref(), 0);
}

fn get(storage: &dyn Storage, path: &Path) -> Vec<u8> {
    let file = storage.open(path, Access::Read).unwrap();
    read(&*file, 0, file.len().unwrap() as usize)
}

fn names(storage: &dyn Storage, path: &Path) -> Vec<String> {
    storage.list(path).unwrap().into_iter().map(|entry| entry.name.into_string().unwrap()).collect()
}

fn kind_of<T>(outcome: std::io::Result<T>) -> ErrorKind {
    outcome.err().expect("an error is what the test is about").kind()
}

/// The call must panic, and say why.
fn refused<T>(why: &str, call: impl FnOnce() -> T) {
    let panic = catch_unwind(AssertUnwindSafe(call)).err().expect("a panic is what the test is about");
    let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned())).unwrap();
    assert!(said.contains(why), "{said}");
}

/// The call must come back; a thread that hangs in it is left behind by the end of the process.
fn within_seconds<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        scope.spawn(move || sender.send(call()));
        match receiver.recv_timeout(Duration::from_secs(10)) {
            Ok(value) => value,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // A panic would wait for the hanging thread.
                eprintln!("the call hangs");
                std::process::exit(101);
            }
            Err(error @ mpsc::RecvTimeoutError::Disconnected) => panic!("{error}"),
        }
    })
}
