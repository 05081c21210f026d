//! Consumer groups, one rule of the protocol a test: who is let in, who is told what, who is removed, and what is kept. No test waits for time.

use std::sync::Arc;
use std::time::Duration;

use tidelog::group::{GroupError, GroupState, JoinRequest, LeavingMember, MemberIdentity, PendingAnswer, SyncRequest};
use tidelog::{CommittedOffset, OffsetStoreError, TimestampNs};

use crate::group_support::{Groups, REBALANCE, SESSION, answer, group, id_of, instance, request};

const NO_TIME: Duration = Duration::ZERO;

fn is_waiting<T>(pending: &mut PendingAnswer<T>) -> bool {
    pending.take().is_none()
}

fn is_rebalancing<T: std::fmt::Debug>(outcome: &Result<T, GroupError>) -> bool {
    matches!(outcome, Err(GroupError::RebalanceInProgress { .. }))
}

fn is_unknown<T: std::fmt::Debug>(outcome: &Result<T, GroupError>) -> bool {
    matches!(outcome, Err(GroupError::UnknownMember { .. }))
}

fn stranger(generation: i32) -> MemberIdentity {
    MemberIdentity { member_id: id_of("stranger"), instance_id: None, generation }
}

#[test]
fn members_share_a_generation() {
    let groups = Groups::new();
    let first = groups.joined(&request("a"));
    assert_eq!((first.generation, &first.leader, first.members.len()), (1, &first.member_id, 1));
    assert_eq!(groups.coordinator.describe(&group()).unwrap().state, GroupState::CompletingRebalance);
    groups.synced(std::slice::from_ref(&first));
    let mut second = groups.join(&request("b"));
    assert!(is_waiting(&mut second), "the first one has not heard of it");
    assert!(is_rebalancing(&groups.heartbeat(&first.identity())));
    let mut first = groups.join(&JoinRequest { member_id: Some(first.member_id), ..request("a") });
    let joined = [answer(&mut first).unwrap(), answer(&mut second).unwrap()];
    assert!(joined.iter().all(|member| member.generation == 2 && member.leader == joined[0].member_id && member.protocol == "range"));
    assert_eq!((joined[0].members.len(), joined[1].members.len()), (2, 0), "the leader alone is told who the others are");
    groups.synced(&joined);
    let description = groups.coordinator.describe(&group()).unwrap();
    assert_eq!((description.state, description.generation, description.members.len()), (GroupState::Stable, 2, 2));
    assert!(description.members.iter().all(|(id, member)| member.assignment == id.as_str().as_bytes() && member.subscription == b"t"));
    assert_eq!(groups.coordinator.list().unwrap().len(), 1);
}

/// Two processes of one program call themselves alike, and are two members.
#[test]
fn members_of_one_client_id_are_different_ones() {
    let groups = Groups::new();
    let ids = groups.stable(&["same", "other"]);
    let mut third = groups.join(&request("same"));
    assert!(is_waiting(&mut third));
    assert_eq!(groups.coordinator.describe(&group()).unwrap().members.len(), 3);
    assert!(ids.iter().all(|id| is_rebalancing(&groups.heartbeat(id))));
}

#[test]
fn a_member_without_an_id_is_given_one_to_join_with() {
    let groups = Groups::new();
    let without = JoinRequest { requires_member_id: true, ..request("a") };
    let Err(GroupError::MemberIdRequired { member_id }) = answer(&mut groups.join(&without)) else { panic!("no id was given") };
    assert!(member_id.as_str().starts_with("a-"));
    let joined = groups.joined(&JoinRequest { member_id: Some(member_id.clone()), ..without.clone() });
    assert_eq!((joined.member_id, joined.generation), (member_id, 1));
    // An id that nobody joins with is forgotten.
    let Err(GroupError::MemberIdRequired { member_id }) = answer(&mut groups.join(&without)) else { panic!("no id was given") };
    groups.clock.advance(SESSION);
    assert!(is_unknown(&answer(&mut groups.join(&JoinRequest { member_id: Some(member_id), ..without }))));
    // One that was made up is none; and a static member has a name.
    assert!(is_unknown(&answer(&mut groups.join(&JoinRequest { member_id: Some(id_of("made up")), ..request("a") }))));
    let named = JoinRequest { requires_member_id: true, ..instance("i") };
    assert!(groups.joined(&named).member_id.as_str().starts_with("i-"));
}

