//! Content hashes: 128 bits of BLAKE3, written as 32 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The first 16 bytes of a BLAKE3 hash.
///
/// Collisions are negligible up to 2^50 texts (birthday bound 2^64); not a defence against an author who
/// builds colliding prompts on purpose beyond BLAKE3's own strength at 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The least of all, where a range begins; no text is known to have it.
    pub const LEAST: Self = Self([0; 16]);

    /// Hashes one byte string.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::cut(blake3::hash(bytes))
    }

    /// Hashes what a reader gives, in constant memory: [`Self::of`] of the same bytes.
    ///
    /// # Errors
    /// The reader's own.
    pub fn of_reader(reader: &mut dyn std::io::Read) -> std::io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        std::io::copy(reader, &mut hasher)?;
        Ok(Self::cut(hasher.finalize()))
    }

    /// Takes sixteen stored bytes for a digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the sixteen bytes, for storage.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the first 64 bits, for seeds, jitter and sampling.
    #[must_use]
    pub fn low_bits(&self) -> u64 {
        let mut eight = [0; 8];
        eight.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(eight)
    }

    /// Returns the first eight hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }

    fn cut(hash: blake3::Hash) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        Self(bytes)
    }
}

/// Hashes what is written through it, in constant memory.
pub struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W> Hashing<W> {
    /// Returns a writer that has written nothing yet.
    #[must_use]
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }

    /// Returns what was written to, and [`Digest::of`] all that was.
    #[must_use]
    pub fn into_parts(self) -> (W, Digest) {
        (self.inner, Digest::cut(self.hasher.finalize()))
    }
}

impl<W: std::io::Write> std::io::Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Hashes a sequence of fields so that no two different sequences give the same bytes.
///
/// Each field is written as its length (eight bytes, little endian) and then its bytes. They are kept until the end and
/// hashed at once: for the few hundred bytes of an event that is faster than a state of two kilobytes that is handed on
/// from field to field.
#[derive(Clone, Default)]
pub struct Hasher(Vec<u8>);

impl Hasher {
    /// Starts a hash whose first field is `domain`, so that hashes of different things never meet.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self(Vec::with_capacity(256)).field(domain.as_bytes())
    }

    /// Adds one field.
    #[must_use]
    pub fn field(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a number as a field of eight bytes.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.field(&number.to_le_bytes())
    }

    /// Ends the hash.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEXLOWER.encode_mut_str(&self.0, &mut [0; 32]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("a digest is 32 hexadecimal digits, this is {0:?}")]
pub struct ParseDigestError(String);

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 16];
        let is_whole = text.len() == 32 && HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut bytes).is_ok();
        is_whole.then_some(Self(bytes)).ok_or_else(|| ParseDigestError(text.to_owned()))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

/// Reads a digest where its text lies: a journal has several in every event.
struct Digits;

impl Visitor<'_> for Digits {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 hexadecimal digits")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Digest, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest::of(b"motion");
        assert_eq!(digest.to_string().parse::<Digest>().ok(), Some(digest));
        assert_eq!(digest.to_string().to_uppercase().parse::<Digest>().ok(), Some(digest));
        let json = serde_json::to_string(&digest).expect("a text");
        assert_eq!((json.len(), serde_json::from_str::<Digest>(&json).ok()), (34, Some(digest)));
        for wrong in [
            "",
            "zz",
            "+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1",
            &format!("{digest}0"),
            &digest.to_string()[..30],
            "ééééééééééééééé1x",
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_read_and_what_is_written_have_the_digest_of_their_bytes() {
        let text = "motion".repeat(10_000);
        assert_eq!(
            Digest::of_reader(&mut text.as_bytes()).expect("a slice can be read"),
            Digest::of(text.as_bytes())
        );
        let mut writer = Hashing::new(Vec::new());
        text.as_bytes().chunks(7).try_for_each(|chunk| writer.write_all(chunk)).expect("a vector takes all");
        let (written, digest) = writer.into_parts();
        assert_eq!((written.as_slice(), digest), (text.as_bytes(), Digest::of(text.as_bytes())));
    }

    #[test]
    fn fields_do_not_run_together() {
        let one = Hasher::new("t").field(b"ab").field(b"c").finish();
        let other = Hasher::new("t").field(b"a").field(b"bc").finish();
        assert_ne!(one, other);
    }
}
