//! Reading beside a writer in another process: tailing, the end of the writer, cuts, restarts. The child is this binary, started again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidelog::{AckLevel, PartitionView, ReadError, ReadIsolation, Reader, Record, Start, Store, StoreOptions, SyncPolicy};

use crate::reading_support::{
    Home, Other, append_numbered, check_numbered, contents, copy, cpu_time, eventually, numbered, other, read_only, small, tell,
};

/// The other process of most tests here: opens the store for writing and does as it is told, a line at a time.
#[test]
fn writer() {
    let Some((dir, how)) = other() else { return };
    let options = StoreOptions::new().sync_policy(how.parse().unwrap()).segment_bytes(64 << 10);
    let store = options.open(dir).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    tell("open", partition.log_end_offset());
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (verb, number) = line.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        match verb {
            "append" => append_numbered(&partition, partition.log_end_offset().get()..number),
            // Other values than the numbered ones.
            "other" => {
                while partition.log_end_offset().get() < number {
                    partition.append_with(Record::new("other"), AckLevel::Written).unwrap();
                }
            }
            "flush" => drop(partition.flush().unwrap()),
            "delete" => partition.delete_prefix(number).unwrap(),
            "truncate" => partition.truncate_suffix(number).unwrap(),
            "close" => break,
            _ => panic!("{line}"),
        }
        tell("done", partition.log_end_offset());
    }
    drop(partition);
    store.close().unwrap();
    tell("closed", "");
}

fn start(home: &Home, how: &str) -> Other {
    let mut writer = Other::start("follow::writer", home.path(), how);
    writer.hear("open");
    writer
}

fn tell_writer(writer: &mut Other, line: &str) {
    writer.say(line);
    writer.hear("done");
}

fn written(view: &PartitionView) -> PartitionView {
    view.with_isolation(ReadIsolation::Written)
}

/// Reads everything that comes until offset `end`, and checks that it is what was appended.
fn read_until(reader: &mut Reader, end: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while reader.offset().get() < end {
        let next = reader.offset().get();
        match reader.next() {
            Some(record) => {
                let record = record.unwrap();
                assert_eq!(record.offset().get(), next);
                assert_eq!(record.value().unwrap(), numbered(next));
            }
            None => {
                assert!(Instant::now() < deadline, "stuck at {next} of {end}");
                reader.wait(Duration::from_millis(200)).unwrap();
            }
        }
    }
}

/// Tails while the writer appends, over many rolls, one append and many at a time.
fn check_tail(how: &str, isolation: ReadIsolation) {
    let home = Home::new();
    let mut writer = start(&home, how);
    let mut reader = home.read_only().with_isolation(isolation).read(Start::Earliest).unwrap();
    assert!(reader.next().is_none());
    let mut end = 0;
    for step in [1, 1, 10, 1, 3000, 1, 1, 5000, 1, 700] {
        end += step;
        tell_writer(&mut writer, &format!("append {end}"));
        read_until(&mut reader, end);
    }
    // An index was kept of what came: any record can be had, and the last ones without reading all.
    let view = reader.view();
    for offset in (0..end).step_by(371) {
        assert_eq!(view.get(offset).unwrap().value().unwrap(), numbered(offset));
    }
    assert_eq!(view.read(Start::Last(3)).unwrap().count(), 3);
    assert_eq!(view.read_backwards(end).unwrap().count() as u64, end);
    assert_eq!(check_numbered(view, 0), end);
}

#[test]
fn tail_of_written_records_under_group() {
    check_tail("group", ReadIsolation::Written);
}

#[test]
fn tail_of_committed_records_under_group() {
    check_tail("group", ReadIsolation::Committed);
}

#[test]
fn tail_under_interval() {
    check_tail("interval:5ms", ReadIsolation::Committed);
}

#[test]
fn tail_under_os_only() {
    check_tail("os", ReadIsolation::Written);
}

/// Nothing is synced, so that no round tells the marks: the high water mark moves with each append all the same.
#[test]
fn committed_tail_under_os_only() {
    check_tail("os", ReadIsolation::Committed);
}