/// A rebalance waits for an id that was given out, until its session times out.
#[test]
fn a_rebalance_waits_for_who_was_given_an_id() {
    let groups = Groups::new();
    let without = JoinRequest { requires_member_id: true, ..request("a") };
    assert!(answer(&mut groups.join(&without)).is_err());
    let mut other = groups.join(&request("b"));
    assert!(is_waiting(&mut other));
    groups.clock.advance(SESSION);
    assert_eq!(answer(&mut other).unwrap().generation, 1);
}

#[test]
fn the_first_rebalance_waits_for_those_who_start_together() {
    let delay = Duration::from_secs(3);
    let groups = Groups::with(|options| options.initial_rebalance_delay(delay));
    let mut first = groups.join(&request("a"));
    groups.clock.advance(Duration::from_secs(2));
    let mut second = groups.join(&request("b"));
    assert!(is_waiting(&mut first) && is_waiting(&mut second));
    groups.clock.advance(Duration::from_secs(1));
    assert!(is_waiting(&mut first), "somebody came: it is put off");
    groups.clock.advance(delay);
    let joined = [answer(&mut first).unwrap(), answer(&mut second).unwrap()];
    assert!(joined.iter().all(|member| member.generation == 1));
    assert_eq!(joined[0].members.len() + joined[1].members.len(), 2);
}

/// Others go on coming, and it is begun all the same.
#[test]
fn the_first_rebalance_is_not_put_off_for_ever() {
    let groups = Groups::with(|options| options.initial_rebalance_delay(Duration::from_secs(25)));
    let mut first = groups.join(&request("a"));
    let mut others = Vec::new();
    for number in 0..6 {
        groups.clock.advance(Duration::from_secs(10));
        others.push(groups.join(&request(&format!("b{number}"))));
    }
    assert_eq!(answer(&mut first).unwrap().generation, 1, "60 s are over");
}

/// The reference answered ILLEGAL_GENERATION, upon which clients give up what they have.
#[test]
fn during_a_rebalance_members_are_told_so() {
    let groups = Groups::new();
    let members = groups.stable(&["a", "b"]);
    let _late = groups.join(&request("c"));
    for member in &members {
        assert!(is_rebalancing(&groups.heartbeat(member)));
        assert!(is_rebalancing(&answer(&mut groups.sync(member, &[]))));
        groups.commit(member, 0, 1).unwrap(); // what was read is committed before the member joins again
    }
}

#[test]
fn a_late_joiner_between_join_and_sync_restarts_the_round() {
    let groups = Groups::new();
    let joined = groups.joined(&request("a"));
    let mut late = groups.join(&request("b"));
    assert!(is_waiting(&mut late));
    assert!(is_rebalancing(&answer(&mut groups.sync(&joined.identity(), &[(joined.member_id.as_str(), "all")]))));
    let mut again = groups.join(&JoinRequest { member_id: Some(joined.member_id), ..request("a") });
    let joined = [answer(&mut again).unwrap(), answer(&mut late).unwrap()];
    assert!(joined.iter().all(|member| member.generation == 2));
    groups.synced(&joined);
}

#[test]
fn a_follower_waits_for_what_the_leader_assigns() {
    let groups = Groups::new();
    let members = groups.stable(&["a", "b"]);
    let mut joins: Vec<_> = [("a", &members[0]), ("b", &members[1])]
        .map(|(name, member)| {
            groups.join(&JoinRequest { member_id: Some(member.member_id.clone()), protocols: vec![("range".into(), b"u".into())], ..request(name) })
        })
        .into();
    let joined: Vec<_> = joins.iter_mut().map(|join| answer(join).unwrap()).collect();
    let (leader, follower) = if joined[0].members.is_empty() { (&joined[1], &joined[0]) } else { (&joined[0], &joined[1]) };
    let mut waiting = groups.sync(&follower.identity(), &[(follower.member_id.as_str(), "not its to say")]);
    assert!(is_waiting(&mut waiting));
    groups.clock.advance(SESSION / 2);
    groups.heartbeat(&leader.identity()).unwrap();
    groups.clock.advance(SESSION / 2);
    assert!(is_waiting(&mut waiting), "who waits is not given up");
    let assigned = answer(&mut groups.sync(&leader.identity(), &[(follower.member_id.as_str(), "f"), ("nobody", "x")])).unwrap();
    assert_eq!((answer(&mut waiting).unwrap().assignment, assigned.assignment), (b"f".to_vec(), Vec::new()));
}

