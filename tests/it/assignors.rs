//! Which member reads which partition: Kafka's own published cases as facts, and properties that hold for whatever members there are.
//!
//! A group is written `member[@instance][/generation]: topics < owned partitions | ..`, an assignment `member: partitions | ..`.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidelog::TopicName;
use tidelog::group::{
    Assignment, Assignor, CooperativeStickyAssignor, MemberId, MemberSubscription, RangeAssignor, RebalanceProtocol, RoundRobinAssignor,
    StickyAssignor, TopicPartition,
};

type Topics = BTreeMap<TopicName, u32>;

fn topics(text: &str) -> Topics {
    text.split_whitespace().map(|topic| topic.split_once('=').unwrap()).map(|(name, count)| (name.parse().unwrap(), count.parse().unwrap())).collect()
}

fn partition(text: &str) -> TopicPartition {
    let (topic, number) = text.rsplit_once('-').unwrap();
    TopicPartition::new(topic.parse().unwrap(), number.parse().unwrap())
}

fn member(text: &str) -> MemberSubscription {
    let (name, wants) = text.split_once(':').unwrap();
    let (wants, owned) = wants.split_once('<').unwrap_or((wants, ""));
    let (name, generation) = name.trim().split_once('/').map_or((name.trim(), None), |(name, generation)| (name, Some(generation)));
    let (name, instance) = name.split_once('@').map_or((name, None), |(name, instance)| (name, Some(instance)));
    let topics = wants.split_whitespace().map(|topic| topic.parse().unwrap());
    let mut member = MemberSubscription::new(name.parse().unwrap(), topics);
    member.instance = instance.map(|instance| instance.parse().unwrap());
    member.generation = generation.map(|generation| generation.parse().unwrap());
    member.owned = owned.split_whitespace().map(partition).collect();
    member
}

fn group(text: &str) -> Vec<MemberSubscription> {
    text.split('|').map(member).collect()
}

fn shown(assignment: &Assignment) -> String {
    let member = |(member, partitions): (&MemberId, &Vec<TopicPartition>)| {
        let partitions: String = partitions.iter().map(|partition| format!(" {partition}")).collect();
        format!("{member}:{partitions}")
    };
    assignment.iter().map(member).collect::<Vec<_>>().join(" | ")
}

#[track_caller]
fn check(assignor: &dyn Assignor, partitions: &str, members: &str, expected: &str) {
    assert_eq!(shown(&assignor.assign(&topics(partitions), &group(members))), expected);
}

#[test]
fn names_and_protocols_are_those_on_the_wire() {
    use RebalanceProtocol::{Cooperative, Eager};
    let all: [&dyn Assignor; 4] = [&RangeAssignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor];
    let found = all.map(|assignor| (assignor.name(), assignor.rebalance()));
    assert_eq!(found, [("range", Eager), ("roundrobin", Eager), ("sticky", Eager), ("cooperative-sticky", Cooperative)]);
}

/// The cases of Kafka's `RangeAssignorTest`.
#[test]
fn range_as_kafka_does_it() {
    let check = |partitions: &str, members: &str, expected: &str| check(&RangeAssignor, partitions, members, expected);
    check("", "consumer:", "consumer:");
    check("", "consumer: topic", "consumer:");
    check("topic1=3 other=3", "consumer1: topic1", "consumer1: topic1-0 topic1-1 topic1-2");
    check("topic1=1 topic2=2", "consumer1: topic1 topic2", "consumer1: topic1-0 topic2-0 topic2-1");
    check("topic1=1", "consumer1: topic1 | consumer2: topic1", "consumer1: topic1-0 | consumer2:");
    check(
        "topic1=3 topic2=2",
        "consumer1: topic1 | consumer2: topic1 topic2 | consumer3: topic1",
        "consumer1: topic1-0 | consumer2: topic1-1 topic2-0 topic2-1 | consumer3: topic1-2",
    );
    check(
        "topic1=3 topic2=3",
        "consumer1: topic1 topic2 | consumer2: topic1 topic2",
        "consumer1: topic1-0 topic1-1 topic2-0 topic2-1 | consumer2: topic1-2 topic2-2",
    );
    // By instance ids, and who has one is first.
    let low = "consumer-a: topic1-2 topic2-2 | consumer-b: topic1-0 topic1-1 topic2-0 topic2-1";
    check("topic1=3 topic2=3", "consumer-b@instance1: topic1 topic2 | consumer-a@instance2: topic1 topic2", low);
    check("topic1=3 topic2=3", "consumer-b@instance1: topic1 topic2 | consumer-a: topic1 topic2", low);
    check(
        "topic1=5 topic2=4",
        "consumer1@instance1: topic1 topic2 | consumer2@instance2: topic1 topic2 | consumer3@instance3: topic1 topic2 | consumer4: topic1 topic2",
        "consumer1: topic1-0 topic1-1 topic2-0 | consumer2: topic1-2 topic2-1 | consumer3: topic1-3 topic2-2 | consumer4: topic1-4 topic2-3",
    );
}

