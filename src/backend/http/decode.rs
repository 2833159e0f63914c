//! Bodies that come compressed although nobody asked for that: gzip, deflate and zstd, piece by piece.
//! Reads: the bytes of a body and its `Content-Encoding`. Gives: the bytes that were compressed.
//! Start at [`Decoder::of`].

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::body::{BODY_LIMIT, ReadTrouble};
use crate::event::{Failure, FailureKind};

/// What a gzip stream begins with.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// What a zstd frame begins with.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// How many bytes are needed to know which of these a body is.
const MAGIC: usize = ZSTD.len();

/// Takes the compression off a body.
///
/// Its first bytes decide and not its label, for proxies forget to change the label: gzip and zstd have a mark of their
/// own, and what begins like JSON, events or a page is none of them.
pub(super) enum Decoder {
    /// Too little has come to decide.
    Undecided { is_deflate: bool, held: Vec<u8> },
    /// Not compressed.
    Plain,
    /// RFC 1952.
    Gzip(Box<MultiGzDecoder<Room>>),
    /// RFC 1950, which is what `deflate` means.
    Zlib(Box<ZlibDecoder<Room>>),
    /// RFC 1951, which is what some servers take it for.
    Deflate(Box<DeflateDecoder<Room>>),
    /// RFC 8878.
    Zstd(Box<zstd::stream::write::Decoder<'static, Room>>),
}

impl Decoder {
    /// Makes the decoder of a body.
    ///
    /// # Errors
    /// When the headers name a compression that is none of these: it is the same for every answer.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let mut is_deflate = false;
        for value in headers.get_all(CONTENT_ENCODING) {
            let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            for coding in value.split(',').map(str::trim) {
                match coding {
                    "" | "identity" | "gzip" | "x-gzip" | "zstd" | "utf-8" => {}
                    "deflate" => is_deflate = true,
                    other => {
                        let detail = format!(
                            "the answer is compressed with {other:?}, though none was asked for; turn that off at the server or at the proxy in front of it"
                        );
                        return Err(Failure::new(FailureKind::Refused, detail));
                    }
                }
            }
        }
        Ok(Self::Undecided { is_deflate, held: Vec::new() })
    }

    /// Returns true when pieces pass as they are.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    /// Takes a piece; returns what it adds, which may be nothing yet.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, ReadTrouble> {
        if let Self::Undecided { is_deflate, held } = self {
            held.extend_from_slice(piece);
            let may_be = |magic: &[u8]| magic.starts_with(&held[..held.len().min(magic.len())]);
            if held.len() < MAGIC && (may_be(GZIP) || may_be(ZSTD)) {
                return Ok(Vec::new());
            }
            let held = std::mem::take(held);
            *self = Self::by(&held, *is_deflate)?;
            return self.push(&held);
        }
        match self {
            Self::Undecided { .. } => Ok(Vec::new()),
            Self::Plain => Ok(piece.to_vec()),
            Self::Gzip(decoder) => {
                write(&mut **decoder, piece)?;
                Ok(decoder.get_mut().take())
            }
            Self::Zlib(decoder) => {
                write(&mut **decoder, piece)?;
                Ok(decoder.get_mut().take())
            }
            Self::Deflate(decoder) => {
                write(&mut **decoder, piece)?;
                Ok(decoder.get_mut().take())
            }
            Self::Zstd(decoder) => {
                write(&mut **decoder, piece)?;
                Ok(decoder.get_mut().take())
            }
        }
    }

    /// Takes the end of the body; returns what it adds.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, ReadTrouble> {
        let ended = match self {
            Self::Undecided { held, .. } => return Ok(std::mem::take(held)),
            Self::Gzip(decoder) => decoder.try_finish().map(|()| decoder.get_mut().take()),
            Self::Zlib(decoder) => decoder.try_finish().map(|()| decoder.get_mut().take()),
            Self::Deflate(decoder) => decoder.try_finish().map(|()| decoder.get_mut().take()),
            // Whether a zstd frame is whole is seen by what it held.
            Self::Plain | Self::Zstd(_) => Ok(Vec::new()),
        };
        ended.map_err(|error| trouble(&error))
    }

    fn by(start: &[u8], is_deflate: bool) -> Result<Self, ReadTrouble> {
        let room = Room::default();
        let first = start.first().copied().unwrap_or_default();
        Ok(if start.starts_with(GZIP) {
            Self::Gzip(Box::new(MultiGzDecoder::new(room)))
        } else if start.starts_with(ZSTD) {
            let decoder = zstd::stream::write::Decoder::new(room).map_err(|error| trouble(&error))?;
            Self::Zstd(Box::new(decoder))
        } else if !is_deflate || b" \t\r\n{[<:deir\xef".contains(&first) {
            Self::Plain
        } else if first & 0x0f == 8 {
            Self::Zlib(Box::new(ZlibDecoder::new(room)))
        } else {
            Self::Deflate(Box::new(DeflateDecoder::new(room)))
        })
    }
}

