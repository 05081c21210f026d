//! `groups`: listed and described beside a writer, deleted, and their positions moved: all that were asked for, or none.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidelog::group::{ConsumerProtocolAssignment, TopicPartition};
use tidelog::{CommittedOffset, GroupMetadata, LogOffsetStore, MemberMetadata, OffsetStore, PartitionKey, Record, Store, TimestampNs};

use crate::sandbox::Sandbox;

const SECOND: i64 = 1_000_000_000;

/// Three partitions with ten records each, of seconds 1,000 to 1,009; the first three of partition 0 are deleted. `billing` is at 4 and 10 and
/// has two members, of which one has the partitions 0 and 2; `audit` is at 1.
struct Shop {
    sandbox: Sandbox,
    store: Store,
    positions: LogOffsetStore,
    keys: Vec<PartitionKey>,
}

impl Shop {
    fn open() -> Self {
        let sandbox = Sandbox::new();
        let store = Store::open(sandbox.path("data")).unwrap();
        let topic = store.create_topic("shop/orders", 3).unwrap();
        for number in 0..3 {
            for second in 0..10 {
                let value = format!("order {second} of {number}");
                let record = Record::new(&value).timestamp(TimestampNs::new((1_000 + second) * SECOND));
                topic.partition(number).unwrap().append(record).unwrap();
            }
        }
        topic.partition(0).unwrap().delete_prefix(3).unwrap();
        let keys: Vec<_> = (0..3).map(|number| topic.partition_key(number).unwrap()).collect();
        let positions = LogOffsetStore::open(&store).unwrap();
        keep(&positions, &keys);
        Self { sandbox, store, positions, keys }
    }

    /// A store that nobody writes to.
    fn closed() -> Sandbox {
        let Self { sandbox, store, positions, .. } = Self::open();
        drop(positions);
        store.close().unwrap();
        sandbox
    }
}

fn keep(positions: &dyn OffsetStore, keys: &[PartitionKey]) {
    let at = |offset: u64| CommittedOffset::new(offset, TimestampNs::new(0));
    let noted = CommittedOffset { metadata: "batch 17".to_owned(), expires_at: Some(TimestampNs::new(4_000_000_000 * SECOND)), ..at(4) };
    positions.commit(&"billing".parse().unwrap(), &[(keys[0].clone(), noted), (keys[1].clone(), at(10))]).unwrap();
    positions.commit(&"audit".parse().unwrap(), &[(keys[0].clone(), at(1))]).unwrap();
    positions.save_group(&"billing".parse().unwrap(), &metadata()).unwrap();
}

fn metadata() -> GroupMetadata {
    let partitions = [0, 2].map(|number| TopicPartition::new("shop/orders".parse().unwrap(), number));
    let member = |client: &str, partitions: &[TopicPartition]| MemberMetadata {
        client_id: client.to_owned(),
        client_host: "10.0.0.5".to_owned(),
        instance_id: (client == "till").then(|| "till-1".to_owned()),
        assignment: ConsumerProtocolAssignment::of(partitions).encode(0).unwrap(),
        ..MemberMetadata::default()
    };
    let mut metadata = GroupMetadata::empty(7, TimestampNs::new(5));
    (metadata.protocol_type, metadata.protocol) = ("consumer".to_owned(), Some("sticky".to_owned()));
    metadata.leader = Some("till-a".to_owned());
    metadata.members = [("till-a".to_owned(), member("till", &partitions)), ("idle-b".to_owned(), member("idle", &[]))].into();
    metadata
}

fn look(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    serde_json::from_str(&sandbox.ok(&[&["groups", "data"], arguments, &["--json"]].concat())).unwrap()
}

/// Committed offsets of a group by partition.
fn committed(sandbox: &Sandbox, group: &str) -> Vec<(u64, u64)> {
    let described = look(sandbox, &["describe", group]);
    let rows = described["partitions"].as_array().unwrap().iter();
    rows.filter_map(|row| Some((row["partition"].as_u64().unwrap(), row["committed_offset"].as_u64()?))).collect()
}

fn reset<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["groups", "data", "reset", "billing", "--topic", "shop/orders"], arguments].concat()
}