/// The cases of Kafka's `RoundRobinAssignorTest`.
#[test]
fn round_robin_as_kafka_does_it() {
    let check = |partitions: &str, members: &str, expected: &str| check(&RoundRobinAssignor, partitions, members, expected);
    check("", "consumer: topic", "consumer:");
    check("topic=3 other=3", "consumer: topic", "consumer: topic-0 topic-1 topic-2");
    check("topic=1", "consumer1: topic | consumer2: topic", "consumer1: topic-0 | consumer2:");
    check(
        "topic1=3 topic2=2",
        "consumer1: topic1 | consumer2: topic1 topic2 | consumer3: topic1",
        "consumer1: topic1-0 | consumer2: topic1-1 topic2-0 topic2-1 | consumer3: topic1-2",
    );
    let even = "consumer-a: topic1-1 topic2-0 topic2-2 | consumer-b: topic1-0 topic1-2 topic2-1";
    check("topic1=3 topic2=3", "consumer-b@instance1: topic1 topic2 | consumer-a@instance2: topic1 topic2", even);
    check("topic1=3 topic2=3", "consumer-b@instance1: topic1 topic2 | consumer-a: topic1 topic2", even);
    check(
        "topic1=3 topic2=3",
        "consumer1@instance1: topic1 topic2 | consumer2@instance2: topic1 topic2 | consumer3@instance3: topic1 topic2 | consumer4: topic1 topic2",
        "consumer1: topic1-0 topic2-1 | consumer2: topic1-1 topic2-2 | consumer3: topic1-2 | consumer4: topic2-0",
    );
    // What its documentation says that it is bad at.
    check(
        "topic1=2 topic2=1 topic3=2 topic4=1 topic5=2",
        "consumer1: topic1 topic2 topic3 topic4 topic5 | consumer2: topic1 topic3 topic5 | consumer3: topic1 topic3 topic5 | consumer4: topic1 topic2 topic3 topic4 topic5",
        "consumer1: topic1-0 topic3-0 topic5-0 | consumer2: topic1-1 topic3-1 topic5-1 | consumer3: | consumer4: topic2-0 topic4-0",
    );
}

/// Those cases of Kafka's `AbstractStickyAssignorTest` that fix a result.
#[test]
fn sticky_as_kafka_does_it() {
    let check = |partitions: &str, members: &str, expected: &str| check(&StickyAssignor, partitions, members, expected);
    check("topic=2", "consumer/1: topic < topic-0 topic-1 other-0 other-1", "consumer: topic-0 topic-1");
    check("", "consumer/1: topic < topic-0", "consumer:");
    check(
        "topic1=3 topic2=2",
        "consumer1: topic1 | consumer2: topic1 topic2 | consumer3: topic1",
        "consumer1: topic1-0 topic1-2 | consumer2: topic2-0 topic2-1 | consumer3: topic1-1",
    );
    check(
        "topic1=3 topic2=4",
        "consumer1: topic1 topic2 | consumer2: topic1 topic2",
        "consumer1: topic1-0 topic1-2 topic2-1 topic2-3 | consumer2: topic1-1 topic2-0 topic2-2",
    );
    let both = "topic1 topic2";
    check(
        "topic1=2 topic2=3",
        &format!("consumer1/1: {both} < topic1-0 topic2-1 | consumer2/1: {both} < topic1-1 topic2-2"),
        "consumer1: topic1-0 topic2-0 topic2-1 | consumer2: topic1-1 topic2-2",
    );
    check(
        "topic1=2 topic2=3",
        &format!("consumer1/1: {both} < topic1-0 | consumer2/1: {both} < topic1-1 | consumer3/1: {both}"),
        "consumer1: topic1-0 topic2-1 | consumer2: topic1-1 topic2-2 | consumer3: topic2-0",
    );
    check("topic=3", "consumer1/1: topic < topic-0 topic-1 topic-2 | consumer2/1: topic", "consumer1: topic-0 topic-1 | consumer2: topic-2");
    check(
        "topic=4",
        "consumer1/1: topic < topic-0 topic-1 | consumer2/1: topic < topic-2 | consumer3/1: topic",
        "consumer1: topic-0 topic-1 | consumer2: topic-2 | consumer3: topic-3",
    );
    check(
        "topic1=3 topic2=4",
        &format!(
            "consumer1/1: {both} < topic1-0 topic1-2 topic2-1 topic2-3 | consumer2/1: {both} < topic1-1 topic2-0 topic2-2 | consumer3/1: {both} | consumer4/1: {both}"
        ),
        "consumer1: topic1-0 topic1-2 | consumer2: topic1-1 topic2-0 | consumer3: topic2-1 topic2-3 | consumer4: topic2-2",
    );
    check(
        "topic1=3 topic2=4",
        &format!("consumer3/1: {both} < topic2-1 topic2-3 | consumer4/1: {both} < topic2-2"),
        "consumer3: topic1-0 topic2-0 topic2-1 topic2-3 | consumer4: topic1-1 topic1-2 topic2-2",
    );
}

