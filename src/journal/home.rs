//! Where runs are kept: `.pipe/` in the project, or `PIPE_HOME`.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::RunDir;
use crate::base::Utc;
use crate::base::{Hasher, Timestamp};

/// Digits of short ids: 32, in the order of their bytes, without those that are read as others.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Bytes of a pipeline's name that stay in a folder's name; file systems end at 255 in all.
const LONGEST_NAME: usize = 80;
/// Candidates that a message lists.
const LISTED: usize = 8;

/// A run that cannot be made or found.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing was run yet.
    #[error("there are no runs in {path}: {instead}")]
    NoRuns {
        /// The folder of runs.
        path: PathBuf,
        /// What to do: see [`Home::instead`].
        instead: String,
    },
    /// No run of that name.
    #[error("no run in {path} has {reference:?} in its name; the newest are {}", list(.newest))]
    Unknown {
        /// The folder of runs.
        path: PathBuf,
        /// What was asked for.
        reference: String,
        /// What there is, newest first.
        newest: Vec<String>,
    },
    /// More than one run of that name.
    #[error("{reference:?} names more than one run: {}; give more of the name", list(.candidates))]
    Ambiguous {
        /// What was asked for.
        reference: String,
        /// What it fits, newest first.
        candidates: Vec<String>,
    },
    /// The file system failed.
    #[error("cannot {doing} {path}")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn list(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text.push_str(", …");
    }
    text
}

/// The folder that holds all runs of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Names the home of a project: `<project_root>/.pipe`, or `pipe_home` (the value of `PIPE_HOME`) instead.
    /// Touches nothing.
    #[must_use]
    pub fn at(project_root: &Path, pipe_home: Option<&Path>) -> Self {
        Self { path: pipe_home.map_or_else(|| project_root.join(".pipe"), Path::to_owned) }
    }

    /// Returns the project that a folder belongs to: its nearest ancestor (or itself) with `.pipe/`, `pipe.yaml`
    /// or `.git`, else the folder.
    #[must_use]
    pub fn project_root(folder: &Path) -> PathBuf {
        let is_root = |folder: &&Path| [".pipe", "pipe.yaml", ".git"].iter().any(|mark| folder.join(mark).exists());
        folder.ancestors().find(is_root).unwrap_or(folder).to_owned()
    }

    /// Returns the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder of a new run, `<name>-<YYYYMMDD-HHMMSS>-<short id>`, readable by its owner only.
    ///
    /// Names sort by time, down to 31 µs; two processes never get the same one.
    ///
    /// # Errors
    /// The disk or the folder cannot take it.
    pub fn create_run(&self, name: &str, now: Timestamp) -> Result<RunDir, HomeError> {
        self.prepare()?;
        let runs = self.runs_path();
        loop {
            let id = format!("{}-{}-{}", sanitise(name), Utc::of(now).compact(), short_id(now));
            let path = runs.join(&id);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    sync(&runs)?;
                    return Ok(RunDir::of(path, &id));
                }
                // Somebody drew the same short id: the counter in it makes the next one another.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(HomeError::File { path, doing: "create", source }),
            }
        }
    }

    /// Returns all runs, newest first; none when there is no home yet.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn runs(&self) -> Result<Vec<RunDir>, HomeError> {
        let folder = self.runs_path();
        let failed = |source| HomeError::File { path: folder.clone(), doing: "read", source };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(began) = began(name) {
                runs.push((began.to_owned(), RunDir::of(entry.path(), name)));
            }
        }
        runs.sort_by(|(one, _), (other, _)| other.cmp(one));
        Ok(runs.into_iter().map(|(_, run)| run).collect())
    }

    /// Says what to do where there is no run: go into a folder directly below that has some, else begin one.
    ///
    /// Outside of a project a pipeline's runs lie beside its file.
    #[must_use]
    pub fn instead(&self) -> String {
        let folders = self.path.parent().and_then(|project| std::fs::read_dir(project).ok());
        let below = folders.into_iter().flatten().flatten().filter(|folder| {
            let home = Self { path: folder.path().join(".pipe") };
            home.runs().is_ok_and(|runs| !runs.is_empty())
        });
        let below = below.map(|folder| folder.file_name().to_string_lossy().into_owned()).min();
        below.map_or_else(
            || "start one with `pipe run FILE`".to_owned(),
            |folder| {
                format!("those of files in {folder} are kept there: `cd {folder}`, or set PIPE_HOME={folder}/.pipe")
            },
        )
    }

    /// Returns all runs by the name that their folders begin with ([`Self::name_of_runs`]), each list newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn runs_by_name(&self) -> Result<BTreeMap<String, Vec<RunDir>>, HomeError> {
        let mut by_name: BTreeMap<String, Vec<RunDir>> = BTreeMap::new();
        for run in self.runs()? {
            by_name.entry(run.name().to_owned()).or_default().push(run);
        }
        Ok(by_name)
    }

    /// Returns how the folders of a pipeline's runs begin; two pipelines may have it in common.
    #[must_use]
    pub fn name_of_runs(pipeline: &str) -> String {
        sanitise(pipeline)
    }

    /// Finds the run that a user means: `last`, a whole name, a beginning or a part that only one name has.
    ///
    /// # Errors
    /// None, or more than one: the message lists what there is.
    pub fn resolve(&self, reference: &str) -> Result<RunDir, HomeError> {
        if reference.contains('/')
            && let Some(run) = RunDir::at(Path::new(reference))
        {
            return Ok(run);
        }
        let runs = self.runs()?;
        let Some(newest) = runs.first() else {
            return Err(HomeError::NoRuns { path: self.runs_path(), instead: self.instead() });
        };
        if reference == "last" {
            return Ok(newest.clone());
        }
        let ids = |runs: &[&RunDir]| runs.iter().map(|run| run.id.to_string()).collect::<Vec<_>>();
        let ways: [fn(&str, &str) -> bool; 3] = [
            |id, reference| id == reference,
            |id, reference| id.starts_with(reference),
            |id, reference| id.contains(reference),
        ];
        for fits in ways {
            let found: Vec<&RunDir> = runs.iter().filter(|run| fits(run.id.as_str(), reference)).collect();
            match found.as_slice() {
                [] => {}
                [run] => return Ok((*run).clone()),
                several => {
                    return Err(HomeError::Ambiguous { reference: reference.to_owned(), candidates: ids(several) });
                }
            }
        }
        let newest = ids(&runs.iter().collect::<Vec<_>>());
        Err(HomeError::Unknown { path: self.runs_path(), reference: reference.to_owned(), newest })
    }

    fn runs_path(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// Makes the home and keeps it out of version control.
    ///
    /// # Errors
    /// The disk or the folder cannot take it.
    pub fn prepare(&self) -> Result<(), HomeError> {
        let runs = self.runs_path();
        let failed = |source| HomeError::File { path: runs.clone(), doing: "create", source };
        DirBuilder::new().recursive(true).mode(0o700).create(&runs).map_err(failed)?;
        let path = self.path.join(".gitignore");
        let ignored = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => file.write_all(b"*\n"),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => Err(error),
        };
        ignored.map_err(|source| HomeError::File { path, doing: "write", source })?;
        sync(&self.path)?;
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync)
    }
}

