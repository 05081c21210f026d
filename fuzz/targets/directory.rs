//! A partition directory as one short input, and back: zeros behind a file are counted, a checkpoint is its two slots, and a segment is named
//! by its header unless the input says otherwise.

use std::path::Path;

use tidelog::io::sim::Image;
use tidelog_format::{
    CHECKPOINT_NAME, FILE_HEADER_BYTES, FileName, LIVE_NAME, META_NAME, QUARANTINE_NAME, SLOT_BYTES, STORE_NAME, SegmentHeader, SegmentId,
};

use super::heal;
use super::served::{DIR, STORE};

/// How the engine is used, and the files that it finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    pub how: [u8; 2],
    pub files: Vec<File>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct File {
    /// Which of `KINDS`.
    pub kind: u8,
    /// `HEAL_HEADER` and so on.
    pub flags: u8,
    /// What its name differs in from what its header says, bit by bit.
    pub base: u16,
    pub seq: u8,
    /// Frames, by bit, that are left as they are.
    pub leave: u8,
    /// How many times 64 zeros stand behind it; of a checkpoint, how many times 64 bytes it is too short.
    pub zeros: u16,
    pub bytes: Vec<u8>,
}

pub const META: u8 = 0;
pub const CHECKPOINT: u8 = 1;
pub const LOG: u8 = 2;
pub const INDEX: u8 = 3;
pub const SPARE: u8 = 4;
pub const TEMPORARY: u8 = 5;
pub const REPORT: u8 = 6;
pub const QUARANTINE: u8 = 7;
pub const LIVE: u8 = 8;
pub const IDENTITY: u8 = 9;
pub const STRANGE: u8 = 10;
pub const KINDS: u8 = 11;

pub const HEAL_HEADER: u8 = 1;
pub const HEAL_FRAMES: u8 = 2;
/// Frames are given the offsets and chains that follow.
pub const FOLLOW: u8 = 4;
pub const IS_DIRECTORY: u8 = 8;

/// Of a file, before its bytes.
const HEAD_BYTES: usize = 10;
const FILES_MAX: usize = 24;
const ZEROS_MAX: u16 = 1 << 11;

impl Directory {
    pub fn decode(data: &[u8]) -> Option<Self> {
        let (how, mut rest) = data.split_first_chunk::<2>()?;
        let mut files = Vec::new();
        while files.len() < FILES_MAX
            && let Some((head, behind)) = rest.split_first_chunk::<HEAD_BYTES>()
        {
            let [kind, flags, base0, base1, seq, leave, zeros0, zeros1, len0, len1] = *head;
            let len = usize::from(u16::from_le_bytes([len0, len1])).min(behind.len());
            let (bytes, next) = behind.split_at(len);
            let zeros = u16::from_le_bytes([zeros0, zeros1]) % ZEROS_MAX;
            files.push(File { kind: kind % KINDS, flags, base: u16::from_le_bytes([base0, base1]), seq, leave, zeros, bytes: bytes.to_vec() });
            rest = next;
        }
        Some(Self { how: *how, files })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut data = self.how.to_vec();
        for file in &self.files {
            let len = u16::try_from(file.bytes.len()).expect("files of inputs are short");
            data.extend([file.kind, file.flags]);
            data.extend(file.base.to_le_bytes());
            data.extend([file.seq, file.leave]);
            data.extend(file.zeros.to_le_bytes());
            data.extend(len.to_le_bytes());
            data.extend(&file.bytes);
        }
        data
    }

    /// The store `base` with these files in its partition, and none of those that were there.
    pub fn image(&self, base: &Image) -> Image {
        let mut image = base.clone();
        image.remove(DIR);
        image.put_directory(DIR);
        for file in &self.files {
            let path = file.path();
            if file.flags & IS_DIRECTORY != 0 {
                image.remove(&path);
                image.put_directory(path);
            } else {
                image.remove(&path);
                image.put(path, file.content());
            }
        }
        image
    }

    /// The partition's files of an image.
    pub fn of(image: &Image, how: [u8; 2]) -> Self {
        let files =
            image.files().filter(|(path, _)| path.parent() == Some(Path::new(DIR))).filter_map(|(path, bytes)| File::of(path, bytes)).collect();
        Self { how, files }
    }
}

