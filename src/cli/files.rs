//! The files around a pipeline: read and resolved relative to it, and never outside of its project.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::run::open_plain;

/// Longest prompt file, in bytes: as much as a pipeline itself.
const LONGEST: u64 = 1 << 20;
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