#[test]
fn groups_are_listed_and_described_beside_a_writer_or_none() {
    let shop = Shop::open();
    for beside in ["a writer", "none"] {
        if beside == "none" {
            shop.store.clone().close().unwrap();
        }
        let mut listed = look(&shop.sandbox, &["list"]);
        listed["groups"].as_array_mut().unwrap().iter_mut().for_each(|group| drop(group.as_object_mut().unwrap().remove("lag_seconds")));
        let expected = json!({"groups": [
            {"group": "audit", "state": "Empty", "members": 0, "positions": 1, "lag": 7},
            {"group": "billing", "state": "Stable", "members": 2, "positions": 2, "lag": 6},
        ]});
        assert_eq!(listed, expected, "beside {beside}");

        let described = look(&shop.sandbox, &["describe", "billing"]);
        assert_eq!((&described["generation"], &described["protocol"], &described["leader"]), (&json!(7), &json!("sticky"), &json!("till-a")));
        let rows = described["partitions"].as_array().unwrap();
        let fields = |row: &Value| ["partition", "committed_offset", "high_water_mark", "lag", "member"].map(|field| row[field].clone());
        assert_eq!(fields(&rows[0]), [json!(0), json!(4), json!(10), json!(6), json!("till-a")]);
        assert_eq!(fields(&rows[1]), [json!(1), json!(10), json!(10), json!(0), Value::Null]);
        assert_eq!(fields(&rows[2]), [json!(2), Value::Null, json!(10), Value::Null, json!("till-a")]);
        let noted = ["metadata", "expires_ts_ns", "client_id", "client_host"].map(|field| rows[0][field].clone());
        assert_eq!(noted, [json!("batch 17"), json!(4_000_000_000 * SECOND), json!("till"), json!("10.0.0.5")]);
        let members = described["members"].as_array().unwrap();
        let fields = |row: &Value| ["member", "instance_id", "partitions", "lag"].map(|field| row[field].clone());
        assert_eq!(fields(&members[0]), [json!("idle-b"), Value::Null, json!(0), json!(0)]);
        assert_eq!(fields(&members[1]), [json!("till-a"), json!("till-1"), json!(2), json!(6)]);
    }
    let table = shop.sandbox.ok(&["groups", "data", "list"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines.len(), &lines[2][..5]), (3, &["billing", "Stable", "2", "2", "6"][..]));
    let text = shop.sandbox.ok(&["groups", "data", "describe", "billing"]);
    assert!(text.starts_with("group       billing\nstate       Stable\ngeneration  7\nprotocol    sticky\n\n"), "{text}");
    let uncommitted = text.lines().find(|line| line.starts_with("shop/orders          2")).unwrap();
    assert_eq!(
        uncommitted.split_whitespace().collect::<Vec<_>>(),
        ["shop/orders", "2", "-", "10", "-", "-", "-", "till-a", "till", "10.0.0.5", "-", "-"]
    );
    shop.sandbox.run(&["groups", "data", "describe", "nobody"]).expect(1).says("there is no group nobody");
}

#[test]
fn a_position_in_a_topic_that_is_gone_is_told() {
    let shop = Shop::open();
    let gone = PartitionKey { topic: "shop/gone".parse().unwrap(), ..shop.keys[0].clone() };
    shop.positions.commit(&"audit".parse().unwrap(), &[(gone, CommittedOffset::new(0, TimestampNs::new(0)))]).unwrap();
    assert_eq!(look(&shop.sandbox, &["describe", "audit"])["without_partition"][0]["topic"], "shop/gone");
    let text = shop.sandbox.ok(&["groups", "data", "describe", "audit"]);
    assert!(text.contains(&format!("there is no partition shop/gone/{} any more", shop.keys[0].range)), "{text}");
}

#[test]
fn lag_tells_the_member() {
    let shop = Shop::open();
    let said: Value = serde_json::from_str(&shop.sandbox.ok(&["lag", "data", "--group", "billing", "--json"])).unwrap();
    let rows: Vec<_> = said["lag"].as_array().unwrap().iter().map(|row| (row["lag"].as_u64(), row["member"].as_str())).collect();
    assert_eq!(rows, [(Some(6), Some("till-a")), (Some(0), None), (None, Some("till-a"))]);
}