/// The leader has died between its join and its sync: the others are told, and go on without it.
#[test]
fn nobody_waits_for_a_leader_that_has_died() {
    let groups = Groups::new();
    groups.stable(&["a", "b"]);
    let members: Vec<_> = groups.coordinator.describe(&group()).unwrap().members.into_iter().map(|(id, _)| id).collect();
    let mut joins: Vec<_> = members
        .iter()
        .map(|id| groups.join(&JoinRequest { member_id: Some(id.clone()), protocols: vec![("range".into(), b"u".into())], ..request("x") }))
        .collect();
    let joined: Vec<_> = joins.iter_mut().map(|join| answer(join).unwrap()).collect();
    let follower = joined.iter().find(|member| member.members.is_empty()).unwrap();
    let mut waiting = groups.sync(&follower.identity(), &[]);
    groups.clock.advance(SESSION);
    assert!(is_rebalancing(&answer(&mut waiting)));
    let again = groups.joined(&JoinRequest { member_id: Some(follower.member_id.clone()), ..request("x") });
    assert_eq!((again.generation, again.members.len(), &again.leader), (follower.generation + 1, 1, &follower.member_id));
}

/// A client that lost the answer, or wants to hear it again, loses nothing.
#[test]
fn a_rejoin_does_not_wipe_assignments() {
    let groups = Groups::new();
    let members = groups.stable(&["a", "b"]);
    let description = groups.coordinator.describe(&group()).unwrap();
    let follower = members.iter().find(|member| Some(&member.member_id) != description.leader.as_ref()).unwrap();
    let again = groups.joined(&JoinRequest { member_id: Some(follower.member_id.clone()), ..request("x") });
    assert_eq!(again.generation, 2);
    assert_eq!(answer(&mut groups.sync(follower, &[])).unwrap().assignment, follower.member_id.as_str().as_bytes());
    assert!(members.iter().all(|member| groups.heartbeat(member).is_ok()));
    // Also while a rebalance goes on that comes to nothing.
    let _late = groups.join(&request("c"));
    let during = groups.coordinator.describe(&group()).unwrap();
    assert!(during.members.iter().filter(|(id, _)| !id.as_str().starts_with("c-")).all(|(id, member)| member.assignment == id.as_str().as_bytes()));
}

/// The leader asks for a new assignment by joining again: topics may have got partitions.
#[test]
fn a_leader_that_joins_again_has_everything_assigned_anew() {
    let groups = Groups::new();
    let members = groups.stable(&["a", "b"]);
    let leader = groups.coordinator.describe(&group()).unwrap().leader.unwrap();
    let mut again = groups.join(&JoinRequest { member_id: Some(leader), ..request("x") });
    assert!(is_waiting(&mut again));
    assert!(members.iter().any(|member| is_rebalancing(&groups.heartbeat(member))));
}

/// The reference looked every 30 s: meanwhile a member that was gone held its partitions.
#[test]
fn expired_members_go_at_every_join() {
    let groups = Groups::new();
    let gone = groups.stable(&["a"]).remove(0);
    groups.clock.advance(SESSION - Duration::from_millis(1));
    let mut waits = groups.join(&request("b"));
    assert!(is_waiting(&mut waits));
    groups.clock.advance(Duration::from_millis(1));
    let joined = answer(&mut waits).unwrap();
    assert_eq!((joined.members.len(), joined.generation), (1, 2));
    assert!(is_unknown(&groups.heartbeat(&gone)));
    assert!(is_unknown(&groups.commit(&gone, 0, 1)));
}

#[test]
fn heartbeats_commits_and_syncs_are_signs_of_life() {
    let groups = Groups::new();
    let member = groups.stable(&["a"]).remove(0);
    for round in 0..9 {
        groups.clock.advance(SESSION - Duration::from_nanos(1));
        match round % 3 {
            0 => groups.heartbeat(&member).unwrap(),
            1 => groups.commit(&member, 0, round).unwrap(),
            _ => drop(answer(&mut groups.sync(&member, &[])).unwrap()),
        }
    }
    groups.clock.advance(SESSION);
    assert!(is_unknown(&groups.heartbeat(&member)));
    assert_eq!(groups.coordinator.describe(&group()).unwrap().state, GroupState::Empty);
    assert_eq!(groups.committed(0), Some(7), "its positions stay");
}

/// A member that does not join again in time is not waited for any longer.
#[test]
fn a_rebalance_waits_for_members_as_long_as_they_said() {
    let groups = Groups::new();
    let members = groups.stable(&["a", "b"]);
    let mut late = groups.join(&request("c"));
    let mut first = groups.join(&JoinRequest { member_id: Some(members[0].member_id.clone()), ..request("a") });
    for _ in 0..12 {
        assert!(is_waiting(&mut late) && is_waiting(&mut first));
        assert!(is_rebalancing(&groups.heartbeat(&members[1])));
        groups.clock.advance(REBALANCE / 12);
        let _ = groups.heartbeat(&members[1]);
    }
    assert_eq!(answer(&mut late).unwrap().generation, answer(&mut first).unwrap().generation);
    assert!(is_unknown(&groups.heartbeat(&members[1])));
}