/// Where a decoder writes: no more at once than any answer may hold, however much a few bytes unpack to.
#[derive(Default)]
pub(super) struct Room(Vec<u8>);

#[derive(Debug, thiserror::Error)]
#[error("more than any answer holds")]
struct Full;

impl Room {
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > BODY_LIMIT {
            return Err(io::Error::other(Full));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(decoder: &mut dyn Write, mut piece: &[u8]) -> Result<(), ReadTrouble> {
    while !piece.is_empty() {
        match decoder.write(piece).map_err(|error| trouble(&error))? {
            // What follows the compressed answer is nothing of it.
            0 => break,
            taken => piece = &piece[taken..],
        }
    }
    decoder.flush().map_err(|error| trouble(&error))
}

fn trouble(error: &io::Error) -> ReadTrouble {
    if matches!(error.get_ref(), Some(inner) if inner.is::<Full>()) {
        return ReadTrouble::TooLarge;
    }
    ReadTrouble::Cut(format!("its compression does not unpack ({error})"))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const BODY: &[u8] = br#"{"choices":[{"message":{"content":"Canberra."}}]} and more, and more, and more"#;

    fn headers(coding: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, coding.parse().expect("a header value"))])
    }

    fn unpack(coding: &str, packed: &[u8], size: usize) -> Result<Vec<u8>, ReadTrouble> {
        let mut decoder = Decoder::of(&headers(coding)).expect("a known coding");
        let mut unpacked = Vec::new();
        for piece in packed.chunks(size) {
            unpacked.extend(decoder.push(piece)?);
        }
        unpacked.extend(decoder.finish()?);
        Ok(unpacked)
    }

    fn packed(coding: &str) -> Vec<u8> {
        let level = Compression::default();
        match coding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(BODY).expect("memory");
                encoder.finish().expect("memory")
            }
            "zlib" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(BODY).expect("memory");
                encoder.finish().expect("memory")
            }
            "raw" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(BODY).expect("memory");
                encoder.finish().expect("memory")
            }
            _ => zstd::encode_all(BODY, 3).expect("memory"),
        }
    }

    #[test]
    fn every_compression_is_taken_off_however_the_body_is_cut() {
        for (label, how) in
            [("gzip", "gzip"), ("x-gzip", "gzip"), ("deflate", "zlib"), ("deflate", "raw"), ("zstd", "zstd")]
        {
            for size in [1, 3, 7, 4096] {
                assert_eq!(unpack(label, &packed(how), size).expect("it unpacks"), BODY, "{label} {how} {size}");
            }
        }
    }

    #[test]
    fn the_bytes_decide_and_not_the_label() {
        for label in ["gzip", "deflate", "zstd", "identity"] {
            assert_eq!(unpack(label, BODY, 1).expect("it is plain"), BODY, "{label}");
        }
        assert_eq!(unpack("identity", &packed("gzip"), 5).expect("it unpacks"), BODY);
        assert_eq!(unpack("gzip", &packed("zstd"), 5).expect("it unpacks"), BODY);
        assert_eq!(unpack("gzip", b"\x1f", 1).expect("too short for anything"), b"\x1f");
    }

    #[test]
    fn half_a_body_is_cut_a_bomb_is_too_large_and_the_rest_is_named() {
        let gzip = packed("gzip");
        assert!(matches!(unpack("gzip", &gzip[..gzip.len() / 2], 9), Err(ReadTrouble::Cut(_))));
        let bomb = zstd::encode_all(&vec![b' '; BODY_LIMIT + 1][..], 3).expect("memory");
        assert!(bomb.len() < 4_096, "it is one piece");
        assert!(matches!(unpack("zstd", &bomb, bomb.len()), Err(ReadTrouble::TooLarge)));
        let failure = Decoder::of(&headers("br")).err().expect("nobody unpacks that");
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.detail.contains("\"br\""), "{}", failure.detail);
    }
}
