//! How far members are behind in what they were assigned, and what is shown of partitions and members that have none.

use std::time::Duration;

use tidelog::group::{ConsumerProtocolAssignment, MemberLagReport, SyncRequest, TopicPartition};
use tidelog::{
    CommittedOffset, GroupId, GroupMetadata, LagError, LagLimits, LagSubject, LagWatch, MemberMetadata, MemoryOffsetStore, OffsetStore, PartitionKey,
    PartitionOffsetRegistry, Record, Store, TimestampNs, Topic, TopicError,
};

use crate::group_support::{Groups, answer, group, request};
use crate::reading_support::{small, ts};
use crate::support::tempdir;

const SECOND: i64 = 1_000_000_000;

/// A topic of four partitions with ten records each, of seconds 0 to 9.
struct Shop {
    _dir: tempfile::TempDir,
    orders: Topic,
    registry: PartitionOffsetRegistry,
    positions: MemoryOffsetStore,
    billing: GroupId,
}

impl Shop {
    fn open() -> Self {
        let dir = tempdir();
        let store: Store = small().open(dir.path()).unwrap();
        let orders = store.create_topic("shop/orders", 4).unwrap();
        for number in 0..4 {
            for second in 0..10 {
                orders.partition(number).unwrap().append(Record::new("12 apples").timestamp(ts(second * SECOND))).unwrap();
            }
        }
        let registry = PartitionOffsetRegistry::new(store);
        Self { _dir: dir, orders, registry, positions: MemoryOffsetStore::new(), billing: "billing".parse().unwrap() }
    }

    fn key(&self, number: u32) -> PartitionKey {
        self.orders.partition_key(number).unwrap()
    }

    fn commit(&self, number: u32, offset: u64) {
        self.positions.commit(&self.billing, &[(self.key(number), CommittedOffset::new(offset, ts(0)))]).unwrap();
    }

    fn save(&self, protocol_type: &str, members: &[(&str, Vec<u8>)]) {
        let mut metadata = GroupMetadata::empty(1, ts(0));
        metadata.protocol_type = protocol_type.to_owned();
        for (member, assignment) in members {
            metadata.members.insert((*member).to_owned(), MemberMetadata { assignment: assignment.clone(), ..MemberMetadata::default() });
        }
        assert!(self.positions.save_group(&self.billing, &metadata).unwrap());
    }

    fn look(&self) -> MemberLagReport {
        let groups = self.positions.groups().unwrap();
        let report = self.registry.lag(&self.positions, &groups).unwrap();
        MemberLagReport::gather(report, &self.positions, &groups, |partition| {
            let is_there = partition.topic == *self.orders.name() && partition.partition < self.orders.partition_count();
            is_there.then(|| self.orders.partition_key(partition.partition)).transpose()
        })
        .unwrap()
    }
}

fn assigned(partitions: &[&str]) -> Vec<u8> {
    let partition = |text: &&str| {
        let (topic, number) = text.rsplit_once('-').unwrap();
        TopicPartition::new(topic.parse().unwrap(), number.parse().unwrap())
    };
    ConsumerProtocolAssignment::of(&partitions.iter().map(partition).collect::<Vec<_>>()).encode(3).unwrap()
}

#[test]
fn each_member_has_the_lag_of_its_partitions() {
    let shop = Shop::open();
    shop.commit(0, 4);
    shop.commit(1, 9);
    shop.commit(3, 2);
    let members = [
        ("billing-1", assigned(&["shop/orders-0", "shop/orders-1"])),
        ("billing-2", assigned(&["shop/orders-2", "shop/orders-9", "shop/gone-0"])),
        ("billing-3", assigned(&[])),
    ];
    shop.save("consumer", &members);
    let report = shop.look();
    let rows: Vec<_> = report.rows.iter().map(|row| (row.partition.clone(), row.member.as_deref(), row.lag.map(|lag| lag.records))).collect();
    let expected = [
        (shop.key(0), Some("billing-1"), Some(6)),
        (shop.key(1), Some("billing-1"), Some(1)),
        (shop.key(2), Some("billing-2"), None),
        (shop.key(3), None, Some(8)),
    ];
    assert_eq!(rows, expected);
    let now = TimestampNs::new(60 * SECOND);
    let members: Vec<_> =
        report.members.iter().map(|member| (member.member.as_str(), member.partitions.len(), member.lag.records, member.lag.age(now))).collect();
    let age = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(members, [("billing-1", 2, 7, age(56)), ("billing-2", 1, 0, age(0)), ("billing-3", 0, 0, age(0))]);
    assert!(report.members.iter().all(|member| !member.is_unreadable));
}