/// One that says nothing is waited for as long as for a heartbeat, and not for no time at all.
#[test]
fn a_member_without_a_rebalance_timeout_is_waited_for() {
    let groups = Groups::new();
    let without = |name: &str| JoinRequest { rebalance_timeout: NO_TIME, ..request(name) };
    let first = groups.joined(&without("a"));
    groups.synced(std::slice::from_ref(&first));
    let mut second = groups.join(&without("b"));
    assert!(is_waiting(&mut second));
    let mut again = groups.join(&JoinRequest { member_id: Some(first.member_id), ..without("a") });
    assert_eq!(answer(&mut again).unwrap().generation, answer(&mut second).unwrap().generation);
}

/// One that has joined and does not ask for its assignment is not kept, whatever its heartbeats say.
#[test]
fn a_member_that_never_syncs_is_removed() {
    let groups = Groups::new();
    let joined = groups.joined(&request("a"));
    for _ in 0..12 {
        groups.heartbeat(&joined.identity()).unwrap();
        groups.clock.advance(REBALANCE / 12);
    }
    assert!(is_unknown(&groups.heartbeat(&joined.identity())));
}

#[test]
fn the_last_one_to_leave_leaves_an_empty_group() {
    let groups = Groups::new();
    let members = groups.stable(&["a", "b"]);
    groups.commit(&members[0], 0, 7).unwrap();
    let leaving: Vec<_> = members.iter().map(|member| LeavingMember { member_id: Some(member.member_id.clone()), instance_id: None }).collect();
    let nobody = LeavingMember { member_id: Some(id_of("nobody")), instance_id: None };
    let outcomes = groups.coordinator.leave(&group(), &[leaving[0].clone(), nobody, leaving[1].clone()]).unwrap();
    assert!(outcomes[0].is_ok() && is_unknown(&outcomes[1]) && outcomes[2].is_ok());
    let description = groups.coordinator.describe(&group()).unwrap();
    assert_eq!((description.state, description.generation, description.members.len()), (GroupState::Empty, 3, 0));
    assert_eq!(groups.committed(0), Some(7));
    assert_eq!(groups.joined(&request("a")).generation, 4);
}

#[test]
fn whoever_leaves_is_not_waited_for() {
    let groups = Groups::new();
    let members = groups.stable(&["a", "b"]);
    let mut again =
        groups.join(&JoinRequest { member_id: Some(members[0].member_id.clone()), protocols: vec![("range".into(), b"u".into())], ..request("a") });
    assert!(is_waiting(&mut again));
    let leaving = LeavingMember { member_id: Some(members[1].member_id.clone()), instance_id: None };
    groups.coordinator.leave(&group(), &[leaving]).unwrap().remove(0).unwrap();
    assert_eq!(answer(&mut again).unwrap().members.len(), 1);
}

#[test]
fn a_member_that_leaves_while_it_waits_is_told() {
    let groups = Groups::new();
    groups.stable(&["a"]);
    let mut waits = groups.join(&request("b"));
    let members = groups.coordinator.describe(&group()).unwrap().members;
    let (id, _) = members.iter().find(|(id, _)| id.as_str().starts_with("b-")).unwrap();
    groups.coordinator.leave(&group(), &[LeavingMember { member_id: Some(id.clone()), instance_id: None }]).unwrap().remove(0).unwrap();
    assert!(is_unknown(&answer(&mut waits)));
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let groups = Groups::new();
    let first = groups.joined(&instance("i"));
    assert!(first.member_id.as_str().starts_with("i-"));
    groups.synced(std::slice::from_ref(&first));
    let old = first.identity();
    groups.heartbeat(&old).unwrap();
    let again = groups.joined(&instance("i"));
    assert_eq!((again.generation, again.skip_assignment, again.members.len()), (1, true, 1), "without a rebalance");
    assert!(again.member_id != first.member_id && again.leader == again.member_id);
    let new = again.identity();
    assert_eq!(answer(&mut groups.sync(&new, &[])).unwrap().assignment, first.member_id.as_str().as_bytes());
    // Whoever had the name before is fenced, whatever it asks for.
    let is_fenced = |outcome: Result<(), GroupError>| matches!(outcome, Err(GroupError::FencedInstance { .. }));
    assert!(is_fenced(groups.heartbeat(&old)) && is_fenced(groups.commit(&old, 0, 1)));
    assert!(is_fenced(answer(&mut groups.sync(&old, &[])).map(drop)));
    assert!(is_fenced(answer(&mut groups.join(&JoinRequest { member_id: Some(old.member_id.clone()), ..instance("i") })).map(drop)));
    assert!(is_unknown(&groups.heartbeat(&MemberIdentity { instance_id: None, ..first.identity() })), "nor without its name");
    let leaving = LeavingMember { member_id: Some(old.member_id), instance_id: Some("i".parse().unwrap()) };
    assert!(is_fenced(groups.coordinator.leave(&group(), &[leaving]).unwrap().remove(0)));
    groups.commit(&new, 0, 5).unwrap();
    // It is removed by its name alone.
    let leaving = LeavingMember { member_id: None, instance_id: Some("i".parse().unwrap()) };
    groups.coordinator.leave(&group(), std::slice::from_ref(&leaving)).unwrap().remove(0).unwrap();
    assert!(is_unknown(&groups.coordinator.leave(&group(), &[leaving]).unwrap().remove(0)));
}

