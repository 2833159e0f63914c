//! Files by way of open folders: a link that is put in place after a path was checked leads nowhere.
//! Reads: paths that were resolved when the plan was made. Gives: open files.
//! Start at [`open_plain`].

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, openat, renameat, unlinkat};

/// For folders on the way; only Linux opens those that may be entered but not listed.
#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Never waits: opening a FIFO would, until somebody writes to it.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
/// Only what is not there yet.
const WRITE: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);

/// An open folder; stays what it is, whatever happens to its path.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder by an absolute path without following a single link.
    ///
    /// # Errors
    /// A link on the way, even one that leads to the same place; the path is not absolute or has `..` in it.
    pub fn open_plain(path: &Path) -> io::Result<Self> {
        let mut folder = None;
        for part in path.components() {
            let next = match (part, &folder) {
                (Component::RootDir, None) => openat(CWD, "/", FOLDER, Mode::empty())?,
                (Component::Normal(name), Some(folder)) => {
                    openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?
                }
                _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no resolved path")),
            };
            folder = Some(next);
        }
        folder.map(Self).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Opens a folder as any program does: links are followed.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn open_followed(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(Self(openat(CWD, path, FOLDER, Mode::empty())?))
    }

    /// Opens a regular file of this folder for reading.
    ///
    /// # Errors
    /// It is a link, a device, a FIFO, a folder; or it cannot be opened.
    pub fn read(&self, name: &OsStr) -> io::Result<File> {
        let file = File::from(openat(&self.0, name, READ, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("this is not a regular file")) }
    }

    /// Makes a file that is not there yet.
    ///
    /// # Errors
    /// It is there, as whatever it may be.
    pub fn create(&self, name: &OsStr) -> io::Result<File> {
        Ok(File::from(openat(&self.0, name, WRITE, Mode::from_raw_mode(0o666))?))
    }

    /// Puts one file in the place of another; a link there is replaced, not followed.
    ///
    /// # Errors
    /// As `rename(2)`.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Makes the names in it safe against a power cut: without this, a file that is on disk may have no name there.
    ///
    /// # Errors
    /// As `fsync(2)`. A folder that may be entered but not listed cannot be synced by anybody, and is left alone.
    pub fn sync(&self) -> io::Result<()> {
        match openat(&self.0, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(folder) => Ok(fsync(folder)?),
            Err(rustix::io::Errno::ACCESS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file; one that is not there is none.
    ///
    /// # Errors
    /// As `unlink(2)`.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Opens a regular file by a resolved path for reading, without following a single link.
///
/// # Errors
/// A link has taken the place of the file or of a folder on the way; or it is no regular file.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no path of a file"));
    };
    Folder::open_plain(folder).and_then(|folder| folder.read(name)).map_err(|error| {
        let link = [rustix::io::Errno::LOOP, rustix::io::Errno::NOTDIR].map(rustix::io::Errno::raw_os_error);
        match error.raw_os_error() {
            Some(raw) if link.contains(&raw) => io::Error::other("a link has taken the place of a file or folder"),
            _ => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_never_followed() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let root = place.path().canonicalize().expect("it is there");
        std::fs::create_dir_all(root.join("in/deep")).expect("made");
        std::fs::create_dir(root.join("out")).expect("made");
        std::fs::write(root.join("in/deep/a"), "inside").expect("written");
        std::fs::write(root.join("out/a"), "outside").expect("written");
        let mut text = String::new();
        open_plain(&root.join("in/deep/a")).expect("plain").read_to_string(&mut text).expect("text");
        assert_eq!(text, "inside");
        // The swap: what was checked is now a link.
        std::fs::rename(root.join("in/deep"), root.join("in/was")).expect("moved");
        symlink(root.join("out"), root.join("in/deep")).expect("linked");
        symlink(root.join("out/a"), root.join("in/a")).expect("linked");
        for path in ["in/deep/a", "in/a", "in/was", "in/deep", "in/../out/a"] {
            assert!(open_plain(&root.join(path)).is_err(), "{path}");
        }
        assert!(open_plain(Path::new("Cargo.toml")).is_err());
        let folder = Folder::open_plain(&root.join("in")).expect("a plain folder");
        assert!(folder.create(OsStr::new("a")).is_err(), "a link in the way is not written through");
        folder.create(OsStr::new("b")).expect("new").write_all(b"rows").expect("written");
        folder.rename(OsStr::new("b"), OsStr::new("a")).expect("replaced");
        assert_eq!(std::fs::read_to_string(root.join("out/a")).expect("still there"), "outside");
        assert_eq!(std::fs::read_to_string(root.join("in/a")).expect("a file now"), "rows");
        folder.remove(OsStr::new("gone")).expect("nothing to do");
        folder.sync().expect("synced, though opened as a place only");
        assert!(Folder::open_plain(&root.join("in/deep")).is_err());
        assert!(Folder::open_followed(&root.join("in/deep")).is_ok());
    }

    #[test]
    fn a_fifo_is_refused_at_once() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().canonicalize().expect("it is there").join("fifo");
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("made");
        let error = open_plain(&path).expect_err("not a file").to_string();
        assert_eq!(error, "this is not a regular file");
    }
}
