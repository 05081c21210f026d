//! Any bytes as a program of the crash campaign: what they say is done to a log on a disk that loses power, and the campaign's oracle judges
//! what is left.

#[path = "../../tests/crash/campaign.rs"]
pub(crate) mod campaign;
#[path = "../../tests/crash/figures.rs"]
pub(crate) mod figures;
#[path = "../../tests/crash/model.rs"]
pub(crate) mod model;
#[path = "../../tests/crash/program.rs"]
pub(crate) mod program;
#[path = "../../tests/crash/random.rs"]
pub(crate) mod random;

/// The first two bytes decide what the cuts keep, the others are the program.
pub fn run(data: &[u8]) {
    let Some((seed, data)) = data.split_first_chunk::<2>() else { return };
    let program = program::Program::of_bytes(data);
    if let Err(broken) = campaign::run_program(u16::from_le_bytes(*seed).into(), &program, CUTS) {
        panic!("{broken}");
    }
}

/// Of so many cuts, one is judged: else an input would take seconds.
const CUTS: u64 = 24;
