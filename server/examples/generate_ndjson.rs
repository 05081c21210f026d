//! Writes NDJSON that looks like real events: the same bytes for the same seed. For tests and benchmarks, not for data.
//!
//! Keys are skewed (a few are in most lines), lines have 20 B to 64 KiB, times are RFC 3339 or milliseconds and about one in ten is out of order.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

/// Write seeded NDJSON to the standard output.
#[derive(Parser)]
#[command(after_help = "Examples:\n  generate_ndjson --seed 7 --bytes 1GiB > events.ndjson\n  generate_ndjson --time ms --bytes 1MiB")]
struct Arguments {
    /// The same seed gives the same bytes.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Stop at the first whole line at or past this size: 65536, 64KiB, 16MiB, 1GiB.
    #[arg(long, default_value = "1MiB", value_parser = parse_bytes)]
    bytes: u64,
    /// How times are written.
    #[arg(long, value_enum, default_value_t = TimeFormat::Rfc3339)]
    time: TimeFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TimeFormat {
    Rfc3339,
    Ms,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match generate(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate_ndjson: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(arguments: &Arguments) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let mut random = Random(arguments.seed);
    let mut time_ms: i64 = 1_700_000_000_000;
    let mut line = String::new();
    let mut written = 0;
    let mut sequence = 0u64;
    while written < arguments.bytes {
        time_ms += random.below(20) as i64;
        // Late arrivals: up to ten seconds behind.
        let late_ms = if random.below(10) == 0 { random.below(10_000) as i64 } else { 0 };
        write_line(&mut line, &mut random, sequence, time_ms - late_ms, arguments.time);
        out.write_all(line.as_bytes())?;
        written += line.len() as u64;
        sequence += 1;
    }
    out.flush()
}

fn write_line(line: &mut String, random: &mut Random, sequence: u64, time_ms: i64, format: TimeFormat) {
    use std::fmt::Write as _;
    line.clear();
    line.push_str("{\"ts\":");
    let result = match format {
        TimeFormat::Ms => write!(line, "{time_ms}"),
        TimeFormat::Rfc3339 => {
            let time = jiff::Timestamp::from_millisecond(time_ms).expect("a time of the years 2023 to 2262 is a timestamp");
            write!(line, "\"{time:.3}\"")
        }
    };
    result.expect("a String takes everything");
    // One in fifty has neither key nor payload: 20 bytes with millisecond times.
    if random.below(50) != 0 {
        // The square of the square puts half of the lines on 6 % of the keys.
        let key = (random.unit().powi(4) * KEYS) as u64;
        write!(line, ",\"key\":\"user-{key}\",\"seq\":{sequence},\"text\":\"").expect("a String takes everything");
        // Doubling sizes, small ones more often; whole numbers, so that the bytes are the same on every machine.
        let base = SMALLEST << random.below(DOUBLINGS).min(random.below(DOUBLINGS));
        let size = (base + random.below(base)).min(LARGEST) as usize;
        while line.len() + LONGEST_PIECE + 3 < size {
            line.push_str(PIECES[random.below(PIECES.len() as u64) as usize]);
        }
        line.push_str("\"}\n");
    } else {
        line.push_str("}\n");
    }
}

/// splitmix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (digits, shift) = units.iter().find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, *shift))).unwrap_or((text, 0));
    let count = digits.parse::<u64>().map_err(|error| error.to_string())?;
    count.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

const KEYS: f64 = 10_000.0;
const SMALLEST: u64 = 64;
const DOUBLINGS: u64 = 11;
const LARGEST: u64 = 65_536;
const LONGEST_PIECE: usize = 16;
/// As they stand in JSON: escapes, two- to four-byte characters, digits, a `\r` and a separator that is no line end.
const PIECES: [&str; 16] = [
    "lorem ",
    "ipsum ",
    "dolor ",
    "the quick brown ",
    "0123456789 ",
    "a ",
    "caf\u{e9} ",
    "\u{4f60}\u{597d} ",
    "\u{1f30a} ",
    "\\\"quoted\\\" ",
    "line\\n",
    "tab\\t",
    "\\u00e9 ",
    "back\\\\slash ",
    "\\r",
    "\u{2028}",
];
