//! A screen that a test can read, and runs to show on it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use anstream::ColorChoice;

use crate::cli::printer::{Printer, Stream};
use crate::journal::{Batch, Durability, EventLog as _, Home, RunDir, Sqlite, Text};
use crate::report::testing::Story;

/// A writer whose text is read elsewhere.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A project with runs in it, and a screen to show them on.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    pub(crate) home: Home,
    pub(crate) out: Shared,
    pub(crate) err: Shared,
}

impl Project {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path(), None);
        Self { folder, home, out: Shared::default(), err: Shared::default() }
    }

    /// Keeps a story as a run that nobody works on.
    pub(crate) fn keep(&self, story: &Story) -> RunDir {
        let began = story.log.first().unwrap().at;
        let dir = self.home.create_run("debate", began).unwrap();
        let mut log = Sqlite::create(&dir.journal_path(), Durability::Process).unwrap();
        let texts = story.texts.values().map(|body| Text::of(Arc::clone(body))).collect();
        log.append(&[Batch { events: story.log.clone().into(), texts, checkpoint: None }]).unwrap();
        log.finish().unwrap();
        dir
    }

    pub(crate) fn printer(&self) -> Printer {
        let stream = |shared: &Shared| Stream::new(Box::new(shared.clone()), ColorChoice::Never, false, 80);
        Printer::over(stream(&self.out), stream(&self.err))
    }

    /// Returns what was printed since, with names of runs and folders taken out.
    pub(crate) fn printed(&self) -> String {
        let text = self.out.take().replace(&self.folder.path().display().to_string(), "PROJECT");
        let runs = self.home.runs().unwrap();
        runs.iter().fold(text, |text, run| text.replace(run.id.as_str(), "RUN"))
    }
}