#[test]
fn positions_are_moved_to_where_it_is_said() {
    let sandbox = Shop::closed();
    let all = |offsets: [u64; 3]| vec![(0, offsets[0]), (1, offsets[1]), (2, offsets[2])];
    let text = sandbox.ok(&reset(&["--to-earliest"]));
    assert_eq!(text, "shop/orders/0: 4 -> 3\nshop/orders/1: 10 -> 0\nshop/orders/2: - -> 0\n");
    assert_eq!(committed(&sandbox, "billing"), all([3, 0, 0]));
    let outcomes: [(&[&str], [u64; 3]); 8] = [
        (&["--to-latest"], [10, 10, 10]),
        (&["--to-time", "1970-01-01T00:16:45Z"], [5, 5, 5]),
        (&["--to-offset", "7", "-p", "1"], [5, 7, 5]),
        (&["--shift-by", "-3"], [3, 4, 2]),
        (&["--shift-by", "4", "-p", "2", "-p", "0", "-p", "2"], [7, 4, 6]),
        (&["--by-duration", "1h"], [10, 10, 10]),
        (&["--to-time", "1970-01-01T00:00:00Z"], [3, 0, 0]),
        (&["--to-time", "2200-01-01T00:00:00Z"], [10, 10, 10]),
    ];
    for (arguments, expected) in outcomes {
        sandbox.ok(&reset(arguments));
        assert_eq!(committed(&sandbox, "billing"), all(expected), "{arguments:?}");
    }
    assert_eq!(committed(&sandbox, "audit"), [(0, 1)], "nobody else's");
}

#[test]
fn a_duration_is_counted_back_from_now() {
    let shop = Shop::open();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let record = Record::new("order of today").timestamp(TimestampNs::new(now.try_into().unwrap()));
    shop.store.topic("shop/orders").unwrap().partition(1).unwrap().append(record).unwrap();
    let to = |duration| shop.sandbox.ok(&reset(&["--by-duration", duration, "-p", "1", "--dry-run"]));
    assert!(to("1h").starts_with("shop/orders/1: 10 -> 10\n"));
    assert!(to("0s").starts_with("shop/orders/1: 10 -> 11\n"));
    for (duration, after) in [("PT1H30M", 10), ("P1DT12H", 10), ("PT0S", 11)] {
        assert!(to(duration).starts_with(&format!("shop/orders/1: 10 -> {after}\n")), "{duration}");
    }
    // Before 1970.
    assert!(to("36500d").starts_with("shop/orders/1: 10 -> 0\n"));
}

#[test]
fn an_offset_that_there_is_not_becomes_the_nearest() {
    let sandbox = Shop::closed();
    let text = sandbox.ok(&reset(&["--to-offset", "1"]));
    assert_eq!(text, "shop/orders/0: 4 -> 3 (there is no offset 1)\nshop/orders/1: 10 -> 1\nshop/orders/2: - -> 1\n");
    assert_eq!(sandbox.ok(&reset(&["--to-offset", "11", "-p", "1"])), "shop/orders/1: 1 -> 10 (there is no offset 11)\n");
    let report: Value = serde_json::from_str(&sandbox.ok(&reset(&["--shift-by", "-20", "-p", "0", "--json"]))).unwrap();
    let moves = json!([{"partition": 0, "before": 3, "after": 3, "wanted": -17}]);
    assert_eq!(report, json!({"group": "billing", "topic": "shop/orders", "dry_run": false, "moves": moves}));
    sandbox.ok(&reset(&["--shift-by", "-9223372036854775808"]));
    assert_eq!(committed(&sandbox, "billing"), [(0, 3), (1, 0), (2, 0)]);
}

