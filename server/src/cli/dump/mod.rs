//! `tidelog dump`: every structure of one file of a store, with its position, its fields and what is wrong with it. Changes not one byte.

mod frames;
mod index;
mod segment;
mod small;
mod structure;
mod window;

use std::fs::File;
use std::io::{BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

use tidelog_format::{FileName, LIVE_NAME, LOCK_NAME, STORE_NAME, TOPIC_COPY_NAME, TOPIC_NAME};

use self::structure::Structure;
use self::window::Window;
use crate::exit::{Exit, Failure};
use crate::output::{counted, stdout};

/// Print what one file of a store holds, byte by byte.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog dump data/topics/default/events/0/00000000000000000000-0000000001.log
  tidelog dump data/topics/default/events/0/CHECKPOINT --json
  tidelog dump 00000000000000000000-0000000001.log --values

FILE is a segment (.log), an index (.idx), CHECKPOINT, META, TOPIC, STORE, LIVE, LOCK, a recovery report or a file in quarantine/, known
by its first bytes, else by its name. Each structure is printed with its position in bytes; what is wrong with it stands below it, behind !!.
All checksums are verified, and in a segment the order of offsets, the chain from batch to batch and how far each claims to be durable.

A segment alone does not always tell a torn end, which a crash leaves, from damage: a fault is damage where the seal or a later batch in
the same file says that it was durable, else it is taken for a torn end, and the standard error says so; `tidelog verify` knows more.

Exit codes:
  0  printed; a torn end is one line on the standard error
  1  failed: an I/O error, also that nothing is there
  3  refused: not a file of a store, or of a newer version
  4  damaged")]
pub(crate) struct Args {
    /// The file.
    file: PathBuf,
    /// Print the keys and values of records too, as text, cut at 64 characters.
    #[arg(long)]
    values: bool,
    /// Print one JSON object a line for each structure.
    #[arg(long)]
    json: bool,
}

/// What a file is, as its first bytes or its name say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Segment,
    Index,
    Checkpoint,
    Meta,
    Topic,
    Store,
    Live,
    Lock,
    Report,
    /// What stood from a position of a segment on.
    Piece(u64),
}

/// Prints structures, and remembers what was wrong.
pub(super) struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    json: bool,
    values: bool,
    damage: Vec<String>,
    torn: Option<String>,
}

impl Printer {
    fn print(&mut self, structure: &Structure) -> Result<(), Failure> {
        if self.json { structure.write_json(&mut self.out) } else { structure.write_text(&mut self.out) }.map_err(Failure::output)
    }

    fn damaged(&mut self, what: String) {
        self.damage.push(what);
    }

    fn torn(&mut self, what: String) {
        self.torn.get_or_insert(what);
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let failed = |error| Failure::because(Exit::Failed, format!("reading {}", args.file.display()), error);
    let metadata = std::fs::metadata(&args.file).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::new(Exit::Refused, format!("{} is not a regular file", args.file.display())));
    }
    let mut window = Window::new(File::open(&args.file).map_err(failed)?, 0, metadata.len());
    let magic = window.from(0, MAGIC_BYTES).map_err(failed)?;
    let magic = magic[..magic.len().min(MAGIC_BYTES)].to_vec();
    let name = args.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(kind) = kind_of(&magic, name) else {
        let what = format!("{} is no file of a store: {EXPECTED}; it begins with {}", args.file.display(), structure::hex(&magic));
        return Err(Failure::new(Exit::Refused, what));
    };
    let mut printer = Printer { out: stdout(), json: args.json, values: args.values, damage: Vec::new(), torn: None };
    let printed = print_file(&mut printer, window, kind, &args.file, name);
    printer.out.flush().map_err(Failure::output)?;
    printed?;
    Ok(verdict(&printer, &args.file))
}

fn verdict(printer: &Printer, path: &Path) -> Exit {
    let path = path.display();
    match (printer.damage.as_slice(), &printer.torn) {
        ([first, rest @ ..], _) => {
            let more = if rest.is_empty() { String::new() } else { format!("; {} more", counted(rest.len() as u64, "place", "places")) };
            super::say(&format!("{path}: damaged: {first}{more}"));
            Exit::Damage
        }
        ([], Some(torn)) => {
            super::say(&format!("{path}: {torn}"));
            Exit::Done
        }
        ([], None) => Exit::Done,
    }
}

