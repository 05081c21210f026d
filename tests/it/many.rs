//! Many partitions in one store, killed while all of them have something that no checkpoint covers. `TIDELOG_MANY=N` sets how many: see
//! `.ci/long many`, which prints the times.

use std::time::{Duration, Instant};

use tidelog::{AckLevel, Record, StoreOptions, SyncPolicy};

use crate::reading_support::{Home, Other, other, size, tell};

/// A topic has no more partitions.
const A_TOPIC: u64 = 4096;

fn options() -> StoreOptions {
    StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(1 << 20)
}

fn topics(partitions: u64) -> impl Iterator<Item = (String, u32)> {
    (0..partitions.div_ceil(A_TOPIC)).map(move |topic| (format!("t{topic}"), A_TOPIC.min(partitions - topic * A_TOPIC) as u32))
}

#[test]
fn many_partitions_recover_at_first_touch_and_behind_it() {
    if let Some((dir, how)) = other() {
        return fill(&dir, how.parse().unwrap());
    }
    let partitions = size("TIDELOG_MANY", 40);
    let home = Home::new();
    let mut writer = Other::start("many::many_partitions_recover_at_first_touch_and_behind_it", home.path(), &partitions.to_string());
    writer.hear("filled");
    writer.child.kill().unwrap();
    writer.child.wait().unwrap();
    let began = Instant::now();
    let store = options().open(home.path()).unwrap();
    let opened = began.elapsed();
    let log = store.topic("t0").unwrap().partition(7).unwrap();
    let ack = log.append_with(Record::new("first"), AckLevel::Written).unwrap();
    let first = began.elapsed();
    assert_eq!(ack.base_offset, 16);
    // The threads of the store recover the others.
    let (done, mut most_files, mut most_maps) = (std::sync::atomic::AtomicBool::new(false), 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            store.wait_recovered();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            most_files = most_files.max(open_files(home.path()));
            most_maps = most_maps.max(maps_of(home.path()));
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let recovered = began.elapsed();
    println!(
        "{partitions} partitions: open {opened:?}, first append {first:?}, all recovered {recovered:?}, at most {most_files} files open, {most_maps} maps"
    );
    assert!(most_files < 64, "{most_files} files open at once");
    assert!(most_maps < 64, "{most_maps} maps at once");
    for (name, count) in topics(partitions) {
        let topic = store.topic(&name).unwrap();
        for number in 0..count {
            topic.partition(number).unwrap().append_with(Record::new("one more"), AckLevel::Written).unwrap();
        }
    }
    let (files, maps) = (open_files(home.path()), maps_of(home.path()));
    println!("each appended to: {files} files open, {maps} maps, {} bytes to scan", store.uncheckpointed_bytes());
    assert!(files as u64 <= 2 * partitions + 64, "{files} files open");
    assert!(maps as u64 <= 2 * partitions + 64, "{maps} maps");
    store.close().unwrap();
    let store = options().open(home.path()).unwrap();
    for (name, count) in topics(partitions) {
        let topic = store.topic(&name).unwrap();
        for number in (0..count).step_by((partitions / 40).max(1) as usize) {
            let log = topic.partition(number).unwrap();
            assert_eq!((log.recovery_report().scanned_bytes, log.log_end_offset().get() >= 16), (0, true), "{name}/{number}");
            assert_eq!(log.get(3).unwrap().value().unwrap(), [3; 4096]);
        }
    }
}

#[test]
fn partitions_have_no_threads() {
    if let Some((dir, how)) = other() {
        let store = options().open(&dir).unwrap();
        let topic = store.create_topic("t", 200).unwrap();
        for number in 0..how.parse().unwrap() {
            topic.partition(number).unwrap().append_with(Record::new(&[7; 4096]), AckLevel::Written).unwrap();
        }
        return tell("threads", std::fs::read_dir("/proc/self/task").unwrap().count());
    }
    let [one, many] = [1, 200].map(|partitions| {
        let home = Home::new();
        Other::start("many::partitions_have_no_threads", home.path(), &partitions.to_string()).hear("threads")
    });
    assert_eq!(one, many, "threads of a process with one partition, and with 200");
}

fn maps_of(dir: &std::path::Path) -> usize {
    let dir = dir.to_str().unwrap();
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains(dir)).count()
}

fn open_files(dir: &std::path::Path) -> usize {
    let is_ours = |fd: std::io::Result<std::fs::DirEntry>| std::fs::read_link(fd.unwrap().path()).is_ok_and(|target| target.starts_with(dir));
    std::fs::read_dir("/proc/self/fd").unwrap().filter(|fd| fd.as_ref().is_ok()).map(is_ours).filter(|is_ours| *is_ours).count()
}

/// 64 KiB in each, none of it checkpointed; then waits to be killed.
fn fill(dir: &std::path::Path, partitions: u64) {
    let store = options().without_threads().open(dir).unwrap();
    for (name, count) in topics(partitions) {
        let topic = store.create_topic(&name, count).unwrap();
        for number in 0..count {
            let log = topic.partition(number).unwrap();
            for byte in 0..16 {
                log.append_with(Record::new(&[byte; 4096]), AckLevel::Written).unwrap();
            }
        }
    }
    tell("filled", "");
    std::thread::sleep(Duration::from_secs(600));
}