#[test]
fn what_is_refused_moves_nothing() {
    let sandbox = Shop::closed();
    let before = committed(&sandbox, "billing");
    // The first partition could be shifted, and the last has no position.
    sandbox.run(&reset(&["--shift-by", "-1"])).expect(1).says("shop/orders/2: group billing has no position to be shifted");
    sandbox.run(&reset(&["--to-latest", "-p", "0", "-p", "3"])).expect(1).says("there is no partition 3");
    sandbox.run(&reset(&["--to-latest", "--to-earliest"])).expect(2);
    sandbox.run(&reset(&[])).expect(2).says("--to-earliest");
    sandbox.run(&reset(&["--to-offset", "-1"])).expect(2);
    sandbox.run(&reset(&["--to-time", "yesterday"])).expect(2).says("expected an RFC 3339 time");
    sandbox.run(&reset(&["--by-duration", "1 week"])).expect(2).says("expected a duration");
    sandbox.run(&reset(&["--by-duration", "P1M"])).expect(2).says("years and months have no fixed length: say it in days, as P30D");
    sandbox.run(&reset(&["--by-duration", "P1H"])).expect(2).says("expected an ISO 8601 duration, as PT1H30M, P1DT12H or P7D: ");
    let other = |group: &'static str, topic: &'static str| ["groups", "data", "reset", group, "--topic", topic, "--to-latest"];
    sandbox.run(&other("nobody", "shop/orders")).expect(1).says("there is no group nobody");
    sandbox.run(&other("billing", "shop/order")).expect(1).says("did you mean shop/orders");
    sandbox.run(&other("billing", "_tidelog/offsets")).expect(2);
    assert_eq!(committed(&sandbox, "billing"), before);
    sandbox.run(&["groups", "nowhere", "list"]).expect(1);
    // A store that kept nothing of groups keeps nothing after it was asked to change it.
    let empty = Sandbox::new();
    empty.ok_with(&["append", "data", "orders"], "x\n");
    empty.run(&["groups", "data", "delete", "billing"]).expect(1).says("there is no group billing");
    assert_eq!(empty.ok(&["groups", "data", "list"]), "there are no groups\n");
    assert!(!empty.path("data/topics/_tidelog").exists());
}

#[test]
fn a_group_is_given_its_place_before_its_first_member_comes() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "orders"], "x\ny\n");
    let arguments = ["groups", "data", "reset", "audit", "--topic", "orders", "--to-latest", "--create"];
    let dry = [&arguments[..], &["--dry-run"]].concat();
    assert_eq!(sandbox.ok(&dry), "orders/0: - -> 2\ndry run: nothing was moved\n");
    assert_eq!(sandbox.ok(&["groups", "data", "list"]), "there are no groups\n");
    let missing = [&arguments[..], &["-p", "9"]].concat();
    sandbox.run(&missing).expect(1).says("there is no partition 9");
    assert!(!sandbox.path("data/topics/_tidelog").exists());
    assert_eq!(sandbox.ok(&arguments), "orders/0: - -> 2\n");
    assert_eq!(committed(&sandbox, "audit"), [(0, 2)]);
    // Its term, by which the group is told of a cut.
    let store = Store::open_read_only(sandbox.path("data")).unwrap();
    let (positions, key) = (LogOffsetStore::open_read_only(&store).unwrap(), store.topic("orders").unwrap().partition_key(0).unwrap());
    assert!(positions.fetch(&"audit".parse().unwrap(), &key).unwrap().unwrap().leader_epoch.is_some());
}

#[test]
fn beside_a_writer_nothing_is_changed_and_a_dry_run_is_made() {
    let shop = Shop::open();
    shop.sandbox.run(&reset(&["--to-latest"])).expect(3).says("lock");
    shop.sandbox.run(&["groups", "data", "delete", "billing"]).expect(3).says("lock");
    let text = shop.sandbox.ok(&reset(&["--to-latest", "--dry-run"]));
    assert_eq!(text, "shop/orders/0: 4 -> 10\nshop/orders/1: 10 -> 10\nshop/orders/2: - -> 10\ndry run: nothing was moved\n");
    let text = shop.sandbox.ok(&["groups", "data", "delete", "billing", "--dry-run"]);
    assert_eq!(text, "billing: would be deleted, with 2 positions and 2 members\n");
    assert_eq!(committed(&shop.sandbox, "billing"), [(0, 4), (1, 10)]);
}

