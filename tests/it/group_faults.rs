//! A coordinator whose offset store fails, or takes its time: nothing that is not kept is told, and nothing that was told is lost.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidelog::group::{GroupError, GroupState, JoinRequest};
use tidelog::io::fault::{Fault, Op};
use tidelog::{LogOffsetStore, MemoryOffsetStore, OffsetStore, SyncPolicy};

use crate::group_support::{Groups, SESSION, answer, group, request};
use crate::offset_faults::{Faulty, When};
use crate::reading_support::{Other, faulty, other, tell};
use crate::subscription_groups::Beside;

/// The changes of the store are: the generation, its assignments, and what comes then.
fn failing(call: u32) -> Groups {
    Groups::on(|options| options.initial_rebalance_delay(Duration::ZERO), |_| Arc::new(Faulty::new(call, When::Fail(1))))
}

fn is_failure<T: std::fmt::Debug>(outcome: &Result<T, GroupError>) -> bool {
    matches!(outcome, Err(GroupError::Store(_)))
}

/// Defect of the reference: a position that could not be kept was acknowledged.
#[test]
fn a_commit_that_fails_is_no_success() {
    let groups = failing(3);
    let member = groups.stable(&["a"]).remove(0);
    groups.commit(&member, 0, 3).unwrap();
    assert!(is_failure(&groups.commit(&member, 0, 5)));
    assert_eq!(groups.committed(0), Some(3));
    groups.commit(&member, 0, 5).unwrap();
    // The commit that failed has ended: a rebalance does not wait for it.
    groups.clock.advance(SESSION);
    assert!(groups.joined(&request("b")).generation > member.generation);
}

#[test]
fn a_generation_that_cannot_be_kept_is_told_to_nobody() {
    let groups = failing(0);
    let mut first = groups.join(&request("a"));
    assert!(is_failure(&answer(&mut first)));
    assert!(groups.coordinator.list().unwrap().is_empty(), "nothing is left of it");
    assert_eq!(groups.joined(&request("a")).generation, 1);
}

/// Those who were members before may try again; one that was never told of its id is not kept.
#[test]
fn members_outlive_a_generation_that_cannot_be_kept() {
    let groups = failing(2);
    let member = groups.stable(&["a"]).remove(0);
    let mut late = groups.join(&request("b"));
    let mut again = groups.join(&JoinRequest { member_id: Some(member.member_id.clone()), ..request("a") });
    assert!(is_failure(&answer(&mut late)) && is_failure(&answer(&mut again)));
    let found = groups.coordinator.describe(&group()).unwrap();
    assert_eq!((found.state, found.generation, found.members.len()), (GroupState::PreparingRebalance, member.generation, 1));
    let joined = groups.joined(&JoinRequest { member_id: Some(member.member_id), ..request("a") });
    assert_eq!((joined.generation, joined.members.len()), (member.generation + 1, 1));
}

#[test]
fn assignments_that_cannot_be_kept_are_told_to_nobody() {
    let groups = failing(1);
    let joined = groups.joined(&request("a"));
    assert!(is_failure(&answer(&mut groups.sync(&joined.identity(), &[(joined.member_id.as_str(), "all")]))));
    assert_eq!(groups.coordinator.describe(&group()).unwrap().state, GroupState::PreparingRebalance);
    let again = groups.joined(&JoinRequest { member_id: Some(joined.member_id), ..request("a") });
    assert_eq!(again.generation, 2);
    groups.synced(&[again]);
}