impl File {
    fn of(path: &Path, bytes: &[u8]) -> Option<Self> {
        let used = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let kind = match FileName::parse(path.file_name()?.to_str()?)? {
            FileName::Meta => META,
            FileName::Checkpoint => {
                let slot = |number: usize| bytes.get(number * SLOT_BYTES..number * SLOT_BYTES + FILE_HEADER_BYTES).unwrap_or_default();
                return Some(Self { kind: CHECKPOINT, bytes: [slot(0), slot(1)].concat(), ..Self::default() });
            }
            FileName::Log(_) => LOG,
            FileName::Index(_) => INDEX,
            _ => return None,
        };
        // A sealed segment and an index end where they end.
        let end = used(bytes).next_multiple_of(8).min(bytes.len());
        let zeros = ((bytes.len() - end) / 64).min(usize::from(ZEROS_MAX) - 1) as u16;
        Some(Self { kind, zeros, bytes: bytes[..end].to_vec(), ..Self::default() })
    }

    fn path(&self) -> String {
        let field = |at: usize| self.bytes.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        // Where a segment header and an index header have them: SPEC.md.
        let (base, seq) = if self.kind == INDEX { (field(32), field(40)) } else { (field(32), field(56)) };
        let id = SegmentId { base_offset: base ^ u64::from(self.base), seq: seq ^ u64::from(self.seq) };
        let name = match self.kind {
            META => META_NAME.to_owned(),
            CHECKPOINT => CHECKPOINT_NAME.to_owned(),
            LOG => id.log_name(),
            INDEX => id.index_name(),
            SPARE => SegmentId::spare_name(id.seq),
            TEMPORARY => format!("{}.tmp", id.log_name()),
            REPORT => FileName::report_name(id.base_offset),
            QUARANTINE => QUARANTINE_NAME.to_owned(),
            LIVE => return format!("{STORE}/{LIVE_NAME}"),
            IDENTITY => return format!("{STORE}/{STORE_NAME}"),
            _ => "notes.txt".to_owned(),
        };
        format!("{DIR}/{name}")
    }

    fn content(&self) -> Vec<u8> {
        let heals_header = self.flags & HEAL_HEADER != 0;
        let header = |magic| if heals_header { heal::file_header(&self.bytes, magic, magic == b"TIDEMET\n") } else { self.bytes.clone() };
        let mut bytes = match self.kind {
            META => header(b"TIDEMET\n"),
            IDENTITY => header(b"TIDESTO\n"),
            CHECKPOINT => return self.slots(),
            INDEX if heals_header => heal::index(&self.bytes),
            LOG => self.segment(header(b"TIDELOG\n")),
            _ => self.bytes.clone(),
        };
        bytes.resize(bytes.len() + usize::from(self.zeros) * 64, 0);
        bytes
    }

    /// A checkpoint file of two slots, and of what stands behind the first.
    fn slots(&self) -> Vec<u8> {
        let mut file = vec![0; 2 * SLOT_BYTES];
        for (number, slot) in self.bytes.chunks(FILE_HEADER_BYTES).take(2).enumerate() {
            file[number * SLOT_BYTES..][..slot.len()].copy_from_slice(slot);
        }
        let rest = self.bytes.get(2 * FILE_HEADER_BYTES..).unwrap_or_default();
        let rest = &rest[..rest.len().min(SLOT_BYTES - FILE_HEADER_BYTES)];
        file[FILE_HEADER_BYTES..][..rest.len()].copy_from_slice(rest);
        if self.flags & HEAL_HEADER != 0 {
            file.chunks_mut(SLOT_BYTES).for_each(heal::slot);
        }
        file.truncate(file.len().saturating_sub(usize::from(self.zeros) * 64));
        file
    }

    fn segment(&self, bytes: Vec<u8>) -> Vec<u8> {
        let Ok(header) = SegmentHeader::decode(&bytes) else { return bytes };
        if self.flags & HEAL_FRAMES == 0 {
            return bytes;
        }
        let frames = heal::frames(bytes[FILE_HEADER_BYTES..].to_vec(), &header, self.leave.into(), self.flags & FOLLOW != 0);
        [&bytes[..FILE_HEADER_BYTES], &frames].concat()
    }
}