/// In one process with the writer: a read-only open has its own view, so each wake must see what is new and nothing else is read again.
#[test]
fn a_wake_reads_what_is_new_and_no_more() {
    let home = Home::new();
    let (_store, partition) = home.partition(StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(4 << 20));
    append_numbered(&partition, 0..20_000);
    let (faulty, options) = crate::reading_support::faulty();
    let view = written(&options.open_read_only(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap());
    let mut reader = view.read(Start::Latest).unwrap();
    append_numbered(&partition, 20_000..20_001);
    read_until(&mut reader, 20_001);
    for number in 20_001..20_050 {
        faulty.reset_counts();
        append_numbered(&partition, number..number + 1);
        read_until(&mut reader, number + 1);
        // The lock and the header of LIVE, what is new to verify it, what is new to hand it out.
        assert!(faulty.bytes_read() < 6144, "{} bytes read for one record", faulty.bytes_read());
    }
}

#[test]
fn isolation_tells_written_from_committed() {
    let home = Home::new();
    let mut writer = start(&home, "interval:60s");
    tell_writer(&mut writer, "append 10");
    let view = home.read_only();
    assert_eq!((view.high_water_mark().get(), view.durable_end_offset().get(), view.log_end_offset().get()), (0, 0, 10));
    assert_eq!(check_numbered(&view, 0), 0);
    assert_eq!(check_numbered(&written(&view), 0), 10);
    tell_writer(&mut writer, "flush 0");
    view.refresh().unwrap();
    assert_eq!((view.high_water_mark().get(), view.durable_end_offset().get()), (10, 10));
    assert_eq!(check_numbered(&view, 0), 10);
}

/// Another process that tails and says what it costs.
#[test]
fn idle_follower() {
    let Some((dir, _)) = other() else { return };
    let view = written(&read_only(&dir));
    let mut reader = view.read(Start::Latest).unwrap();
    tell("ready", "");
    let (cpu, wall) = (cpu_time(), Instant::now());
    while wall.elapsed() < Duration::from_secs(2) {
        assert!(!reader.wait(Duration::from_secs(2).saturating_sub(wall.elapsed())).unwrap());
    }
    tell("cost", format!("{} {}", (cpu_time() - cpu).as_micros(), wall.elapsed().as_micros()));
}

fn check_idle(dir: &std::path::Path) {
    let mut follower = Other::start("follow::idle_follower", dir, "");
    follower.hear("ready");
    let cost: Vec<u64> = follower.hear("cost").split(' ').map(|number| number.parse().unwrap()).collect();
    assert!(cost[0] * 100 < cost[1], "{} us of CPU in {} us: over 1 % of a core", cost[0], cost[1]);
}

#[test]
fn an_idle_follower_costs_under_a_hundredth_of_a_core() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..5000);
    check_idle(home.path());
    drop(partition);
    store.close().unwrap();
    // Without a writer too.
    check_idle(home.path());
}

/// An append in one process is seen in another as soon as its sync ends.
#[test]
fn a_follower_is_woken_by_the_sync() {
    let home = Home::new();
    let (_store, partition) = home.partition(StoreOptions::new());
    partition.append(Record::new("first")).unwrap();
    let view = home.read_only();
    let mut waits = Vec::new();
    for _ in 0..20 {
        let mut reader = view.read(Start::Latest).unwrap();
        let waiting = std::thread::spawn(move || {
            assert!(reader.wait(Duration::from_secs(10)).unwrap());
            Instant::now()
        });
        std::thread::sleep(Duration::from_millis(30));
        partition.append(Record::new("next")).unwrap();
        let appended = Instant::now();
        waits.push(waiting.join().unwrap().saturating_duration_since(appended));
        view.refresh().unwrap();
    }
    waits.sort();
    assert!(waits[10] < Duration::from_millis(20), "{waits:?}");
}

#[test]
fn looking_changes_nothing() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..3000);
    partition.flush().unwrap();
    drop(partition);
    store.close().unwrap();
    let before = contents(home.path());
    let view = home.read_only();
    assert_eq!(check_numbered(&view, 0), 3000);
    assert_eq!(view.info().unwrap().log_end_offset, 3000);
    assert_eq!(view.verify(true, &mut |_| {}).unwrap().records, 3000);
    assert_eq!(contents(home.path()), before);
}

