//! Putting weights into the cache: beside, compared, renamed.
//! Reads: bytes. Gives: a whole file in its place, or nothing. Never: the network (see `fetch`).
//! Start at [`install`].

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Weights, WeightsError};

/// Copies a file into its place in the cache when its content is right; blocks for as long as that takes.
///
/// # Errors
/// The content is another one, or the file cannot be read or written; the place is then as it was.
pub fn install(from: &Path, weights: &Weights, to: &Path) -> Result<(), WeightsError> {
    let unreadable = |source| WeightsError::File { action: "read", path: from.to_owned(), source };
    let mut source = File::open(from).map_err(unreadable)?;
    let mut incoming = Incoming::create(from.display().to_string(), weights, to)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = source.read(&mut buffer).map_err(unreadable)?;
        if length == 0 {
            return incoming.keep();
        }
        incoming.write(&buffer[..length])?;
    }
}

/// A file on its way into the cache; dropped before [`Incoming::keep`], it leaves nothing.
pub(super) struct Incoming {
    origin: String,
    weights: Weights,
    to: PathBuf,
    beside: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
}

impl Incoming {
    pub(super) fn create(origin: String, weights: &Weights, to: &Path) -> Result<Self, WeightsError> {
        if let Some(folder) = to.parent() {
            let source = |source| WeightsError::File { action: "create", path: folder.to_owned(), source };
            fs::create_dir_all(folder).map_err(source)?;
        }
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let beside = to.with_file_name(format!("{name}.part-{}", std::process::id()));
        let source = |source| WeightsError::File { action: "create", path: beside.clone(), source };
        let file = File::create(&beside).map_err(source)?;
        let to = to.to_owned();
        Ok(Self { origin, weights: *weights, to, beside, file, hash: Sha256::new(), length: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), WeightsError> {
        self.length += bytes.len() as u64;
        if self.length > self.weights.bytes {
            let Weights { file, bytes: expected, .. } = self.weights;
            return Err(WeightsError::TooLong { origin: self.origin.clone(), file, expected });
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(|source| self.failed("write", source))
    }

    /// Compares the content and moves the file into its place.
    pub(super) fn keep(mut self) -> Result<(), WeightsError> {
        let hash = std::mem::take(&mut self.hash).finalize();
        let found = hex(&hash);
        if found != self.weights.sha256 {
            let Weights { file, sha256: expected, .. } = self.weights;
            return Err(WeightsError::WrongContent { origin: self.origin.clone(), file, found, expected });
        }
        self.file.sync_all().map_err(|source| self.failed("write", source))?;
        fs::rename(&self.beside, &self.to).map_err(|source| self.failed("rename", source))
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> WeightsError {
        WeightsError::File { action, path: self.beside.clone(), source }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        if let Err(error) = fs::remove_file(&self.beside)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.beside.display(), %error, "cannot remove a half-written model file");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `printf hello | sha256sum`.
    pub(crate) const HELLO: Weights = Weights {
        file: "hello.gguf",
        bytes: 5,
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    };

    pub(crate) fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn check(content: &[u8], expected: Result<(), &str>) {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::write(&from, content).unwrap();
        let cache = folder.path().join("cache");
        let to = cache.join(HELLO.file);
        let result = install(&from, &HELLO, &to).map_err(|error| error.to_string());
        match expected {
            Ok(()) => {
                assert_eq!(result, Ok(()));
                assert_eq!(fs::read(&to).unwrap(), content);
                assert_eq!(names(&cache), [HELLO.file]);
            }
            Err(words) => {
                let text = result.unwrap_err();
                assert!(text.contains(words), "{text}");
                assert_eq!(names(&cache), [""; 0]);
            }
        }
    }

    #[test]
    fn only_the_right_content_gets_into_the_cache() {
        check(b"hello", Ok(()));
        check(b"jello", Err("its SHA-256 is 187c9bceeb919e1b"));
        check(b"hell", Err("nothing was kept"));
        check(b"hello!", Err("is longer than the 5 bytes of hello.gguf"));
    }
}