#[test]
fn a_static_member_that_is_replaced_while_it_waits_is_fenced() {
    let groups = Groups::new();
    groups.stable(&["a"]);
    let mut first = groups.join(&instance("i"));
    assert!(is_waiting(&mut first));
    let mut second = groups.join(&instance("i"));
    assert!(matches!(answer(&mut first), Err(GroupError::FencedInstance { .. })));
    assert!(is_waiting(&mut second));
    groups.clock.advance(SESSION);
    assert_eq!(answer(&mut second).unwrap().members.len(), 1);
}

/// One that is away has its partitions until its session times out: no rebalance gives them to others.
#[test]
fn a_static_member_that_is_away_keeps_its_place() {
    let groups = Groups::new();
    let away = groups.joined(&JoinRequest { session_timeout: 20 * REBALANCE, ..instance("i") });
    groups.synced(std::slice::from_ref(&away));
    let mut other = groups.join(&request("b"));
    groups.clock.advance(REBALANCE);
    let joined = answer(&mut other).unwrap();
    assert_eq!((joined.members.len(), &joined.leader), (2, &joined.member_id), "the one that is there leads");
    let synced = answer(&mut groups.sync(&joined.identity(), &[(joined.member_id.as_str(), "b"), (away.member_id.as_str(), "i")])).unwrap();
    assert_eq!(synced.assignment, b"b");
    let back = groups.joined(&instance("i"));
    assert_eq!(answer(&mut groups.sync(&back.identity(), &[])).unwrap().assignment, b"i");
}

#[test]
fn who_does_not_fit_is_not_let_in() {
    let groups = Groups::with(|options| options.initial_rebalance_delay(NO_TIME).group_size_max(2));
    let why = |request: JoinRequest| answer(&mut groups.join(&request)).unwrap_err();
    for session_timeout in [NO_TIME, Duration::from_secs(6) - Duration::from_nanos(1), Duration::from_secs(1801), Duration::MAX] {
        let error = why(JoinRequest { session_timeout, ..request("a") });
        assert!(matches!(error, GroupError::InvalidSessionTimeout { found, .. } if found == session_timeout), "{error}");
    }
    let is_inconsistent = |request: JoinRequest| matches!(why(request), GroupError::InconsistentProtocol { .. });
    assert!(is_inconsistent(JoinRequest { protocols: Vec::new(), ..request("a") }));
    assert!(is_inconsistent(JoinRequest { protocol_type: String::new(), ..request("a") }));
    assert!(groups.coordinator.list().unwrap().is_empty(), "nothing is left of them");
    let members = groups.stable(&["a"]);
    assert!(is_inconsistent(JoinRequest { protocol_type: "connect".to_owned(), ..request("b") }));
    assert!(is_inconsistent(JoinRequest { protocols: vec![("sticky".to_owned(), Vec::new())], ..request("b") }));
    groups.heartbeat(&members[0]).unwrap();
    // The only one may change its mind.
    let other = JoinRequest { member_id: Some(members[0].member_id.clone()), protocols: vec![("sticky".to_owned(), Vec::new())], ..request("a") };
    assert_eq!(groups.joined(&other).protocol, "sticky");
    let second = JoinRequest { rebalance_timeout: Duration::MAX, ..other.clone() };
    let _second = groups.join(&JoinRequest { member_id: None, ..second });
    assert!(matches!(why(JoinRequest { member_id: None, ..other }), GroupError::GroupFull { limit: 2, .. }));
}