#[test]
fn looking_changes_not_one_byte() {
    let sandbox = Shop::closed();
    let before = sandbox.snapshot("data");
    sandbox.ok(&["groups", "data", "list"]);
    sandbox.ok(&["groups", "data", "describe", "billing"]);
    sandbox.ok(&reset(&["--to-latest", "--dry-run"]));
    sandbox.ok(&["groups", "data", "delete", "billing", "--dry-run"]);
    assert!(before == sandbox.snapshot("data"));
}

#[cfg(not(feature = "sqlite"))]
#[test]
fn what_is_not_built_in_is_said() {
    let sandbox = Shop::closed();
    let create = ["reset", "new", "--topic", "shop/orders", "--to-latest", "--create"];
    for arguments in [&["list"][..], &["delete", "billing"], &create, &[&create[..], &["--dry-run"]].concat()] {
        let arguments = [&["groups", "data"], arguments, &["--store", "sqlite:new.db"]].concat();
        sandbox.run(&arguments).expect(2).says("sqlite:new.db needs the feature sqlite");
    }
}

#[test]
fn a_group_is_deleted_with_all_that_is_kept_of_it() {
    let sandbox = Shop::closed();
    let report = look(&sandbox, &["delete", "billing"]);
    assert_eq!(report, json!({"deleted": "billing", "positions": 2, "members": 2, "dry_run": false}));
    sandbox.run(&["groups", "data", "delete", "billing"]).expect(1).says("there is no group billing");
    let listed = look(&sandbox, &["list"]);
    assert_eq!((listed["groups"].as_array().unwrap().len(), &listed["groups"][0]["group"]), (1, &json!("audit")));
    assert_eq!(sandbox.records(&["shop/orders"]).len(), 27, "no record is");
}

#[test]
fn a_damaged_log_is_told_and_moves_nothing() {
    let sandbox = Shop::closed();
    let before = committed(&sandbox, "billing");
    let segment = segment_with(&sandbox, "order 5 of 1");
    flip(&segment, "order 5 of 1");
    sandbox.run(&reset(&["--to-time", "1970-01-01T00:16:45Z"])).expect(4).says("shop/orders/1: offsets 5..6 are damaged");
    assert_eq!(committed(&sandbox, "billing"), before);
    assert_eq!(sandbox.ok(&reset(&["--to-latest", "-p", "0"])), "shop/orders/0: 4 -> 10\n", "the others can be moved");
    // Positions that are lost are not taken for none.
    flip(&segment_with(&sandbox, "batch 17"), "batch 17");
    for arguments in [&["groups", "data", "list"][..], &["groups", "data", "delete", "billing"], &reset(&["--to-latest"])] {
        sandbox.run(arguments).expect(4).says("changes of positions are lost");
    }
}

#[cfg(feature = "sqlite")]
fn groups_in<'a>(place: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    [&["groups", "data"], arguments, &["--store", place]].concat()
}

/// What is told and done is the same wherever groups are kept, and only there.
#[cfg(feature = "sqlite")]
#[test]
fn groups_are_kept_in_sqlite_as_well() {
    let (shop, place) = (Shop::open(), "sqlite:offsets.db");
    let kept = tidelog::SqliteOffsetStore::open(shop.sandbox.path("offsets.db")).unwrap();
    keep(&kept, &shop.keys);
    let at = |arguments| groups_in(place, arguments);
    let said = |arguments: &[&str]| {
        let mut said: Value = serde_json::from_str(&shop.sandbox.ok(arguments)).unwrap();
        for list in ["groups", "partitions", "members"] {
            let rows = said.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            rows.for_each(|row| drop(row.as_object_mut().unwrap().remove("lag_seconds")));
        }
        said
    };
    for arguments in [&["list", "--json"][..], &["describe", "billing", "--json"], &["delete", "billing", "--dry-run", "--json"]] {
        assert_eq!(said(&at(arguments)), said(&[&["groups", "data"], arguments].concat()), "{arguments:?}");
    }
    let dry = ["reset", "billing", "--topic", "shop/orders", "--to-earliest", "--dry-run"];
    let moves = "shop/orders/0: 4 -> 3\nshop/orders/1: 10 -> 0\nshop/orders/2: - -> 0\n";
    assert_eq!(shop.sandbox.ok(&at(&dry)), format!("{moves}dry run: nothing was moved\n"));
    // Its members may be at work.
    shop.sandbox.run(&at(&dry[..5])).expect(3).says("lock");
    shop.sandbox.run(&at(&["delete", "billing"])).expect(3).says("lock");
    shop.sandbox.run(&at(&["describe", "nobody"])).expect(1).says("there is no group nobody in ");

    let Shop { sandbox, store, positions, .. } = shop;
    drop(positions);
    store.close().unwrap();
    let log = committed(&sandbox, "billing");
    assert_eq!(sandbox.ok(&at(&dry[..5])), moves);
    let offsets = |group: &str| -> Vec<u64> {
        let all = kept.fetch_all(&group.parse().unwrap()).unwrap();
        let mut offsets: Vec<_> = all.iter().map(|(_, position)| position.offset.get()).collect();
        offsets.sort();
        offsets
    };
    assert_eq!((offsets("billing"), offsets("audit")), (vec![0, 0, 3], vec![1]));
    let report: Value = serde_json::from_str(&sandbox.ok(&["groups", "data", "--store", place, "delete", "billing", "--json"])).unwrap();
    assert_eq!(report, json!({"deleted": "billing", "positions": 3, "members": 2, "dry_run": false}));
    sandbox.run(&at(&dry[..5])).expect(1).says("there is no group billing in ");
    assert_eq!((kept.groups().unwrap().len(), committed(&sandbox, "billing")), (1, log), "the log has its own");
}