/// As after a kill at the worst moment: half a frame behind the last one.
#[test]
fn after_a_kill_exactly_what_recovery_keeps_is_served() {
    for (torn, how) in [(false, "os"), (true, "os"), (false, "group"), (true, "interval:10ms")] {
        let home = Home::new();
        let mut writer = start(&home, how);
        tell_writer(&mut writer, "append 2500");
        writer.kill();
        if torn {
            tear_the_end(&home);
        }
        let before = contents(home.path());
        let view = home.read_only();
        let kept = check_numbered(&view, 0);
        assert_eq!((kept, view.high_water_mark().get()), (if torn { 2499 } else { 2500 }, kept));
        assert_eq!(contents(home.path()), before);
        let twin = copy(home.path());
        let store = Store::open(twin.path()).unwrap();
        let recovered = store.existing_topic("t").unwrap().partition(0).unwrap();
        assert_eq!((recovered.log_start_offset(), recovered.log_end_offset().get()), (view.log_start_offset(), kept));
        assert_eq!(check_numbered(recovered.view(), 0), kept);
        assert_eq!(recovered.recovery_report().damage, view.damage());
    }
}

/// Changes the last byte of the last record.
fn tear_the_end(home: &Home) {
    let (path, position) = written(&home.read_only()).locate(2499).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = position.get() as usize + 70;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_reader_outlives_the_writer_and_follows_the_next_one() {
    let home = Home::new();
    let mut writer = start(&home, "os");
    tell_writer(&mut writer, "append 1000");
    let mut reader = written(&home.read_only()).read(Start::Earliest).unwrap();
    read_until(&mut reader, 1000);
    writer.kill();
    assert!(!reader.wait(Duration::from_millis(250)).unwrap());
    for end in [1500, 2600, 2601] {
        let mut writer = start(&home, "os");
        tell_writer(&mut writer, &format!("append {end}"));
        read_until(&mut reader, end);
        if end % 2 == 0 {
            writer.kill();
        } else {
            writer.say("close 0");
            writer.hear("closed");
        }
    }
    assert_eq!(check_numbered(reader.view(), 0), 2601);
}

#[test]
fn deleting_the_prefix_meanwhile_is_a_typed_answer() {
    let home = Home::new();
    let mut writer = start(&home, "os");
    tell_writer(&mut writer, "append 5000");
    let view = written(&home.read_only());
    let mut behind = view.read(Start::Earliest).unwrap();
    read_until(&mut behind, 10);
    let held = view.get(20).unwrap();
    let mut ahead = view.read_from(4000).unwrap();
    tell_writer(&mut writer, "delete 3000");
    let error = behind.find_map(Result::err).expect("what is not there any more");
    assert!(matches!(error, ReadError::OffsetOutOfRange { earliest, .. } if earliest == 3000), "{error}");
    assert_eq!(held.value().unwrap(), numbered(20));
    tell_writer(&mut writer, "append 6000");
    read_until(&mut ahead, 6000);
    assert_eq!((view.log_start_offset().get(), view.damage()), (3000, vec![]));
    assert!(matches!(view.get(2999), Err(ReadError::OffsetOutOfRange { .. })));
    assert_eq!(check_numbered(&view, 3000), 6000);
}

/// One thread reads a view that another one brings up to date.
#[test]
fn who_has_read_what_was_cut_off_is_told_before_it_reads_on() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let fill = |generation: u64| {
        for _ in 0..1000 {
            partition.append_with(Record::new(&generation.to_string()), AckLevel::Written).unwrap();
        }
    };
    fill(0);
    let (view, done) = (written(&home.read_only()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let records: Vec<_> = view.read_from(10).unwrap().map_while(Result::ok).collect();
                let values: BTreeSet<_> = records.iter().map(|record| record.value()).collect();
                assert!(values.len() <= 1, "one reader was shown records of two generations: {values:?}");
            }
        });
        for generation in 1..=100 {
            partition.truncate_suffix(10).unwrap();
            fill(generation);
            view.refresh().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn truncating_the_suffix_meanwhile_shows_the_new_records() {
    let home = Home::new();
    let mut writer = start(&home, "os");
    tell_writer(&mut writer, "append 3000");
    let view = written(&home.read_only());
    let mut reader = view.read_from(1990).unwrap();
    let mut far = view.read_from(2900).unwrap();
    read_until(&mut reader, 2100);
    read_until(&mut far, 3000);
    tell_writer(&mut writer, "truncate 2000");
    view.refresh().unwrap();
    assert!(matches!(far.next(), Some(Err(ReadError::Truncated { at, next })) if at == 2000 && next == 3000));
    tell_writer(&mut writer, "other 2500");
    view.refresh().unwrap();
    let values: Vec<_> = view.read_from(1999).unwrap().map(|record| record.unwrap().value().unwrap().to_vec()).collect();
    assert_eq!((values.len(), &values[0]), (501, &numbered(1999)));
    assert!(values[1..].iter().all(|value| value == b"other"));
    // A reader that stood behind the cut is told, and goes on in what is there now if it wants to.
    assert!(matches!(reader.next(), Some(Err(ReadError::Truncated { at, next })) if at == 2000 && next == 2100));
    reader.seek(2100);
    assert_eq!(reader.next().unwrap().unwrap().value().unwrap(), b"other");
    assert_eq!(view.damage(), vec![]);
}

/// One reader waits for a long time: others of the same view are not held up by it.
#[test]
fn a_waiting_reader_is_in_nobodys_way() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..100);
    let view = written(&home.read_only());
    let mut waiting = view.read(Start::Latest).unwrap();
    let thread = std::thread::spawn(move || waiting.wait(Duration::from_secs(1)).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    for _ in 0..20 {
        view.refresh().unwrap();
    }
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert!(!thread.join().unwrap());
}

