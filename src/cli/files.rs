//! The files around a pipeline: read and resolved relative to it, and never outside of its project.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::run::open_plain;

/// Longest prompt file, in bytes: as much as a pipeline itself.
const LONGEST: u64 = 1 << 20;
/// Most files that one path stands for.
const MOST_FILES: usize = 10_000;
/// What marks the root of a project.
const MARKS: [&str; 3] = [".pipe", "pipe.yaml", ".git"];

/// The files that a pipeline may name.
#[derive(Clone, Debug)]
pub struct ProjectFiles {
    /// The folder of the pipeline's file, absolute, links resolved.
    folder: PathBuf,
    /// Nothing above it is read or written; none allows everything.
    root: Option<PathBuf>,
}

impl ProjectFiles {
    /// Looks around a pipeline's file; the file itself need not exist, its folder must.
    ///
    /// The root is the nearest folder above with `.pipe/`, `pipe.yaml` or `.git`, else the file's own folder.
    ///
    /// # Errors
    /// The folder does not exist or cannot be entered.
    pub fn around(file: &Path) -> std::io::Result<Self> {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = parent.canonicalize()?;
        let marked = |folder: &&Path| MARKS.iter().any(|mark| folder.join(mark).exists());
        let root = folder.ancestors().find(marked).unwrap_or(&folder).to_owned();
        Ok(Self { folder, root: Some(root) })
    }

    /// Lifts the limit: `--allow-outside`.
    #[must_use]
    pub fn allow_outside(self) -> Self {
        Self { root: None, ..self }
    }

    /// Returns the project root, else the folder of the file when there is no limit.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or(&self.folder)
    }

    /// Reads a text file by its path relative to the pipeline's.
    ///
    /// # Errors
    /// Why not, for the author of the pipeline.
    pub fn read_text(&self, path: &str) -> Result<String, String> {
        let path = self.resolve(path)?;
        let file = open_plain(&path).map_err(|error| explain(&error))?;
        let mut bytes = Vec::new();
        // The length is taken while reading: a file may grow after it was looked at.
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| explain(&error))?;
        if bytes.len() as u64 > LONGEST {
            return Err(format!("the file is longer than {LONGEST} bytes"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| format!("the file is not UTF-8 (byte {})", error.utf8_error().valid_up_to()))?;
        Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
    }

    /// Returns the absolute path of a file that may not exist yet, links resolved as far as it exists.
    ///
    /// # Errors
    /// It lies outside of the project, or on the way something is no folder.
    pub fn resolve(&self, path: &str) -> Result<PathBuf, String> {
        if path.contains('\0') {
            return Err("this is no path".to_owned());
        }
        let resolved = real_path(&self.folder.join(path))?;
        match &self.root {
            Some(root) if !resolved.starts_with(root) => {
                Err(format!("it is outside of the project {} (`--allow-outside` lifts this limit)", root.display()))
            }
            Some(_) | None => Ok(resolved),
        }
    }

    /// Returns the files that a path stands for, sorted: `*`, `?` and `[…]` stand for any part of a name, but not for
    /// a `/`, and not for the point that a hidden name begins with.
    ///
    /// # Errors
    /// There is none, one of them lies outside of the project, or a folder cannot be read.
    pub fn list(&self, path: &str) -> Result<Vec<PathBuf>, String> {
        let mut found = vec![self.folder.clone()];
        if path.starts_with('/') {
            found = vec![PathBuf::from("/")];
        }
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if !part.contains(['*', '?', '[']) {
                found.iter_mut().for_each(|place| place.push(part));
                continue;
            }
            let pattern = glob::Pattern::new(part).map_err(|error| format!("{part} is no pattern: {}", error.msg))?;
            found = self.matching(&found, &pattern)?;
        }
        let mut files = Vec::new();
        for place in found {
            let place = self.resolve(&place.to_string_lossy())?;
            if place.is_file() {
                files.push(place);
            }
        }
        // Two links may lead to one file.
        files.sort();
        files.dedup();
        if files.is_empty() { Err("no file has such a name".to_owned()) } else { Ok(files) }
    }

    /// Returns what stands in some folders under a name of a pattern.
    fn matching(&self, folders: &[PathBuf], pattern: &glob::Pattern) -> Result<Vec<PathBuf>, String> {
        const HIDDEN: glob::MatchOptions = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let mut found = Vec::new();
        for folder in folders {
            // Nothing outside of the project is looked at either.
            let folder = self.resolve(&folder.to_string_lossy())?;
            let entries = match folder.read_dir() {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => continue,
                Err(error) => {
                    let shown = folder.strip_prefix(&self.folder).unwrap_or(&folder);
                    return Err(match error.kind() {
                        std::io::ErrorKind::NotFound => format!("there is no folder {}", shown.display()),
                        _ => format!("{}: {}", shown.display(), explain(&error)),
                    });
                }
            };
            for entry in entries {
                let name = entry.map_err(|error| explain(&error))?.file_name();
                if name.to_str().is_some_and(|name| pattern.matches_with(name, HIDDEN)) {
                    found.push(folder.join(name));
                }
                if found.len() > MOST_FILES {
                    return Err(format!("more than {MOST_FILES} files have such a name"));
                }
            }
        }
        Ok(found)
    }
}

