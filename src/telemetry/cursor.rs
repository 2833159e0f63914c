//! What has been sent where: a small file in the run's folder, written beside and put in its place.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How much of a run a collector has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The last event of which all is there.
    pub through: u64,
    /// Spans or records that the collector has taken.
    pub acked: u64,
    /// Those that it has refused by number.
    pub rejected: u64,
    /// Those of requests that it could not read, kept in a file.
    #[serde(default)]
    pub refused: u64,
}

/// The cursors of one signal of a run, one for each collector.
#[derive(Debug)]
pub(super) struct Cursors {
    path: PathBuf,
    by_collector: BTreeMap<String, Sent>,
}

impl Cursors {
    /// Reads what was sent; nothing where the file is not there, or is no such file: to send twice harms nobody.
    pub(super) fn of(path: PathBuf) -> Self {
        let read = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path, by_collector: read.unwrap_or_default() }
    }

    pub(super) fn get(&self, collector: &str) -> Sent {
        self.by_collector.get(collector).copied().unwrap_or_default()
    }

    /// Remembers. A crash leaves the old file or the new one.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn set(&mut self, collector: &str, sent: Sent) -> io::Result<()> {
        self.by_collector.insert(collector.to_owned(), sent);
        let beside = self.path.with_extension("json.part");
        let mut file = fs::File::create(&beside)?;
        file.write_all(serde_json::to_string(&self.by_collector).map_err(io::Error::from)?.as_bytes())?;
        drop(file);
        fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_collector_has_its_own_and_a_broken_file_is_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spans.json");
        let mut cursors = Cursors::of(path.clone());
        let sent = Sent { through: 7, acked: 12, ..Sent::default() };
        cursors.set("a", sent).expect("it can be written");
        let again = Cursors::of(path.clone());
        assert_eq!((again.get("a"), again.get("b")), (sent, Sent::default()));
        fs::write(&path, "{").expect("it can be written");
        assert_eq!(Cursors::of(path).get("a"), Sent::default());
    }
}
