//! Bytes of Kafka's consumer protocol: those that clients really send, what becomes of bytes that are none, and back and forth.
//!
//! The captured bytes were sent by librdkafka 2.16.0 to its own mock cluster (`strace -e trace=sendmsg`; JoinGroup's metadata and SyncGroup's
//! assignments): a member of rack `rack-a` that is alone with the topics `orders` and `payments` of four partitions each, and then joined by
//! another one. The encoded ones are what kafka-python 3.0.12 makes of the values in `encoded`.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidelog::TopicName;
use tidelog::group::{
    ConsumerProtocolAssignment, ConsumerProtocolError, ConsumerProtocolSubscription, MemberSubscription, StickyUserData, TopicPartition,
};

const FIRST_JOIN: &str = "00030000000200066f726465727300087061796d656e74730000000000000000ffffffff00067261636b2d61";
const REJOIN: &str = "00030000000200066f726465727300087061796d656e7473000000420000000200066f7264657273000000040000000000000001000000020000000300087061796d656e74730000000400000000000000010000000200000003000000020000000200066f7264657273000000040000000000000001000000020000000300087061796d656e747300000004000000000000000100000002000000030000000200067261636b2d61";
const WITHOUT_RACK: &str = "00030000000100066f72646572730000000000000000ffffffff0000";
const ASSIGNED: &str = "0000000000020008 7061796d656e7473000000040000000000000001000000020000000300066f726465727300000002000000000000000100000000";
const ASSIGNED_NOTHING: &str = "00000000000000000000";

/// Versions 0 to 3 of one subscription.
const SUBSCRIPTIONS: [&str; 4] = [
    "00000000000200066f726465727300087061796d656e7473000000020102",
    "00010000000200066f726465727300087061796d656e74730000000201020000000100066f7264657273000000020000000000000002",
    "00020000000200066f726465727300087061796d656e74730000000201020000000100066f726465727300000002000000000000000200000007",
    "00030000000200066f726465727300087061796d656e74730000000201020000000100066f72646572730000000200000000000000020000000700067261636b2d61",
];
const ASSIGNMENT_V3: &str = "00030000000100066f7264657273000000020000000000000002ffffffff";
const STICKY_V0: &str = "0000000100066f7264657273000000020000000000000002";
const STICKY_V1: &str = "0000000100066f726465727300000002000000000000000200000007";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn partitions(list: &[(&str, &[u32])]) -> BTreeMap<String, Vec<u32>> {
    list.iter().map(|(topic, numbers)| ((*topic).to_owned(), numbers.to_vec())).collect()
}

fn both_topics() -> Vec<String> {
    vec!["orders".to_owned(), "payments".to_owned()]
}

/// What the encoded bytes of version 3 say.
fn encoded() -> ConsumerProtocolSubscription {
    ConsumerProtocolSubscription {
        topics: both_topics(),
        user_data: Some(vec![1, 2]),
        owned_partitions: partitions(&[("orders", &[0, 2])]),
        generation: Some(7),
        rack: Some("rack-a".to_owned()),
    }
}

#[test]
fn subscriptions_of_a_client_are_read() {
    let first = ConsumerProtocolSubscription::decode(&bytes(FIRST_JOIN)).unwrap();
    let rack = Some("rack-a".to_owned());
    let expected = ConsumerProtocolSubscription { topics: both_topics(), user_data: Some(vec![]), rack: rack.clone(), ..Default::default() };
    assert_eq!(first, expected);

    let all = partitions(&[("orders", &[0, 1, 2, 3]), ("payments", &[0, 1, 2, 3])]);
    let again = ConsumerProtocolSubscription::decode(&bytes(REJOIN)).unwrap();
    assert_eq!((&again.topics, &again.owned_partitions, again.generation, &again.rack), (&both_topics(), &all, Some(2), &rack));
    let had = StickyUserData::decode(again.user_data.as_deref().unwrap()).unwrap();
    assert_eq!(had, StickyUserData { partitions: all, generation: Some(2) });
    assert_eq!(again.encode(3).unwrap(), bytes(REJOIN));

    let without = ConsumerProtocolSubscription::decode(&bytes(WITHOUT_RACK)).unwrap();
    assert_eq!((without.topics, without.rack), (vec!["orders".to_owned()], Some(String::new())));
}

#[test]
fn assignments_of_a_client_are_read() {
    let assigned = ConsumerProtocolAssignment::decode(&bytes(ASSIGNED)).unwrap();
    assert_eq!(assigned.partitions, partitions(&[("orders", &[0, 1]), ("payments", &[0, 1, 2, 3])]));
    let nothing = ConsumerProtocolAssignment::decode(&bytes(ASSIGNED_NOTHING)).unwrap();
    assert_eq!(nothing, ConsumerProtocolAssignment { partitions: BTreeMap::new(), user_data: Some(vec![]) });
    assert_eq!(nothing.encode(0).unwrap(), bytes(ASSIGNED_NOTHING));
}