#[test]
fn what_cannot_be_read_is_no_assignment_of_nothing() {
    let shop = Shop::open();
    shop.commit(0, 4);
    shop.save("consumer", &[("billing-1", vec![1, 2, 3]), ("billing-2", vec![])]);
    let told = |report: MemberLagReport| report.members.iter().map(|member| member.is_unreadable).collect::<Vec<_>>();
    assert_eq!(told(shop.look()), [true, false]);
    assert_eq!(shop.look().sums().into_keys().collect::<Vec<_>>(), [LagSubject::Member(shop.billing.clone(), "billing-2".to_owned())]);
    // Bytes of another protocol may look like one of this.
    shop.save("connect", &[("billing-1", assigned(&["shop/orders-0"]))]);
    let report = shop.look();
    assert_eq!((report.rows[0].member.as_ref(), told(report.clone())), (None, vec![true]));
}

/// The lag goes where the partitions go, and who is not watched is not told of.
#[test]
fn members_are_watched_or_one_of_them() {
    let shop = Shop::open();
    shop.commit(0, 4);
    shop.commit(1, 9);
    let looks = [
        vec![("billing-1", assigned(&["shop/orders-0"])), ("billing-2", assigned(&["shop/orders-1"]))],
        vec![("billing-1", assigned(&["shop/orders-0"])), ("billing-2", assigned(&["shop/orders-1"]))],
        vec![("billing-1", assigned(&[])), ("billing-2", assigned(&["shop/orders-0", "shop/orders-1"]))],
        vec![("billing-1", assigned(&["shop/orders-0"])), ("billing-2", vec![1, 2, 3])],
        vec![],
    ];
    let limits = LagLimits { records: Some(5), age: None };
    let (mut all, mut first) = (Vec::new(), Vec::new());
    let mut watch_all = LagWatch::new(limits, |event| all.push((event.subject.clone(), event.lag.records, event.is_over)));
    let mut watch_first = LagWatch::new(limits, |event| first.push((event.subject.clone(), event.lag.records, event.is_over)));
    let member = |id: &str| LagSubject::Member(shop.billing.clone(), id.to_owned());
    for members in &looks {
        shop.save("consumer", members);
        let mut sums = shop.look().sums();
        watch_all.observe(&sums, ts(0));
        sums.retain(|subject, _| *subject == member("billing-1"));
        watch_first.observe(&sums, ts(0));
    }
    let expected = [
        (member("billing-1"), 6, true),
        (member("billing-1"), 0, false),
        (member("billing-2"), 7, true),
        (member("billing-1"), 6, true),
        (member("billing-2"), 0, false),
        (member("billing-1"), 0, false),
    ];
    assert_eq!(all, expected);
    assert_eq!(first, [(6, true), (0, false), (6, true), (0, false)].map(|(records, is_over)| (member("billing-1"), records, is_over)));
}

#[test]
fn a_group_without_members_has_the_lag_it_has() {
    let shop = Shop::open();
    shop.commit(0, 4);
    let gone = PartitionKey { topic: "shop/gone".parse().unwrap(), ..shop.key(0) };
    shop.positions.commit(&shop.billing, &[(gone.clone(), CommittedOffset::new(0, ts(0)))]).unwrap();
    let report = shop.look();
    assert_eq!((report.rows.len(), report.members.len()), (1, 0));
    assert_eq!(report.without_partition, [(shop.billing.clone(), gone)]);
}

#[test]
fn what_cannot_be_found_is_an_error() {
    let shop = Shop::open();
    shop.save("consumer", &[("billing-1", assigned(&["shop/orders-0"]))]);
    let groups = shop.positions.groups().unwrap();
    let found = MemberLagReport::gather(shop.registry.lag(&shop.positions, &groups).unwrap(), &shop.positions, &groups, |_| {
        Err(TopicError::Internal { name: "_tidelog/offsets".to_owned() })
    });
    assert!(matches!(found, Err(LagError::Find { partition, .. }) if partition == "shop/orders-0"));
}

#[test]
fn what_a_coordinator_keeps_is_read() {
    let groups = Groups::new();
    let joined = groups.joined(&request("billing"));
    let assignments = vec![(joined.member_id.clone(), assigned(&["t-0", "t-1"]))];
    let sync = SyncRequest { member: joined.identity(), protocol: None, assignments };
    answer(&mut groups.coordinator.sync(&group(), sync)).unwrap();
    groups.commit(&joined.identity(), 0, 40).unwrap();
    let report = PartitionOffsetRegistry::new(groups.store.clone()).lag(&*groups.offsets, &[group()]).unwrap();
    let report = MemberLagReport::gather(report, &*groups.offsets, &[group()], |partition| Ok(Some(groups.key(partition.partition)))).unwrap();
    let rows: Vec<_> = report.rows.iter().map(|row| (row.member.as_deref(), row.lag.map(|lag| lag.records))).collect();
    let member = joined.member_id.as_str();
    assert_eq!(rows, [(Some(member), Some(60)), (Some(member), None)]);
    assert_eq!((report.members[0].member.as_str(), report.members[0].lag.records), (member, 60));
}