/// A disk that fails: what was acknowledged before is there when the store is opened again, or what was refused behind it.
#[test]
fn what_was_acknowledged_before_a_failed_sync_is_kept() {
    let (storage, options) = faulty();
    let dir = tempfile::tempdir().unwrap();
    let store = options.segment_bytes(64 << 10).sync_policy(SyncPolicy::OsOnly).open(dir.path()).unwrap();
    let offsets: Arc<dyn OffsetStore> = Arc::new(LogOffsetStore::open(&store).unwrap());
    let groups = Groups::on(|options| options.initial_rebalance_delay(Duration::ZERO), |_| offsets);
    let member = groups.stable(&["a"]).remove(0);
    groups.commit(&member, 0, 3).unwrap();
    storage.inject(Fault::at(Op::Sync).from_then_on());
    assert!(is_failure(&groups.commit(&member, 0, 5)));
    let mut late = groups.join(&request("b"));
    let mut again = groups.join(&JoinRequest { member_id: Some(member.member_id.clone()), ..request("a") });
    assert!(is_failure(&answer(&mut late)) && is_failure(&answer(&mut again)));
    drop(groups);
    let _ = store.close();
    storage.heal();
    let store = tidelog::Store::open(dir.path()).unwrap();
    let offsets = LogOffsetStore::open(&store).unwrap();
    let committed = offsets.fetch_all(&group()).unwrap()[0].1.offset.get();
    assert!([3, 5].contains(&committed), "{committed}");
    let generation = offsets.load_group(&group()).unwrap().unwrap().generation;
    assert!((member.generation..=member.generation + 1).contains(&generation), "{generation}");
}

/// While a store makes a commit durable, nobody is told of the next generation: what its members commit is not undone by a commit of the last one.
#[test]
fn a_rebalance_waits_for_commits_under_way() {
    let (is_in, go) = (channel(), channel::<()>());
    let go_on = Mutex::new(go.1);
    let entered = Mutex::new(is_in.0);
    let beside = Beside {
        on_commit: Box::new(move || {
            entered.lock().unwrap().send(()).unwrap();
            go_on.lock().unwrap().recv().unwrap();
        }),
        ..Beside::new(&Arc::new(MemoryOffsetStore::new()))
    };
    let groups = Groups::on(|options| options.initial_rebalance_delay(Duration::ZERO), |_| Arc::new(beside));
    let member = groups.stable(&["a"]).remove(0);
    std::thread::scope(|scope| {
        let go = go.0; // gone with a panic, so that the commit does not wait for ever
        let commit = scope.spawn(|| groups.commit(&member, 0, 5));
        is_in.1.recv().unwrap();
        groups.heartbeat(&member).unwrap(); // the group is not locked meanwhile
        let mut late = groups.join(&request("b"));
        let mut again = groups.join(&JoinRequest { member_id: Some(member.member_id.clone()), ..request("a") });
        assert!(late.take().is_none() && again.take().is_none());
        assert!(matches!(groups.commit(&member, 0, 6), Err(GroupError::RebalanceInProgress { .. })));
        go.send(()).unwrap();
        commit.join().unwrap().unwrap();
        assert_eq!(answer(&mut late).unwrap().generation, answer(&mut again).unwrap().generation);
    });
    assert_eq!(groups.committed(0), Some(5));
}

/// A process that commits, and rebalances, until it is killed: it tells the generation and the number of commits that were acknowledged.
#[test]
fn committer() {
    let Some((dir, _)) = other() else { return };
    let groups = Groups::open(&dir);
    let mut count = 0;
    loop {
        // Whoever was a member has to be given up first.
        let _ = groups.coordinator.describe(&group());
        groups.clock.advance(SESSION);
        let member = groups.stable(&["a"]).remove(0);
        for _ in 0..5 {
            count += 1;
            groups.commit(&member, 0, count % 100).unwrap();
            tell("kept", format!("{} {count}", member.generation));
        }
    }
}

#[test]
fn positions_and_generations_survive_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 1..=6 {
        let mut committer = Other::start("group_faults::committer", home.path(), "");
        let mut told: Vec<String> = (0..round * 12).map(|_| committer.hear("kept")).collect();
        committer.kill();
        told.extend(committer.last_words("kept"));
        let told =
            told.iter().map(|line| line.split_once(' ').unwrap()).map(|(generation, count)| (generation.parse().unwrap(), count.parse().unwrap()));
        let told: Vec<(i32, u64)> = told.collect();
        assert!(told[0].0 > last, "generation {} after {last}", told[0].0);
        let (generation, count) = *told.last().unwrap();
        let groups = Groups::open(home.path());
        let found = groups.committed(0).unwrap();
        assert!([count, count + 1].iter().any(|count| count % 100 == found), "commit {count} was acknowledged, {found} is there");
        last = groups.coordinator.describe(&group()).unwrap().generation;
        assert!(last >= generation, "{generation} was told, {last} is there");
    }
}
