//! Connections to PostgreSQL that are lost: what was not committed is done again, a commit whose answer is lost is told as such, and what was
//! acknowledged is there whatever becomes of the server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use postgres::{Config, NoTls};
use tidelog::{CommittedOffset, GroupId, OffsetStore, OffsetStoreError, PartitionKey, PostgresOffsetStore, RingRange, TimestampNs};

use crate::postgres_server::Schema;

fn key() -> PartitionKey {
    PartitionKey { topic: "t".parse().unwrap(), range: RingRange::new(4096, 0, 1024).unwrap() }
}

fn group(name: &str) -> GroupId {
    name.parse().unwrap()
}

fn at(offset: u64) -> CommittedOffset {
    CommittedOffset::new(offset, TimestampNs::new(1))
}

/// When a connection through the proxy is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    Never,
    /// Before the server hears of it.
    Before(&'static str),
    /// When the server has answered, before the client hears of that.
    Behind(&'static str),
}

/// Stands between a client and the server, and cuts the next connection on which something is said, as often as it is told to.
struct Proxy {
    armed: Arc<parking_lot::Mutex<(Cut, usize)>>,
}

impl Proxy {
    /// One in front of a server, and how to connect through it.
    fn before(direct: &Config) -> (Self, Config) {
        let postgres::config::Host::Tcp(host) = &direct.get_hosts()[0] else { panic!("a server that is reached by TCP") };
        let server = format!("{host}:{}", direct.get_ports().first().unwrap_or(&5432));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let armed = Arc::new(parking_lot::Mutex::new((Cut::Never, 0)));
        let cuts = armed.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server, cuts) = (client.unwrap(), TcpStream::connect(&server).unwrap(), cuts.clone());
                std::thread::spawn(move || relay(&client, &server, &cuts));
            }
        });
        let mut through = Config::new();
        through.host(&address.ip().to_string()).port(address.port()).user(direct.get_user().unwrap()).options(direct.get_options().unwrap());
        through.dbname(direct.get_dbname().unwrap_or_default());
        if let Some(password) = direct.get_password() {
            through.password(password);
        }
        (Self { armed }, through)
    }

    fn cut(&self, cut: Cut, times: usize) {
        *self.armed.lock() = (cut, times);
    }
}