#[test]
fn the_protocol_is_the_one_that_most_like_best() {
    let groups = Groups::with(|options| options.initial_rebalance_delay(Duration::from_secs(1)));
    let known = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Vec::new())).collect::<Vec<_>>();
    let mut joins: Vec<_> = [&["x", "range", "sticky"][..], &["sticky", "range"], &["sticky", "range"]]
        .map(|names| groups.join(&JoinRequest { protocols: known(names), ..request("a") }))
        .into();
    (0..3).for_each(|_| groups.clock.advance(Duration::from_secs(1)));
    for join in &mut joins {
        assert_eq!(answer(join).unwrap().protocol, "sticky");
    }
}

#[test]
fn a_sync_of_another_protocol_is_refused() {
    let groups = Groups::new();
    let joined = groups.joined(&request("a"));
    let sync = |kind: &str, name: &str| {
        let request = SyncRequest { member: joined.identity(), protocol: Some((kind.to_owned(), name.to_owned())), assignments: Vec::new() };
        answer(&mut groups.coordinator.sync(&group(), request))
    };
    assert!(matches!(sync("connect", "range"), Err(GroupError::InconsistentProtocol { .. })));
    assert!(matches!(sync("consumer", "sticky"), Err(GroupError::InconsistentProtocol { .. })));
    assert!(sync("consumer", "range").is_ok());
}

#[test]
fn only_members_of_the_generation_commit() {
    let groups = Groups::new();
    let first = groups.stable(&["a"]).remove(0);
    groups.commit(&first, 0, 3).unwrap();
    let illegal = |outcome: Result<(), GroupError>| matches!(outcome, Err(GroupError::IllegalGeneration { .. }));
    assert!(is_unknown(&groups.commit(None, 0, 9)), "not while there are members");
    assert!(is_unknown(&groups.commit(&stranger(first.generation), 0, 9)), "the generation alone is no key");
    for generation in [-1, 0, first.generation + 1] {
        assert!(illegal(groups.commit(&MemberIdentity { generation, ..first.clone() }, 0, 9)), "{generation}");
        assert!(illegal(groups.heartbeat(&MemberIdentity { generation, ..first.clone() })), "{generation}");
    }
    let mut late = groups.join(&request("b"));
    groups.commit(&first, 0, 4).unwrap();
    let again = groups.joined(&JoinRequest { member_id: Some(first.member_id.clone()), ..request("a") });
    answer(&mut late).unwrap();
    assert!(is_rebalancing(&groups.commit(&again.identity(), 0, 9)), "nothing is assigned in the new generation yet");
    assert!(illegal(groups.commit(&first, 0, 9)));
    assert_eq!(groups.committed(0), Some(4));
}

/// Who uses a group to keep positions, and assigns partitions without it.
#[test]
fn anybody_commits_for_a_group_without_members() {
    let groups = Groups::new();
    groups.commit(None, 0, 3).unwrap();
    assert_eq!(groups.coordinator.describe(&group()).unwrap().state, GroupState::Empty);
    assert!(is_unknown(&groups.commit(&stranger(1), 0, 9)));
    assert_eq!(groups.committed(0), Some(3));
}

#[test]
fn positions_that_would_skip_records_are_refused() {
    let groups = Groups::new();
    let member = groups.stable(&["a"]).remove(0);
    groups.commit(&member, 0, 100).unwrap();
    let error = groups.commit(&member, 0, 101).unwrap_err();
    assert!(matches!(error, GroupError::PastHighWaterMark { found, high_water_mark, .. } if found == 101 && high_water_mark == 100), "{error}");
    let at = |offset: u64| CommittedOffset::new(offset, TimestampNs::new(0));
    let elsewhere = tidelog::PartitionKey { topic: "nowhere".parse().unwrap(), ..groups.key(0) };
    let other_range = tidelog::PartitionKey { range: tidelog::RingRange::new(4096, 0, 7).unwrap(), ..groups.key(0) };
    for unknown in [elsewhere, other_range] {
        let outcome = groups.coordinator.commit(&group(), Some(&member), &[(groups.key(1), at(1)), (unknown, at(0))]);
        assert!(matches!(outcome, Err(GroupError::UnknownPartition { .. })), "{outcome:?}");
    }
    let note = |bytes: usize| CommittedOffset { metadata: "n".repeat(bytes), ..at(1) };
    let outcome = groups.coordinator.commit(&group(), Some(&member), &[(groups.key(1), note(4097))]);
    assert!(matches!(outcome, Err(GroupError::Store(OffsetStoreError::MetadataTooLarge { found: 4097, limit: 4096 }))), "{outcome:?}");
    assert_eq!((groups.committed(0), groups.committed(1)), (Some(100), None), "nothing of a commit that is refused is kept");
    groups.coordinator.commit(&group(), Some(&member), &[(groups.key(1), note(4096))]).unwrap();
    let all = groups.coordinator.fetch_all(&group()).unwrap();
    assert_eq!((all.len(), &all[1].1.metadata), (2, &note(4096).metadata));
}