#[test]
fn each_version_has_the_fields_it_has() {
    let mut expected = encoded();
    for (version, hex) in SUBSCRIPTIONS.into_iter().enumerate().rev() {
        match version {
            2 => expected.rack = None,
            1 => expected.generation = None,
            0 => expected.owned_partitions.clear(),
            _ => {}
        }
        assert_eq!(encoded().encode(version.try_into().unwrap()).unwrap(), bytes(hex), "version {version}");
        assert_eq!(ConsumerProtocolSubscription::decode(&bytes(hex)).unwrap(), expected, "version {version}");
    }
    let assignment = ConsumerProtocolAssignment { partitions: partitions(&[("orders", &[0, 2])]), user_data: None };
    assert_eq!(assignment.encode(3).unwrap(), bytes(ASSIGNMENT_V3));
    assert_eq!(ConsumerProtocolAssignment::decode(&bytes(ASSIGNMENT_V3)).unwrap(), assignment);
    let had = |generation| StickyUserData { partitions: partitions(&[("orders", &[0, 2])]), generation };
    assert_eq!(StickyUserData::decode(&bytes(STICKY_V0)).unwrap(), had(None));
    assert_eq!(StickyUserData::decode(&bytes(STICKY_V1)).unwrap(), had(Some(7)));
    assert_eq!(had(Some(7)).encode().unwrap(), bytes(STICKY_V1));
}

#[test]
fn a_version_to_come_is_read_as_far_as_it_is_known() {
    let mut newer = bytes(SUBSCRIPTIONS[3]);
    newer[1] = 4;
    newer.extend([1, 2, 3]);
    assert_eq!(ConsumerProtocolSubscription::decode(&newer).unwrap(), encoded());
    assert_eq!(encoded().encode(4), Err(ConsumerProtocolError::Unsupported { found: 4, supported: 3 }));
    newer[0] = 0xff;
    assert!(matches!(ConsumerProtocolSubscription::decode(&newer), Err(ConsumerProtocolError::Unsupported { found: -252, .. })));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    use ConsumerProtocolError::{Negative, NotText, Short, TooLarge, Trailing};
    let decode = |hex: &str| ConsumerProtocolAssignment::decode(&bytes(hex)).unwrap_err();
    assert_eq!(decode(""), Short { what: "the version", position: 0, expected: 2, found: 0 });
    assert_eq!(decode("0000 00000001 0006 6f72"), Short { what: "the name of a topic", position: 8, expected: 6, found: 2 });
    assert_eq!(decode("0000 00000000 ffffffff 00"), Trailing { position: 10, found: 1 });
    assert_eq!(decode("0000 ffffffff"), Negative { what: "the list of assigned partitions", position: 2, found: -1 });
    assert_eq!(decode("0000 00000001 0001 61 00000001 80000000"), Negative { what: "the number of a partition", position: 13, found: i32::MIN });
    assert_eq!(decode("0000 00000001 0001 ff"), NotText { what: "the name of a topic", position: 8 });
    let long = ConsumerProtocolAssignment { partitions: partitions(&[(&"a".repeat(32_768), &[0])]), user_data: None };
    assert_eq!(long.encode(0), Err(TooLarge { what: "the name of a topic", found: 32_768, limit: 32_767 }));
    let high = ConsumerProtocolAssignment { partitions: partitions(&[("a", &[u32::MAX])]), user_data: None };
    assert_eq!(high.encode(0), Err(TooLarge { what: "the number of a partition", found: u32::MAX as usize, limit: i32::MAX as usize }));
    // A list of two thousand million topics takes no memory before they are there.
    assert!(matches!(decode("0000 7fffffff"), Short { .. }));
}

#[test]
fn members_become_messages_and_members_again() {
    let orders: TopicName = "shop/orders".parse().unwrap();
    let mut member = MemberSubscription::new("billing-1".parse().unwrap(), [orders.clone(), "payments".parse().unwrap()]);
    (member.owned, member.generation) = (vec![TopicPartition::new(orders.clone(), 0), TopicPartition::new(orders, 2)], Some(7));
    for protocol in ["range", "cooperative-sticky", "sticky"] {
        let message = ConsumerProtocolSubscription::of(&member, protocol).unwrap();
        let message = ConsumerProtocolSubscription::decode(&message.encode(3).unwrap()).unwrap();
        assert_eq!(message.owned_partitions.is_empty(), protocol == "sticky");
        assert_eq!(message.member(protocol, member.member.clone(), None).unwrap(), member);
    }
    // Whatever another assignor's members say is no sign of what a member of the sticky one had.
    let odd = ConsumerProtocolSubscription { user_data: Some(vec![1]), ..ConsumerProtocolSubscription::of(&member, "range").unwrap() };
    let found = odd.member("sticky", member.member.clone(), None).unwrap();
    assert_eq!((found.owned, found.generation), (vec![], None));
    let unnamed = ConsumerProtocolSubscription { topics: vec!["a b".to_owned()], ..Default::default() };
    assert!(unnamed.member("range", member.member, None).is_err());
}