/// One message of the client, then whatever the server says to it: that is how the client uses it.
fn relay(mut client: &TcpStream, mut server: &TcpStream, armed: &parking_lot::Mutex<(Cut, usize)>) {
    let mut bytes = vec![0; 1 << 16];
    let answers = server.try_clone().unwrap();
    let back = client.try_clone().unwrap();
    let is_mute = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mute = is_mute.clone();
    std::thread::spawn(move || {
        let (mut answers, mut back, mut bytes) = (answers, back, vec![0; 1 << 16]);
        while let Ok(count @ 1..) = answers.read(&mut bytes) {
            if mute.load(Ordering::SeqCst) || back.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        drop((answers.shutdown(Shutdown::Both), back.shutdown(Shutdown::Both)));
    });
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let says = |text: &str| bytes[..count].windows(text.len()).any(|window| window == text.as_bytes());
        let mut armed = armed.lock();
        let cut = match armed.0 {
            Cut::Before(text) | Cut::Behind(text) if armed.1 > 0 && says(text) => {
                armed.1 -= 1;
                armed.0
            }
            _ => Cut::Never,
        };
        drop(armed);
        if matches!(cut, Cut::Before(_)) {
            break;
        }
        is_mute.store(cut != Cut::Never, Ordering::SeqCst);
        if server.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    drop((server.shutdown(Shutdown::Both), client.shutdown(Shutdown::Both)));
}

#[test]
fn a_commit_whose_answer_is_lost_is_told_as_in_doubt() {
    let Some(schema) = Schema::new() else { return };
    let direct: Config = schema.url.parse().unwrap();
    let (proxy, through) = Proxy::before(&direct);
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let store = PostgresOffsetStore::connect_with("the server behind a proxy", move || {
        count.fetch_add(1, Ordering::SeqCst);
        through.connect(NoTls)
    })
    .unwrap();
    let found = |store: &PostgresOffsetStore| store.fetch(&group("g"), &key()).unwrap().map(|position| position.offset.get());
    let plain = PostgresOffsetStore::connect_with("the server", move || direct.connect(NoTls)).unwrap();
    store.commit(&group("g"), &[(key(), at(1))]).unwrap();

    // The server has committed, or has not: the client cannot know, and is told so.
    for (cut, next, is_done) in [(Cut::Behind("COMMIT\0"), 2, true), (Cut::Before("COMMIT\0"), 3, false)] {
        proxy.cut(cut, 1);
        match store.commit(&group("g"), &[(key(), at(next))]) {
            Err(error @ OffsetStoreError::OutcomeUnknown { .. }) => assert!(error.to_string().contains("behind a proxy"), "{error}"),
            other => panic!("{cut:?}: {other:?}"),
        }
        // The server may still be at work with it.
        let settled = (0..500).any(|_| {
            found(&plain) == Some(if is_done { next } else { next - 1 }) || {
                std::thread::sleep(Duration::from_millis(10));
                false
            }
        });
        assert!(settled, "{cut:?}: {:?}", found(&plain));
        assert_eq!(found(&store), found(&plain), "on a new connection");
    }
    // What was not committed is done again, and reads are: nobody hears of it.
    let before = made.load(Ordering::SeqCst);
    for (cut, next) in [(Cut::Before("START TRANSACTION"), 4), (Cut::Behind("START TRANSACTION"), 5)] {
        proxy.cut(cut, 1);
        store.commit(&group("g"), &[(key(), at(next))]).unwrap();
        assert_eq!(found(&plain), Some(next), "{cut:?}");
    }
    proxy.cut(Cut::Behind("default/t"), 1);
    assert_eq!(found(&store), Some(5));
    assert!(made.load(Ordering::SeqCst) >= before + 3);
    // Not for ever.
    proxy.cut(Cut::Before("START TRANSACTION"), usize::MAX);
    let lost = store.commit(&group("g"), &[(key(), at(6))]).unwrap_err();
    assert!(matches!(lost, OffsetStoreError::Server { .. }), "{lost}");
    proxy.cut(Cut::Never, 0);
    assert_eq!(found(&store), Some(5));
}

/// The schema is made, or is not: whoever asked for it is not told that it is not.
#[test]
fn a_migration_whose_answer_is_lost_is_told_as_in_doubt() {
    let Some(schema) = Schema::new() else { return };
    let direct: Config = schema.url.parse().unwrap();
    let (proxy, through) = Proxy::before(&direct);
    let connect = || {
        let through = through.clone();
        PostgresOffsetStore::connect_with("the server behind a proxy", move || through.connect(NoTls))
    };
    for cut in [Cut::Behind("COMMIT\0"), Cut::Before("COMMIT\0")] {
        proxy.cut(cut, 1);
        match connect() {
            Err(OffsetStoreError::OutcomeUnknown { action: "migrate", .. }) => {}
            other => panic!("{cut:?}: {other:?}"),
        }
    }
    connect().unwrap();
    assert_eq!(PostgresOffsetStore::version(&schema.url).unwrap(), PostgresOffsetStore::LATEST_VERSION);
}

/// An administrator ends all connections: the next calls have new ones, more of them at once than are kept.
#[test]
fn connections_are_replaced() {
    let Some(schema) = Schema::new() else { return };
    let store = PostgresOffsetStore::connect(&format!("{}&application_name={}", schema.url, schema.name)).unwrap();
    let everybody = |round: u64| {
        std::thread::scope(|scope| {
            for thread in 0..20 {
                let store = &store;
                scope.spawn(move || store.commit(&group(&format!("g{thread}")), &[(key(), at(round))]).unwrap());
            }
        });
    };
    everybody(1);
    let end = "SELECT COUNT(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1";
    let ended: i64 = schema.admin().query_one(end, &[&schema.name]).unwrap().get(0);
    assert!(ended >= 1, "nothing was ended");
    everybody(2);
    assert!((0..20).all(|thread| store.fetch(&group(&format!("g{thread}")), &key()).unwrap() == Some(at(2))));
}

/// The server is killed (-9) under commits and started again, by the command that TIDELOG_POSTGRES_KILL names: whatever was acknowledged is there.
#[test]
fn what_was_acknowledged_survives_a_killed_server() {
    let Some(schema) = Schema::new() else { return };
    let Ok(kill) = std::env::var("TIDELOG_POSTGRES_KILL") else {
        std::io::stderr()
            .write_all(b"\n!!!! SKIPPED: kills of PostgreSQL, since TIDELOG_POSTGRES_KILL names no command (.ci/postgres does)\n\n")
            .unwrap();
        return;
    };
    let store = PostgresOffsetStore::connect(&schema.url).unwrap();
    let (stop, acknowledged, doubts) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let lasts: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|thread| {
                let (store, stop, acknowledged, doubts) = (&store, &stop, &acknowledged, &doubts);
                scope.spawn(move || {
                    let (mut last, mut tried) = (0, 0);
                    while stop.load(Ordering::SeqCst) == 0 {
                        tried += 1;
                        match store.commit(&group(&format!("g{thread}")), &[(key(), at(tried))]) {
                            Ok(()) => {
                                last = tried;
                                acknowledged.fetch_add(1, Ordering::SeqCst);
                            }
                            Err(OffsetStoreError::OutcomeUnknown { .. }) => drop(doubts.fetch_add(1, Ordering::SeqCst)),
                            // It is not up yet.
                            Err(OffsetStoreError::Server { .. }) => std::thread::sleep(Duration::from_millis(20)),
                            Err(error) => panic!("{error}"),
                        }
                        // What was acknowledged is never behind, also right after a restart.
                        if let Ok(found) = store.fetch(&group(&format!("g{thread}")), &key()) {
                            assert!(found.map_or(0, |position| position.offset.get()) >= last);
                        }
                    }
                    (last, tried)
                })
            })
            .collect();
        let rounds: u64 = std::env::var("TIDELOG_POSTGRES_KILLS").map_or(5, |rounds| rounds.parse().unwrap());
        for round in 0..rounds {
            let before = acknowledged.load(Ordering::SeqCst);
            // In the midst of it, at another moment each time.
            while acknowledged.load(Ordering::SeqCst) < before + 50 + 7 * round as usize {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
        }
        stop.store(1, Ordering::SeqCst);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for (thread, (last, tried)) in lasts.into_iter().enumerate() {
        let found = store.fetch(&group(&format!("g{thread}")), &key()).unwrap().unwrap().offset.get();
        assert!((last..=tried).contains(&found), "group {thread}: {found} is there, {last} was acknowledged, {tried} was tried");
    }
    let said = format!("{} commits acknowledged, {} in doubt\n", acknowledged.into_inner(), doubts.into_inner());
    std::io::stderr().write_all(said.as_bytes()).unwrap();
}