/// Resolves links and `..` in the part of a path that exists; the rest may only be plain names.
fn real_path(path: &Path) -> Result<PathBuf, String> {
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(mut found) => {
                if !missing.is_empty() && !found.is_dir() {
                    return Err(format!("{} is no folder", found.display()));
                }
                found.extend(missing.iter().rev());
                return Ok(found);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(explain(&error)),
        }
        // A link to nowhere would be followed when the file is made, wherever it leads.
        if existing.is_symlink() {
            return Err(format!("{} is a link to nothing", existing.display()));
        }
        match (existing.components().next_back(), existing.parent()) {
            (Some(Component::Normal(name)), Some(parent)) => {
                missing.push(name);
                existing = parent;
            }
            _ => return Err("a folder on the way does not exist".to_owned()),
        }
    }
}

fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Project {
        _folder: tempfile::TempDir,
        files: ProjectFiles,
        outside: PathBuf,
    }

    fn project() -> Project {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("project");
        std::fs::create_dir_all(root.join(".git")).expect("created");
        std::fs::create_dir_all(root.join("pipelines/prompts")).expect("created");
        std::fs::write(root.join("shared.md"), "shared").expect("written");
        std::fs::write(root.join("pipelines/prompts/con.md"), "con").expect("written");
        let outside = folder.path().join("secret.txt");
        std::fs::write(&outside, "secret").expect("written");
        let files = ProjectFiles::around(&root.join("pipelines/debate.yaml")).expect("the folder exists");
        Project { _folder: folder, files, outside }
    }

    #[test]
    fn reads_inside_of_the_project() {
        let project = project();
        assert_eq!(project.files.read_text("prompts/con.md").as_deref(), Ok("con"));
        assert_eq!(project.files.read_text("../shared.md").as_deref(), Ok("shared"));
        assert_eq!(project.files.read_text("none.md"), Err("there is no such file".to_owned()));
        assert_eq!(project.files.read_text("prompts"), Err("this is not a regular file".to_owned()));
    }

    #[test]
    fn never_leaves_it_unless_allowed() {
        let project = project();
        let absolute = project.outside.to_string_lossy().into_owned();
        for path in ["../../secret.txt", absolute.as_str(), "../../new.jsonl", "none/../../../secret.txt"] {
            assert!(project.files.resolve(path).is_err(), "{path}");
        }
        let free = project.files.clone().allow_outside();
        assert_eq!(free.read_text("../../secret.txt").as_deref(), Ok("secret"));
    }

    #[test]
    fn patterns_name_files_in_order() {
        let project = project();
        for name in ["b.jsonl", "a.jsonl", ".hidden.jsonl", "c.csv", "prompts/d.jsonl"] {
            std::fs::write(project.files.folder.join(name), "").expect("written");
        }
        let check = |pattern: &str, expected: Result<&[&str], &str>| {
            let found = project.files.list(pattern);
            let names: Result<Vec<String>, String> = found.map(|found| {
                let name =
                    |path: &PathBuf| path.strip_prefix(&project.files.folder).map(|it| it.display().to_string());
                found.iter().map(|path| name(path).expect("inside")).collect()
            });
            let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(names, expected.map_err(str::to_owned), "{pattern}");
        };
        check("*.jsonl", Ok(&["a.jsonl", "b.jsonl"]));
        check("[bc].*", Ok(&["b.jsonl", "c.csv"]));
        check("*/*.jsonl", Ok(&["prompts/d.jsonl"]));
        check("../pipelines/?.csv", Ok(&["c.csv"]));
        check("*.parquet", Err("no file has such a name"));
        assert!(project.files.list("../../*.txt").is_err_and(|reason| reason.contains("outside")));
        assert!(project.files.list("[a").is_err_and(|reason| reason.contains("no pattern")));
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out() {
        let project = project();
        let link = |name: &str, to: &Path| {
            std::os::unix::fs::symlink(to, project.files.folder.join(name)).expect("linked");
        };
        link("secret.md", &project.outside);
        link("out", project.outside.parent().expect("it has one"));
        link("dangling.jsonl", &project.outside.with_file_name("later"));
        for path in ["secret.md", "out/secret.txt", "out/new.jsonl", "dangling.jsonl"] {
            assert!(project.files.resolve(path).is_err(), "{path}");
        }
        assert!(project.files.list("out/*.txt").is_err_and(|reason| reason.contains("outside")));
        assert!(project.files.list("secret*").is_err_and(|reason| reason.contains("outside")));
    }

    #[test]
    fn resolves_what_does_not_exist_yet() {
        let project = project();
        let path = project.files.resolve("out/new/results.jsonl").expect("inside");
        assert_eq!(path, project.files.folder.join("out/new/results.jsonl"));
    }

    #[test]
    fn refuses_what_is_no_text() {
        let project = project();
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(project.files.folder.join(name), bytes).expect("written");
        write("latin.md", b"caf\xe9");
        write("long.md", &vec![b'x'; (1 << 20) + 1]);
        assert!(project.files.read_text("latin.md").is_err_and(|reason| reason.contains("UTF-8 (byte 3)")));
        assert!(project.files.read_text("long.md").is_err_and(|reason| reason.contains("longer")));
    }
}