/// Version 1 has no field for the generation: members of the cooperative assignor tell it in their user data.
#[test]
fn the_generation_is_told_by_user_data_where_there_is_no_field() {
    let orders: TopicName = "orders".parse().unwrap();
    let mut member = MemberSubscription::new("billing-1".parse().unwrap(), [orders.clone()]);
    member.owned = vec![TopicPartition::new(orders.clone(), 0), TopicPartition::new(orders, 2)];
    let generation = |protocol: &str, bytes: &[u8]| {
        let message = ConsumerProtocolSubscription::decode(bytes).unwrap();
        message.member(protocol, member.member.clone(), None).unwrap().generation
    };
    let owned = "00000001 0006 6f7264657273 00000002 00000000 00000002";
    let of_version_1 = |user_data: &str| bytes(&format!("0001 00000001 0006 6f7264657273 {user_data} {owned}"));
    // By Kafka's own clients, and by librdkafka; the last ones know of none, or speak of something else.
    for (user_data, told) in [
        ("00000004 00000007".to_owned(), Some(7)),
        (format!("0000001c {STICKY_V1}"), Some(7)),
        ("00000008 00000000 00000007".to_owned(), Some(7)),
        ("00000004 ffffffff".to_owned(), None),
        (format!("00000018 {STICKY_V0}"), None),
        ("00000003 010203".to_owned(), None),
        ("00000000".to_owned(), None),
        ("ffffffff".to_owned(), None),
    ] {
        assert_eq!(generation("cooperative-sticky", &of_version_1(&user_data)), told, "{user_data}");
        assert_eq!(generation("range", &of_version_1(&user_data)), None, "user data are the assignor's own");
    }
    for known in [Some(7), None] {
        let message = ConsumerProtocolSubscription::of(&MemberSubscription { generation: known, ..member.clone() }, "cooperative-sticky").unwrap();
        for version in 1..=3 {
            assert_eq!(generation("cooperative-sticky", &message.encode(version).unwrap()), known, "version {version}");
        }
        assert_eq!(message.encode(1).unwrap(), of_version_1(if known.is_some() { "00000004 00000007" } else { "00000004 ffffffff" }));
    }
    // The field is newer than what the user data say.
    let both = ConsumerProtocolSubscription { user_data: Some(bytes("00000006")), generation: Some(7), ..Default::default() };
    assert_eq!(generation("cooperative-sticky", &both.encode(2).unwrap()), Some(7));
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..8).prop_map(|characters| characters.into_iter().collect())
}

fn numbers() -> impl Strategy<Value = BTreeMap<String, Vec<u32>>> {
    prop::collection::btree_map(name(), prop::collection::vec(0..=i32::MAX as u32, 0..4), 0..4)
}

fn user_data() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..8))
}

fn subscription() -> impl Strategy<Value = ConsumerProtocolSubscription> {
    let fields = (prop::collection::vec(name(), 0..4), user_data(), numbers(), prop::option::of(0..=i32::MAX), prop::option::of(name()));
    fields.prop_map(|(topics, user_data, owned_partitions, generation, rack)| ConsumerProtocolSubscription {
        topics,
        user_data,
        owned_partitions,
        generation,
        rack,
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(subscription in subscription(), partitions in numbers(), user_data in user_data(), generation in prop::option::of(0..=i32::MAX)) {
        prop_assert_eq!(&ConsumerProtocolSubscription::decode(&subscription.encode(3).unwrap()).unwrap(), &subscription);
        let had = StickyUserData { partitions: partitions.clone(), generation };
        prop_assert_eq!(StickyUserData::decode(&had.encode().unwrap()).unwrap(), had);
        let assignment = ConsumerProtocolAssignment { partitions, user_data };
        for version in 0..=3 {
            prop_assert_eq!(&ConsumerProtocolAssignment::decode(&assignment.encode(version).unwrap()).unwrap(), &assignment);
        }
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_refused(subscription in subscription(), version in 0..=3i16, cut in any::<prop::sample::Index>()) {
        let mut bytes = subscription.encode(version).unwrap();
        let cut = &bytes[..cut.index(bytes.len())];
        let is_short = matches!(ConsumerProtocolSubscription::decode(cut), Err(ConsumerProtocolError::Short { .. }));
        prop_assert!(is_short);
        bytes.push(0);
        let is_trailing = matches!(ConsumerProtocolSubscription::decode(&bytes), Err(ConsumerProtocolError::Trailing { found: 1, .. }));
        prop_assert!(is_trailing);
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff), any::<u8>()], 0..64)) {
        for version in 0..=4 {
            if let [_, low, ..] = &mut bytes[..] {
                *low = version;
            }
            let _ = ConsumerProtocolSubscription::decode(&bytes);
            let _ = ConsumerProtocolAssignment::decode(&bytes);
            let _ = StickyUserData::decode(&bytes);
        }
    }
}