#[test]
fn the_newer_claim_counts_and_equal_ones_do_not() {
    let check = |partitions: &str, members: &str, expected: &str| check(&StickyAssignor, partitions, members, expected);
    let claims = "topic-0 topic-2 topic2-1";
    for stale in ["/9", ""] {
        check(
            "topic=3 topic2=3",
            &format!("consumer1/10: topic topic2 < {claims} | consumer2{stale}: topic topic2 < {claims}"),
            "consumer1: topic-0 topic-2 topic2-1 | consumer2: topic-1 topic2-0 topic2-2",
        );
    }
    let disputed = "consumer1/1: topic < topic-0 topic-1 | consumer2/1: topic < topic-0 topic-2 | consumer3/1: topic";
    check("topic=3", disputed, "consumer1: topic-1 | consumer2: topic-2 | consumer3: topic-0");
    self::check(&CooperativeStickyAssignor, "topic=3", disputed, "consumer1: topic-1 | consumer2: topic-2 | consumer3:");
    let all = "topic topic2 topic3";
    check(
        "topic=3 topic2=3 topic3=3",
        &format!(
            "consumer1/10: {all} < topic-0 topic2-0 topic3-0 | consumer2/9: {all} < topic-1 topic2-1 topic3-1 | consumer3/8: {all} < topic2-1 topic3-0 topic3-2"
        ),
        "consumer1: topic-0 topic2-0 topic3-0 | consumer2: topic-1 topic2-1 topic3-1 | consumer3: topic-2 topic2-2 topic3-2",
    );
}

#[test]
fn what_is_passed_on_by_others_evens_out_too() {
    // Kafka leaves 2, 1 and 0: `a` has nothing that `c` wants.
    check(
        &StickyAssignor,
        "left=2 right=1",
        "a/1: left < left-0 left-1 | b/1: left right < right-0 | c/1: right",
        "a: left-0 | b: left-1 | c: right-0",
    );
}

#[test]
fn cooperative_sticky_moves_nothing_before_it_is_given_up() {
    let check = |members: &str, expected: &str| check(&CooperativeStickyAssignor, "topic=3", members, expected);
    check("a/1: topic < topic-0 topic-1 topic-2 | b/1: topic", "a: topic-0 topic-1 | b:");
    check("a/2: topic < topic-0 topic-1 | b/2: topic", "a: topic-0 topic-1 | b: topic-2");
    // Also when its owner does not want it any more.
    check("a/1: other < topic-0 topic-1 topic-2 | b/1: topic", "a: | b:");
}

/// Who does not know the generation of what it has may have it in the newest: nobody gets what it may be reading, and it does not get what another has.
#[test]
fn cooperative_sticky_moves_nothing_from_who_does_not_know_its_generation() {
    let check = |members: &str, expected: &str| check(&CooperativeStickyAssignor, "topic=2", members, expected);
    check("a/1: topic < topic-0 topic-1 | b: other < topic-0", "a: topic-1 | b:");
    check("a: other < topic-0 | b/1: topic < topic-0 topic-1", "a: | b: topic-1");
    check("a: topic < topic-0 | b: topic < topic-1", "a: topic-0 | b: topic-1");
}

