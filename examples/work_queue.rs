//! A work queue: jobs are spread over partitions by key, a worker for each commits how far it is in a second topic. Every job is done at
//! least once; after a crash, the few jobs since the last commit are done again.
//!
//! `cargo run --example work_queue`

use std::collections::BTreeMap;
use std::error::Error;
use std::thread;
use std::time::Duration;

use tidelog::{AckLevel, Offset, Partition, Record, Start, Store, Topic};

const JOBS: u32 = 400;
const PARTITIONS: u32 = 2;
/// A commit costs an append: one for so many jobs.
const COMMIT_EVERY: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let jobs = store.create_topic("jobs", PARTITIONS)?;
    let positions = store.create_topic("jobs-positions", PARTITIONS)?;

    // Jobs of one customer go to one partition and so are done in order.
    let producer = {
        let jobs = jobs.clone();
        thread::spawn(move || produce(&jobs).map_err(|error| error.to_string()))
    };

    // The first worker of partition 0 crashes in the middle of its 57th job; the other one does not notice.
    let mut done: BTreeMap<String, u32> = BTreeMap::new();
    let crashed = work(&jobs.partition(0)?, &positions.partition(0)?, Some(57))?;
    println!("worker 0 crashed after {} jobs", crashed.len());
    crashed.into_iter().for_each(|job| *done.entry(job).or_default() += 1);
    producer.join().map_err(|_| "the producer panicked")??;

    thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let workers: Vec<_> = (0..PARTITIONS)
            .map(|number| {
                let (jobs, positions) = (jobs.partition(number)?, positions.partition(number)?);
                Ok(scope.spawn(move || work(&jobs, &positions, None).map_err(|error| error.to_string())))
            })
            .collect::<Result<_, Box<dyn Error>>>()?;
        for (number, worker) in workers.into_iter().enumerate() {
            let finished = worker.join().map_err(|_| "a worker panicked")??;
            println!("worker {number} did {} jobs", finished.len());
            finished.into_iter().for_each(|job| *done.entry(job).or_default() += 1);
        }
        Ok(())
    })?;

    let again = done.values().filter(|times| **times > 1).count();
    println!("{} jobs, all done; {again} of them twice", done.len());
    assert_eq!(done.len(), JOBS as usize, "no job is lost");
    assert!((1..COMMIT_EVERY).contains(&again), "only what was done since the last commit is done again");
    Ok(())
}

fn produce(jobs: &Topic) -> Result<(), Box<dyn Error>> {
    for number in 0..JOBS {
        let customer = format!("customer {}", number % 17);
        let partition = jobs.partition(jobs.partition_for_key(customer.as_bytes()))?;
        // A job that a kill may lose together with its producer needs no sync of its own.
        partition.append_with(Record::new(&format!("job {number}")).key(&customer), AckLevel::Written)?;
    }
    for number in 0..jobs.partition_count() {
        jobs.partition(number)?.append(Record::tombstone())?; // closing time
    }
    Ok(())
}

/// Does jobs from where the last worker committed until closing time, or until it "crashes"; returns the jobs done.
fn work(jobs: &Partition, positions: &Partition, crash_after: Option<usize>) -> Result<Vec<String>, Box<dyn Error>> {
    let mut reader = jobs.read_from(committed(positions)?)?;
    let mut finished = Vec::new();
    loop {
        let Some(job) = reader.next().transpose()? else {
            reader.wait(Duration::from_secs(1))?; // asleep until the producer's next sync
            continue;
        };
        let Some(job) = job.value() else { break };
        if crash_after == Some(finished.len()) {
            return Ok(finished); // this job is read, but neither done nor committed
        }
        finished.push(String::from_utf8(job.to_vec())?);
        if finished.len().is_multiple_of(COMMIT_EVERY) {
            commit(positions, reader.offset())?;
        }
    }
    commit(positions, reader.offset())?;
    Ok(finished)
}

/// The last record of the positions' partition says which job is next.
fn committed(positions: &Partition) -> Result<Offset, Box<dyn Error>> {
    match positions.read(Start::Last(1))?.next().transpose()? {
        Some(record) => Ok(Offset::new(u64::from_le_bytes(record.value().ok_or("an empty position")?.try_into()?))),
        None => Ok(Offset::new(0)),
    }
}

fn commit(positions: &Partition, next: Offset) -> Result<(), Box<dyn Error>> {
    positions.append(Record::new(&next.get().to_le_bytes()))?;
    // What came before is of no use to anybody; the files go as segments fill.
    positions.delete_prefix(positions.log_end_offset().get() - 1)?;
    Ok(())
}