fn print_file(printer: &mut Printer, window: Window, kind: Kind, path: &Path, name: &str) -> Result<(), Failure> {
    let failed = |error| Failure::because(Exit::Failed, format!("reading {}", path.display()), error);
    match kind {
        Kind::Segment => segment::print(printer, window, parsed_name(name), &failed),
        Kind::Piece(position) => {
            let file = File::open(path).map_err(failed)?;
            let len = file.metadata().map_err(failed)?.len();
            segment::print_piece(printer, Window::new(file, position, position.saturating_add(len.next_multiple_of(8))), path, &failed)
        }
        Kind::Index => index::print(printer, window, parsed_name(name), &failed),
        Kind::Checkpoint => small::print_checkpoint(printer, window, &failed),
        Kind::Meta => small::print_meta(printer, window, &failed),
        Kind::Topic => small::print_topic(printer, window, &failed),
        Kind::Store => small::print_store(printer, window, &failed),
        Kind::Live => small::print_live(printer, window, &failed),
        Kind::Lock => small::print_lock(printer, window, &failed),
        Kind::Report => small::print_report(printer, window, &failed),
    }
}

fn kind_of(magic: &[u8], name: &str) -> Option<Kind> {
    if let Some((_, kind)) = MAGICS.iter().find(|(expected, _)| magic == *expected) {
        return Some(*kind);
    }
    match name {
        STORE_NAME => return Some(Kind::Store),
        TOPIC_NAME | TOPIC_COPY_NAME => return Some(Kind::Topic),
        LOCK_NAME => return Some(Kind::Lock),
        LIVE_NAME => return Some(Kind::Live),
        _ => {}
    }
    if let Some(position) = piece_position(name) {
        return Some(Kind::Piece(position));
    }
    match parsed_name(name)? {
        FileName::Meta => Some(Kind::Meta),
        FileName::Checkpoint => Some(Kind::Checkpoint),
        FileName::Log(_) | FileName::Spare(_) => Some(Kind::Segment),
        FileName::Index(_) => Some(Kind::Index),
        FileName::Report(_) => Some(Kind::Report),
        FileName::Temporary | FileName::Quarantine => None,
    }
}

/// A name in the partition, or with the time behind it that quarantine adds, or not yet given.
fn parsed_name(name: &str) -> Option<FileName> {
    let stem = without_time(name);
    match FileName::parse(stem)? {
        FileName::Temporary => FileName::parse(stem.strip_suffix(".tmp")?),
        other => Some(other),
    }
}

fn without_time(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, time)) if !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => name,
    }
}

/// `{base}-{seq}-{position}.bin`, as quarantine names what was cut off a segment.
fn piece_position(name: &str) -> Option<u64> {
    let (stem, position) = without_time(name).strip_suffix(".bin")?.rsplit_once('-')?;
    matches!(FileName::parse(&format!("{stem}.log"))?, FileName::Log(_)).then(|| position.parse().ok())?
}

const MAGIC_BYTES: usize = 8;
const MAGICS: [(&[u8], Kind); 7] = [
    (b"TIDELOG\n", Kind::Segment),
    (b"TIDEIDX\n", Kind::Index),
    (b"TIDECKP\n", Kind::Checkpoint),
    (b"TIDEMET\n", Kind::Meta),
    (b"TIDETOP\n", Kind::Topic),
    (b"TIDESTO\n", Kind::Store),
    (b"TIDELIV\n", Kind::Live),
];
const EXPECTED: &str = "expected TIDELOG, TIDEIDX, TIDECKP, TIDEMET, TIDETOP, TIDESTO or TIDELIV in its first bytes, or the name of a segment \
                        (.log), an index (.idx), CHECKPOINT, META, TOPIC, STORE, LIVE, LOCK, a recovery report or quarantined bytes (.bin)";