/// A small group: partitions of each topic, and for each member the topics (bits), the claims (bits of all partitions in order) and the generation.
fn small_group() -> impl Strategy<Value = (Topics, Vec<MemberSubscription>)> {
    let members = prop::collection::vec((any::<u8>(), any::<u16>(), prop::option::of(0..3)), 1..=4);
    (prop::collection::vec(0..=2u32, 1..=3), members).prop_map(|(counts, members)| build(&counts, members))
}

fn large_group() -> impl Strategy<Value = (Topics, Vec<MemberSubscription>)> {
    let members = prop::collection::vec((any::<u8>(), any::<u16>(), prop::option::of(0..3)), 1..=12);
    (prop::collection::vec(0..=12u32, 1..=6), members).prop_map(|(counts, members)| build(&counts, members))
}

fn build(counts: &[u32], members: Vec<(u8, u16, Option<i32>)>) -> (Topics, Vec<MemberSubscription>) {
    let names: Vec<TopicName> = (0..counts.len()).map(|topic| format!("t{topic}").parse().unwrap()).collect();
    let topics: Topics = names.iter().cloned().zip(counts.iter().copied()).collect();
    let every = all_partitions(&topics);
    let member = |(number, (wants, owns, generation)): (usize, (u8, u16, Option<i32>))| {
        let wanted = names.iter().enumerate().filter(|(topic, _)| wants >> topic & 1 == 1).map(|(_, name)| name.clone());
        let mut member = MemberSubscription::new(format!("m{number:02}").parse().unwrap(), wanted);
        member.owned = every.iter().enumerate().filter(|(place, _)| owns >> (place % 16) & 1 == 1).map(|(_, partition)| partition.clone()).collect();
        member.generation = generation;
        member
    };
    (topics, members.into_iter().enumerate().map(member).collect())
}

fn all_partitions(topics: &Topics) -> Vec<TopicPartition> {
    topics.iter().flat_map(|(topic, count)| (0..*count).map(|number| TopicPartition::new(topic.clone(), number))).collect()
}

/// Those who subscribed to a partition.
fn wanting<'a>(members: &'a [MemberSubscription], partition: &TopicPartition) -> Vec<&'a MemberSubscription> {
    members.iter().filter(|member| member.topics.contains(&partition.topic)).collect()
}

/// Who has a partition: the one with the newest claim.
fn owner<'a>(members: &'a [MemberSubscription], partition: &TopicPartition) -> Option<&'a MemberId> {
    let newest = holders(members, partition);
    (newest.len() == 1).then(|| newest[0])
}

fn holders<'a>(members: &'a [MemberSubscription], partition: &TopicPartition) -> Vec<&'a MemberId> {
    let claims: Vec<_> = members.iter().filter(|member| member.owned.contains(partition)).collect();
    let newest = claims.iter().map(|member| member.generation).max();
    claims.into_iter().filter(|member| Some(member.generation) == newest).map(|member| &member.member).collect()
}

/// Also those that do not know how new their claims are.
fn maybe_reading<'a>(members: &'a [MemberSubscription], partition: &TopicPartition) -> Vec<&'a MemberId> {
    let undated = members.iter().filter(|member| member.generation.is_none() && member.owned.contains(partition));
    holders(members, partition).into_iter().chain(undated.map(|member| &member.member)).collect()
}

/// Every partition that somebody wants has one owner, who wants it; there is an entry for every member.
fn assert_valid(topics: &Topics, members: &[MemberSubscription], assignment: &Assignment) {
    assert_eq!(assignment.keys().collect::<BTreeSet<_>>(), members.iter().map(|member| &member.member).collect());
    let given: Vec<&TopicPartition> = assignment.values().flatten().collect();
    let wanted: BTreeSet<TopicPartition> = all_partitions(topics).into_iter().filter(|partition| !wanting(members, partition).is_empty()).collect();
    assert_eq!(given.len(), wanted.len());
    assert_eq!(given.into_iter().cloned().collect::<BTreeSet<_>>(), wanted);
    for member in members {
        assert!(assignment[&member.member].iter().all(|partition| member.topics.contains(&partition.topic)));
    }
}

/// Squares of the loads, and partitions that stay: the less of the first the better, and then the more of the second.
fn quality(members: &[MemberSubscription], assignment: &Assignment) -> (usize, usize) {
    let squares = assignment.values().map(|partitions| partitions.len().pow(2)).sum();
    let stays = |member: &MemberId, partition: &TopicPartition| owner(members, partition) == Some(member);
    let kept = assignment.iter().map(|(member, partitions)| partitions.iter().filter(|partition| stays(member, partition)).count()).sum();
    (squares, kept)
}

