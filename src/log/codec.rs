//! Compression of a batch's record section as a whole. Knows no frames.

use tidelog_format::Codec;

/// Appends the compressed form of `records` to `out`.
///
/// # Errors
/// Why not: the codec is not built in, or the library failed.
#[cfg_attr(not(any(feature = "lz4", feature = "zstd")), expect(unused_variables, clippy::ptr_arg, reason = "every codec is a feature"))]
pub(crate) fn compress(codec: Codec, records: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    match codec {
        #[cfg(feature = "lz4")]
        Codec::Lz4 => {
            use std::io::Write;
            let mut encoder = lz4_flex::frame::FrameEncoder::new(out);
            encoder.write_all(records).map_err(|error| error.to_string())?;
            encoder.finish().map(drop).map_err(|error| error.to_string())
        }
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::stream::copy_encode(records, out, ZSTD_LEVEL).map_err(|error| error.to_string()),
        other => Err(format!("this build cannot write {other:?}")),
    }
}

/// The record section that `stored` is the compressed form of; `None` if this build lacks the codec.
///
/// # Errors
/// Why the bytes are not what the codec makes.
#[cfg_attr(not(any(feature = "lz4", feature = "zstd")), expect(unused_variables, reason = "every codec is a feature"))]
pub(crate) fn decompress(codec: Codec, stored: &[u8]) -> Option<Result<Vec<u8>, String>> {
    match codec {
        #[cfg(feature = "lz4")]
        Codec::Lz4 => Some(read_limited(lz4_flex::frame::FrameDecoder::new(stored))),
        #[cfg(feature = "zstd")]
        Codec::Zstd => Some(zstd::stream::Decoder::new(stored).map_err(|error| error.to_string()).and_then(read_limited)),
        _ => None,
    }
}

/// A small section may claim to be huge: never more than a frame may hold.
#[cfg(any(feature = "lz4", feature = "zstd"))]
fn read_limited(reader: impl std::io::Read) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut records = Vec::new();
    let limit = u64::from(tidelog_format::FRAME_BYTES_MAX);
    reader.take(limit + 1).read_to_end(&mut records).map_err(|error| error.to_string())?;
    if records.len() as u64 > limit { Err(format!("more than {limit} bytes")) } else { Ok(records) }
}

#[cfg(feature = "zstd")]
const ZSTD_LEVEL: i32 = 1;
