//! Frames: u32 LE payload length, i64 LE timestamp in ns, payload. Finds where the next one ends; copies nothing.

use super::error::{InputError, LineError};
use super::source::Source;
use tidelog::TimestampNs;

/// Bytes before the payload.
pub(crate) const FRAME_HEAD_BYTES: usize = 12;

/// The payload's length and time of the frame that `source` stands at, all of it in the window; `None` at the end.
pub(crate) fn next_frame(source: &mut Source, frame: u64, limit: usize) -> Result<Option<(usize, TimestampNs)>, InputError> {
    loop {
        let data = source.data();
        let wrong = |reason| InputError::Frame { name: source.name().to_owned(), frame, position: source.position(), reason };
        let mut expected = FRAME_HEAD_BYTES;
        if let Some((payload, timestamp)) = head(data) {
            if payload > limit {
                return Err(wrong(LineError::TooLong { limit }));
            }
            expected += payload;
            if data.len() >= expected {
                return Ok(Some((payload, timestamp)));
            }
        }
        if source.ended() {
            let found = data.len() as u64;
            return if found == 0 { Ok(None) } else { Err(wrong(LineError::CutFrame { expected: expected as u64, found })) };
        }
        source.fill()?;
    }
}

/// Whether a whole frame is in the window.
pub(crate) fn is_buffered(data: &[u8]) -> bool {
    head(data).is_some_and(|(payload, _)| data.len() - FRAME_HEAD_BYTES >= payload)
}

fn head(data: &[u8]) -> Option<(usize, TimestampNs)> {
    let (payload, rest) = data.split_first_chunk::<4>()?;
    let (timestamp, _) = rest.split_first_chunk::<8>()?;
    Some((u32::from_le_bytes(*payload) as usize, TimestampNs::new(i64::from_le_bytes(*timestamp))))
}