#[test]
fn a_group_with_members_is_not_deleted() {
    let groups = Groups::new();
    let is_unknown_group = |outcome: Result<usize, GroupError>| matches!(outcome, Err(GroupError::UnknownGroup { .. }));
    assert!(is_unknown_group(groups.coordinator.delete(&group())));
    assert!(matches!(groups.coordinator.describe(&group()), Err(GroupError::UnknownGroup { .. })));
    let member = groups.stable(&["a"]).remove(0);
    groups.commit(&member, 0, 3).unwrap();
    assert!(matches!(groups.coordinator.delete(&group()), Err(GroupError::NotEmpty { .. })));
    groups.heartbeat(&member).unwrap();
    groups.clock.advance(SESSION);
    assert_eq!(groups.coordinator.delete(&group()).unwrap(), 1);
    assert!(is_unknown_group(groups.coordinator.delete(&group())));
    assert!(groups.offsets.groups().unwrap().is_empty() && groups.coordinator.list().unwrap().is_empty());
}

/// Positions of a group that is at work do not expire, however long ago they were committed; those of one that is gone do.
#[test]
fn positions_expire_when_their_group_is_gone() {
    let day = Duration::from_secs(24 * 60 * 60);
    let groups = Groups::with(|options| options.initial_rebalance_delay(NO_TIME).offsets_retention(7 * day).session_timeout(NO_TIME, 90 * day));
    let joined = groups.joined(&JoinRequest { session_timeout: 30 * day, ..request("a") });
    groups.synced(std::slice::from_ref(&joined));
    groups.commit(&joined.identity(), 0, 3).unwrap();
    groups.clock.advance(29 * day);
    assert_eq!(groups.coordinator.expire_offsets().unwrap(), 0);
    groups.clock.advance(day);
    assert_eq!(groups.coordinator.expire_offsets().unwrap(), 0, "its last member has just gone");
    groups.clock.advance(7 * day - Duration::from_nanos(1));
    assert_eq!(groups.coordinator.expire_offsets().unwrap(), 0);
    groups.clock.advance(Duration::from_nanos(1));
    assert_eq!(groups.coordinator.expire_offsets().unwrap(), 1);
    assert!(groups.coordinator.list().unwrap().is_empty(), "nothing is left of it");
    // Without members, each position counts from its commit, or to the time that it said.
    let until = |ns: i64| CommittedOffset { expires_at: Some(TimestampNs::new(ns)), ..CommittedOffset::new(1, groups.clock.now()) };
    groups.coordinator.commit(&group(), None, &[(groups.key(0), until(groups.clock.now().get() + 5))]).unwrap();
    groups.commit(None, 1, 1).unwrap();
    groups.clock.advance(Duration::from_nanos(5));
    assert_eq!(groups.coordinator.expire_offsets().unwrap(), 1);
    assert_eq!((groups.committed(0), groups.committed(1)), (None, Some(1)));
}

/// Defect of the reference: generations began anew, so that a member of long ago was taken for one of today.
#[test]
fn a_restart_goes_on_where_the_group_was() {
    let mut groups = Groups::new();
    let members = groups.stable(&["a", "b"]);
    groups.commit(&members[0], 0, 7).unwrap();
    groups.restart();
    let description = groups.coordinator.describe(&group()).unwrap();
    assert_eq!((description.state, description.generation), (GroupState::Stable, members[0].generation));
    for member in &members {
        groups.heartbeat(member).unwrap();
        assert_eq!(answer(&mut groups.sync(member, &[])).unwrap().assignment, member.member_id.as_str().as_bytes());
    }
    assert_eq!(groups.committed(0), Some(7));
    // Told of a generation, and not assigned in it yet: the next one is higher all the same.
    let mut late = groups.join(&request("c"));
    let mut joins: Vec<_> =
        members.iter().map(|member| groups.join(&JoinRequest { member_id: Some(member.member_id.clone()), ..request("x") })).collect();
    let told = answer(&mut late).unwrap();
    joins.iter_mut().for_each(|join| assert_eq!(answer(join).unwrap().generation, told.generation));
    groups.restart();
    assert!(is_unknown(&groups.heartbeat(&told.identity())), "it was never assigned anything");
    for member in &members {
        let now = MemberIdentity { generation: told.generation, ..member.clone() };
        assert_eq!(answer(&mut groups.sync(&now, &[])).unwrap().assignment, member.member_id.as_str().as_bytes(), "as before");
    }
    groups.clock.advance(SESSION);
    assert!(groups.joined(&request("d")).generation > told.generation);
}