/// A writer that rolls all the time, deletes and truncates: whoever reads beside it sees dense offsets, right values, or typed answers.
#[test]
fn reading_beside_a_restless_writer() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..1000);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let seconds = crate::reading_support::size("TIDELOG_RESTLESS_S", 2);
    std::thread::scope(|scope| {
        let restless = scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < deadline {
                let end = partition.log_end_offset().get();
                append_numbered(&partition, end..end + 2000);
                // What is cut off is appended again, the same.
                partition.truncate_suffix(end + 1500).unwrap();
                append_numbered(&partition, end + 1500..end + 1600);
                partition.delete_prefix(end.saturating_sub(3000)).unwrap();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let readers: Vec<_> = [home.read_only(), home.read_only(), partition.view().clone()]
            .into_iter()
            .map(|view| {
                let stop = &stop;
                scope.spawn(move || read_restlessly(&written(&view), stop))
            })
            .collect();
        restless.join().unwrap();
        for reader in readers {
            assert!(reader.join().unwrap() > 1000);
        }
    });
    eventually("a view that is up to date", || {
        let view = written(&home.read_only());
        view.damage().is_empty() && check_numbered(&view, view.log_start_offset().get()) == partition.log_end_offset().get()
    });
    assert_eq!(partition.view().damage(), vec![]);
}

fn read_restlessly(view: &PartitionView, stop: &std::sync::atomic::AtomicBool) -> u64 {
    let mut reader = view.read(Start::Earliest).unwrap();
    let mut seen = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let next = reader.offset().get();
        match reader.next() {
            None => allow_busy(reader.wait(Duration::from_millis(5)).map(drop)),
            Some(Ok(record)) => {
                assert_eq!(record.offset().get(), next);
                assert_eq!(record.value().unwrap(), numbered(next));
                seen += 1;
            }
            Some(Err(ReadError::OffsetOutOfRange { earliest, latest, .. })) => {
                allow_busy(view.refresh());
                reader.seek(if next < earliest.get() { view.log_start_offset() } else { latest.min(view.end_offset()) });
            }
            Some(Err(ReadError::Truncated { at, next: told })) => {
                assert!(at < told && told == next);
                reader.seek(at);
            }
            Some(Err(error)) => {
                allow_busy(Err(error));
                reader.seek(next);
            }
        }
    }
    seen
}

/// A log that changes faster than it can be looked at is a typed answer too: try again.
fn allow_busy(outcome: Result<(), ReadError>) {
    match outcome {
        Ok(()) => {}
        Err(ReadError::Open(error)) if matches!(*error, tidelog::OpenError::Busy { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