/// The best there is, by trying everything.
fn best(topics: &Topics, members: &[MemberSubscription]) -> (usize, usize) {
    let choices: Vec<(TopicPartition, Vec<&MemberSubscription>)> = all_partitions(topics)
        .into_iter()
        .map(|partition| (partition.clone(), wanting(members, &partition)))
        .filter(|(_, wanting)| !wanting.is_empty())
        .collect();
    let count: usize = choices.iter().map(|(_, wanting)| wanting.len()).product();
    let mut best: Option<(usize, usize)> = None;
    for mut choice in 0..count {
        let mut assignment: Assignment = members.iter().map(|member| (member.member.clone(), Vec::new())).collect();
        for (partition, wanting) in &choices {
            assignment.get_mut(&wanting[choice % wanting.len()].member).unwrap().push(partition.clone());
            choice /= wanting.len();
        }
        let (squares, kept) = quality(members, &assignment);
        if best.is_none_or(|(least, most)| (squares, most) < (least, kept) || squares == least && kept > most) {
            best = Some((squares, kept));
        }
    }
    best.unwrap()
}

proptest! {
    #[test]
    fn whoever_assigns_gives_each_partition_to_one_who_wants_it((topics, members) in large_group()) {
        for assignor in [&RangeAssignor as &dyn Assignor, &RoundRobinAssignor, &StickyAssignor] {
            assert_valid(&topics, &members, &assignor.assign(&topics, &members));
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter((topics, members) in large_group(), by in any::<u64>()) {
        let mut shuffled = members.clone();
        shuffled.sort_by_key(|member| (member.member.as_str().bytes().fold(by, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())), member.member.clone()));
        shuffled.iter_mut().for_each(|member| member.owned.reverse());
        for assignor in [&RangeAssignor as &dyn Assignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor] {
            prop_assert_eq!(assignor.assign(&topics, &members), assignor.assign(&topics, &shuffled));
        }
    }

    #[test]
    fn sticky_is_as_even_as_can_be_and_moves_the_fewest((topics, members) in small_group()) {
        prop_assert_eq!(quality(&members, &StickyAssignor.assign(&topics, &members)), best(&topics, &members));
    }

    #[test]
    fn sticky_leaves_nothing_to_even_out((topics, members) in large_group()) {
        let assignment = StickyAssignor.assign(&topics, &members);
        for partitions in assignment.values() {
            for partition in partitions {
                for other in wanting(&members, partition) {
                    prop_assert!(partitions.len() < assignment[&other.member].len() + 2, "{} could go to {}", partition, other.member);
                }
            }
        }
    }

    #[test]
    fn members_that_want_the_same_get_as_many((topics, mut members) in large_group()) {
        for member in &mut members {
            member.topics = topics.keys().cloned().collect();
        }
        for assignor in [&StickyAssignor as &dyn Assignor, &RoundRobinAssignor] {
            let loads: Vec<usize> = assignor.assign(&topics, &members).values().map(Vec::len).collect();
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn what_was_assigned_is_assigned_again((topics, mut members) in large_group()) {
        let assignment = StickyAssignor.assign(&topics, &members);
        for member in &mut members {
            (member.owned, member.generation) = (assignment[&member.member].clone(), Some(7));
        }
        prop_assert_eq!(&StickyAssignor.assign(&topics, &members), &assignment);
        prop_assert_eq!(&CooperativeStickyAssignor.assign(&topics, &members), &assignment);
    }

    #[test]
    fn cooperative_sticky_withholds_what_another_holds_and_is_done_in_two_rounds((topics, mut members) in large_group()) {
        let target = StickyAssignor.assign(&topics, &members);
        let first = CooperativeStickyAssignor.assign(&topics, &members);
        for (member, partitions) in &target {
            let given: Vec<&TopicPartition> = first[member].iter().collect();
            let free: Vec<&TopicPartition> =
                partitions.iter().filter(|partition| maybe_reading(&members, partition).into_iter().all(|reader| reader == member)).collect();
            prop_assert_eq!(given, free);
        }
        // Everybody gives up what was not assigned, and joins again.
        for member in &mut members {
            (member.owned, member.generation) = (first[&member.member].clone(), Some(7));
        }
        let second = CooperativeStickyAssignor.assign(&topics, &members);
        assert_valid(&topics, &members, &second);
        prop_assert!(first.iter().all(|(member, partitions)| partitions.iter().all(|partition| second[member].contains(partition))));
    }
}