#[test]
fn static_members_keep_their_assignment_across_a_restart() {
    let mut groups = Groups::new();
    let joined = groups.joined(&instance("i"));
    groups.synced(std::slice::from_ref(&joined));
    groups.restart();
    let again = groups.joined(&instance("i"));
    assert_eq!(again.generation, joined.generation);
    let identity = again.identity();
    assert_eq!(answer(&mut groups.sync(&identity, &[])).unwrap().assignment, joined.member_id.as_str().as_bytes());
    groups.restart();
    groups.heartbeat(&identity).unwrap();
    let old = joined.identity();
    assert!(matches!(groups.heartbeat(&old), Err(GroupError::FencedInstance { .. })), "the new id is the one that was kept");
}

/// What another coordinator has done since is not undone, and not taken for one's own.
#[test]
fn a_coordinator_that_was_overtaken_knows_nothing() {
    let mut groups = Groups::new();
    let member = groups.stable(&["a"]).remove(0);
    let overtaken = groups.coordinator.clone();
    groups.restart();
    let mut other = groups.join(&request("b"));
    groups.clock.advance(SESSION);
    let newer = answer(&mut other).unwrap();
    groups.synced(std::slice::from_ref(&newer));
    let outcome = overtaken.heartbeat(&group(), &newer.identity());
    // The clock has told both; the one that was overtaken found out, and reads what is there now.
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(is_unknown(&overtaken.heartbeat(&group(), &member)));
}

/// A thread that waits needs nobody to move time on: it sleeps until what it waits for is due.
#[test]
fn a_thread_that_waits_sees_to_timeouts_by_itself() {
    let groups = Groups::with(|options| options.initial_rebalance_delay(Duration::from_millis(20)).clock(tidelog::Clock::system()));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let coordinator = groups.coordinator.clone();
            std::thread::spawn(move || {
                let joined = coordinator.join(&group(), request(&format!("m{number}"))).wait().unwrap();
                let assignments = joined.members.iter().map(|member| (member.member_id.clone(), b"x".to_vec())).collect();
                let synced = coordinator.sync(&group(), SyncRequest { member: joined.identity(), protocol: None, assignments }).wait();
                (joined.generation, synced.map(|synced| synced.assignment))
            })
        })
        .collect();
    let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    // Those that came before the others were slow to begin may have been told to join again.
    assert!(
        outcomes
            .iter()
            .all(|(generation, synced)| *generation >= 1 && (synced.as_deref().is_ok_and(|bytes| bytes == b"x") || is_rebalancing(synced)))
    );
}

/// A server awaits answers, and has one thread for the timeouts of all groups.
#[test]
fn answers_can_be_awaited() {
    let groups = Groups::with(|options| options.initial_rebalance_delay(Duration::from_millis(5)).clock(tidelog::Clock::system()));
    let timers = groups.coordinator.clone();
    let thread = std::thread::spawn(move || timers.run_timers());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let joined = runtime.block_on(async {
        let joins = (0..20).map(|number| groups.coordinator.join(&format!("g{number}").parse().unwrap(), request("a")));
        futures_util::future::join_all(joins).await
    });
    assert!(joined.iter().all(|joined| joined.as_ref().is_ok_and(|joined| joined.generation == 1)));
    groups.coordinator.close();
    thread.join().unwrap();
}

/// Commits of members of one group come side by side, and none is lost.
#[test]
fn commits_of_many_threads_are_all_kept() {
    let groups = Groups::new();
    let members = Arc::new(groups.stable(&["a", "b"]));
    std::thread::scope(|scope| {
        for (number, member) in members.iter().enumerate() {
            let groups = &groups;
            scope.spawn(move || {
                for offset in 1..=50 {
                    groups.commit(member, number as u32, offset).unwrap();
                    assert_eq!(groups.committed(number as u32), Some(offset));
                }
            });
        }
    });
    assert_eq!((groups.committed(0), groups.committed(1)), (Some(50), Some(50)));
}
