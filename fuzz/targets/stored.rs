//! Stores that targets damage: written by the engine on a simulated disk, the same in every run but for their clock.

use std::sync::OnceLock;

use tidelog::io::sim::{Image, NameModel, SimDisk};
use tidelog::{AckLevel, OnDamage, Partition, Record, TimestampNs};

use super::served::{STORE, Served, TOPIC, look, open, options};

/// A store whose topic has an empty partition.
pub fn empty() -> &'static Image {
    static EMPTY: OnceLock<Image> = OnceLock::new();
    EMPTY.get_or_init(|| written(|_| ()).image())
}

/// A log in files, and what it serves.
pub struct Stored {
    pub image: Image,
    pub served: Served,
}

/// Three segments, closed: the first two are sealed and have an index.
pub fn closed() -> &'static Stored {
    static CLOSED: OnceLock<Stored> = OnceLock::new();
    CLOSED.get_or_init(|| stored(written(fill)))
}

/// The same, killed: the last checkpoint covers a part of it.
pub fn killed() -> &'static Stored {
    static KILLED: OnceLock<Stored> = OnceLock::new();
    KILLED.get_or_init(|| {
        let disk = SimDisk::new(7, NameModel::Strict);
        let store = options(&disk).open(STORE).expect("a new store");
        let partition = store.topic(TOPIC).and_then(|topic| topic.partition(0)).expect("a new topic");
        fill(&partition);
        let disk = disk.kill();
        drop((partition, store));
        stored(disk)
    })
}

fn written(write: impl FnOnce(&Partition)) -> SimDisk {
    let disk = SimDisk::new(7, NameModel::Strict);
    let store = options(&disk).open(STORE).expect("a new store");
    write(&store.topic(TOPIC).and_then(|topic| topic.partition(0)).expect("a new topic"));
    store.run_background();
    store.close().expect("nothing fails");
    disk
}

/// 36 records of 4 KB, every third of them an hour too early.
fn fill(partition: &Partition) {
    for number in 0..36_i64 {
        let time = TimestampNs::new((1_700_000_000 + number * 60 - if number % 3 == 0 { 3600 } else { 0 }) * 1_000_000_000);
        let value: Vec<u8> = (0..4000).map(|byte| (byte * 7 + number) as u8).collect();
        let level = if number == 20 { AckLevel::Durable } else { AckLevel::Written };
        partition.append_with(Record::new(&value).key(&[number as u8]).timestamp(time), level).expect("nothing fails");
    }
}

fn stored(disk: SimDisk) -> Stored {
    let image = disk.image();
    let served = Served::of(&look(&disk).expect("it is whole"));
    assert_eq!((served.rows.len(), served.lost.len()), (36, 0));
    // What recovery makes of it is the same.
    let (_store, partition) = open(&image.disk(1, NameModel::Strict), OnDamage::Refuse).expect("it is whole");
    assert_eq!(Served::of(partition.view()), served);
    Stored { image, served }
}