/// A file that is not there is made for the first position in it alone, and what is no offset store of this version is left alone.
#[cfg(feature = "sqlite")]
#[test]
fn a_place_is_made_by_the_first_position_alone() {
    let sandbox = Shop::closed();
    let at = |arguments| groups_in("sqlite:new.db", arguments);
    let create = ["reset", "new", "--topic", "shop/orders", "-p", "1", "--to-latest", "--create", "--dry-run"];
    sandbox.run(&at(&["list"])).expect(1).says("there is no offset store in sqlite:new.db");
    sandbox.run(&at(&["describe", "new"])).expect(1).says("there is no offset store in sqlite:new.db");
    sandbox.run(&at(&["delete", "new"])).expect(1).says("there is no group new in sqlite:new.db");
    sandbox.run(&at(&create[..7])).expect(1).says("there is no group new in sqlite:new.db");
    assert_eq!(sandbox.ok(&at(&create)), "shop/orders/1: - -> 10\ndry run: nothing was moved\n");
    assert!(!sandbox.path("new.db").exists());
    assert_eq!(sandbox.ok(&at(&create[..8])), "shop/orders/1: - -> 10\n");
    assert!(sandbox.ok(&at(&["list"])).lines().nth(1).unwrap().starts_with("new    Empty "));
    assert!(!sandbox.ok(&["groups", "data", "list"]).contains("new"));

    sandbox.ok(&["offsets", "data", "migrate", "--store", "sqlite:new.db", "--to", "4"]);
    sandbox.write("text", "no database, and longer than the header of one is. ".repeat(9));
    let before = [std::fs::read(sandbox.path("new.db")).unwrap(), std::fs::read(sandbox.path("text")).unwrap()];
    for arguments in [&["list"][..], &["delete", "new"], &create, &create[..8]] {
        sandbox.run(&at(arguments)).expect(3).says("has version 4 of the schema");
        sandbox.run(&groups_in("sqlite:text", arguments)).expect(3).says("is no offset store");
    }
    assert!(before == [std::fs::read(sandbox.path("new.db")).unwrap(), std::fs::read(sandbox.path("text")).unwrap()]);
    sandbox.run(&["groups", "data", "list", "--store", "new.db"]).expect(2).says("expected log, or sqlite:FILE or postgres:URL");
}

fn segment_with(sandbox: &Sandbox, text: &str) -> PathBuf {
    let files =
        sandbox.snapshot("data").into_iter().map(|(path, ..)| path).filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    files.into_iter().find(|path| position_of(path, text).is_some()).unwrap()
}

fn position_of(path: &Path, text: &str) -> Option<u64> {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).map(|position| position as u64)
}

fn flip(path: &Path, text: &str) {
    let position = position_of(path, text).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], position).unwrap();
}