/// Makes the names in a folder durable.
fn sync(folder: &Path) -> Result<(), HomeError> {
    let failed = |source| HomeError::File { path: folder.to_owned(), doing: "sync", source };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Returns a name with nothing in it that a shell or a file system reads as something else.
fn sanitise(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' };
    let name: String = name.chars().take(LONGEST_NAME).map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "run".to_owned() } else { name.to_owned() }
}

/// Returns six digits: three for the part of the second, so that names sort by time, and three drawn from the
/// time, the process and a counter.
fn short_id(now: Timestamp) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let drawn = Hasher::new("run")
        .number(now.0.cast_unsigned())
        .number(u64::from(std::process::id()))
        .number(COUNTER.fetch_add(1, Ordering::Relaxed))
        .finish()
        .low_bits();
    let part = Utc::of(now).micros.unsigned_abs() * 32_768 / 1_000_000;
    let digit = |number: u64, place: u32| char::from(DIGITS[((number >> (5 * place)) & 31) as usize]);
    (0..3).rev().map(|place| digit(part, place)).chain((0..3).map(|place| digit(drawn, place))).collect()
}

/// Returns the time and short id at the end of a run's name, by which runs sort; none when it is no run's name.
pub(super) fn began(name: &str) -> Option<&str> {
    let is_digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = name.rsplitn(4, '-');
    let (short, time, day, pipeline) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_run = !pipeline.is_empty() && !short.is_empty() && is_digits(time, 6) && is_digits(day, 8);
    is_run.then(|| &name[pipeline.len() + 1..])
}
