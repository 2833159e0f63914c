//! How other processes speak to the one that works on a run: one file per order, in a folder of the run.
//! Never: what an order does. That it was carried out is an event in the journal.
//! Start at [`Spool`].

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::base::{BackendName, Timestamp};

/// Most bytes of an order: many times what one has.
const LONGEST: u64 = 1 << 20;
/// Ending of a file that is an order; everything else in the folder is none.
const ORDER: &str = "json";
/// Ending of the answer to an order that is not carried out.
const REFUSAL: &str = "refused";

/// What is asked of the process that works on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Start no new call.
    Pause,
    /// Start calls again.
    Unpause,
    /// Work on so many calls at once.
    Slots {
        /// Of this backend; of each, when none is named.
        backend: Option<BackendName>,
        /// How many.
        slots: NonZeroU32,
    },
    /// Keep other limits from here on.
    Tune {
        /// What replaces values of the pipeline, by path, on top of what was tuned before.
        sets: Vec<(String, String)>,
    },
    /// Let calls in flight end, then leave the run; it can go on later.
    Stop,
    /// Give up calls in flight and leave the run for good.
    Cancel,
}

/// An order that somebody left, with its name for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The name of its file.
    pub name: String,
    /// What is asked; else why the file is no order.
    pub order: Result<Order, String>,
}

/// The folder of orders of one run. The run's folder is open to its owner alone, and so is this.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    pub(super) fn of(run: &Path) -> Self {
        Self { folder: run.join("control") }
    }

    /// Makes the folder, and throws away what was asked of a process that is gone. Whoever holds the run's lock calls
    /// this, before it looks for orders.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn clear(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        for entry in fs::read_dir(&self.folder)? {
            gone(fs::remove_file(entry?.path()))?;
        }
        Ok(())
    }

    /// Leaves an order and returns its name. It is whole when it can be seen: written beside, then renamed.
    ///
    /// # Errors
    /// The run has no such folder, because no process has worked on it since there are orders; or it cannot be written.
    pub fn post(&self, order: &Order, now: Timestamp) -> io::Result<String> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        // Names sort by time, and two processes never choose the same.
        let name = format!("{:020}-{}-{count}", now.0, std::process::id());
        let beside = self.folder.join(format!("{name}.part"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(serde_json::to_string(order)?.as_bytes())?;
        drop(file);
        fs::rename(&beside, self.path(&name, ORDER))?;
        Ok(name)
    }

    /// Takes every order that is there, oldest first. Cost without any: a look at an empty folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn take(&self) -> io::Result<Vec<Ordered>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ORDER)
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        let mut orders = Vec::new();
        for name in names {
            let path = self.path(&name, ORDER);
            let order = read(&path).map_err(|error| error.to_string());
            gone(fs::remove_file(&path))?;
            orders.push(Ordered { name, order });
        }
        Ok(orders)
    }

    /// Answers an order that is not carried out.
    ///
    /// # Errors
    /// The answer cannot be written.
    pub fn refuse(&self, name: &str, why: &str) -> io::Result<()> {
        let beside = self.path(name, "part");
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?.write_all(why.as_bytes())?;
        fs::rename(beside, self.path(name, REFUSAL))
    }

    /// Returns why an order is not carried out, once that is known, and forgets it.
    #[must_use]
    pub fn refusal(&self, name: &str) -> Option<String> {
        let path = self.path(name, REFUSAL);
        let why = fs::read_to_string(&path).ok()?;
        drop(fs::remove_file(path));
        Some(why)
    }

    /// Takes an order back that nobody has taken; returns whether it was still there.
    #[must_use]
    pub fn withdraw(&self, name: &str) -> bool {
        fs::remove_file(self.path(name, ORDER)).is_ok()
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }
}

fn read(path: &Path) -> io::Result<Order> {
    let length = fs::metadata(path)?.len();
    if length > LONGEST {
        return Err(io::Error::other(format!("an order has at most {LONGEST} bytes, this one {length}")));
    }
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// What somebody else removed is gone as well.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn orders_are_taken_once_in_the_order_of_posting() {
        let run = tempfile::tempdir().unwrap();
        let spool = Spool::of(run.path());
        assert!(spool.post(&Order::Pause, Timestamp(1)).is_err(), "nobody listens yet");
        spool.clear().unwrap();
        spool.post(&Order::Unpause, Timestamp(10)).unwrap();
        spool.post(&Order::Pause, Timestamp(9)).unwrap();
        let taken: Vec<_> = spool.take().unwrap().into_iter().map(|taken| taken.order.unwrap()).collect();
        assert_eq!(taken, [Order::Pause, Order::Unpause]);
        assert_eq!(spool.take().unwrap(), []);
        assert_eq!(fs::metadata(run.path().join("control")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn orders_to_a_process_that_is_gone_are_forgotten() {
        let run = tempfile::tempdir().unwrap();
        let spool = Spool::of(run.path());
        spool.clear().unwrap();
        let name = spool.post(&Order::Cancel, Timestamp(1)).unwrap();
        spool.refuse(&name, "not now").unwrap();
        spool.clear().unwrap();
        assert_eq!(spool.take().unwrap(), []);
        assert_eq!(spool.refusal(&name), None);
    }

    #[test]
    fn what_is_no_order_is_named_and_removed() {
        let run = tempfile::tempdir().unwrap();
        let spool = Spool::of(run.path());
        spool.clear().unwrap();
        let file = run.path().join("control/1.json");
        fs::write(&file, "\"explode\"").unwrap();
        let [taken] = &spool.take().unwrap()[..] else { panic!("one") };
        assert!(taken.order.as_ref().unwrap_err().contains("explode"), "{taken:?}");
        assert!(!file.exists());
        spool.refuse(&taken.name, "what is that?").unwrap();
        assert_eq!(spool.refusal("1").as_deref(), Some("what is that?"));
        assert_eq!(spool.refusal("1"), None);
    }

    #[test]
    fn an_order_is_withdrawn_while_nobody_has_taken_it() {
        let run = tempfile::tempdir().unwrap();
        let spool = Spool::of(run.path());
        spool.clear().unwrap();
        let name = spool.post(&Order::Stop, Timestamp(1)).unwrap();
        assert!(spool.withdraw(&name));
        assert!(!spool.withdraw(&name));
    }
}
