//! The regular files below a directory, in the byte order of their relative paths.
//!
//! Names of one directory are sorted as if directories ended in `/`. Depth first, that is exactly
//! the order of the whole paths: `a.txt` comes before `a/b` as `.` comes before `/`. So the walk
//! holds only the directories that it is in, and two walks of an unchanged tree agree.

use std::ffi::OsString;
use std::fs::{self, File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::failure::Failure;

/// One thing that the walk met.
#[derive(Debug)]
pub(crate) enum Found {
    /// A regular file.
    File {
        /// Its path.
        path: PathBuf,
        /// Its path relative to the top, raw bytes.
        relative: Vec<u8>,
    },
    /// A symbolic link, socket, pipe or device: not stored.
    Other,
    /// A directory that cannot be read.
    Unreadable(Failure),
}

/// A walk; an iterator over what it finds.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The rest of each directory that we are in, the innermost last, each with its relative path.
    levels: Vec<(Vec<u8>, PathBuf, std::vec::IntoIter<Item>)>,
}

#[derive(Debug)]
struct Item {
    name: OsString,
    kind: FileType,
}

impl Item {
    /// What sorts names as whole paths sort.
    fn order(&self) -> Vec<u8> {
        let mut order = self.name.as_encoded_bytes().to_vec();
        if self.kind.is_dir() {
            order.push(b'/');
        }
        order
    }
}

impl Walk {
    /// A walk of everything below `top`.
    pub(crate) fn new(top: &Path) -> Result<Self, Failure> {
        let items = items_of(top).map_err(|error| unreadable(top, &error))?;
        Ok(Self { levels: vec![(Vec::new(), top.to_owned(), items)] })
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        // Ends: each turn takes one name from a directory or leaves a directory.
        loop {
            let (prefix, directory, items) = self.levels.last_mut()?;
            let Some(item) = items.next() else {
                self.levels.pop();
                continue;
            };
            let path = directory.join(&item.name);
            let mut relative = prefix.clone();
            relative.extend_from_slice(item.name.as_encoded_bytes());
            if item.kind.is_file() {
                return Some(Found::File { path, relative });
            }
            if !item.kind.is_dir() {
                return Some(Found::Other);
            }
            relative.push(b'/');
            match items_of(&path) {
                Ok(items) => self.levels.push((relative, path, items)),
                Err(error) => return Some(Found::Unreadable(unreadable(&path, &error))),
            }
        }
    }
}

fn items_of(directory: &Path) -> io::Result<std::vec::IntoIter<Item>> {
    let mut items = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        items.push(Item { name: entry.file_name(), kind: entry.file_type()? });
    }
    items.sort_by_cached_key(Item::order);
    Ok(items.into_iter())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::io(path, "cannot read the directory", error)
}

/// Opens a file that the walk found; `None` if it is no regular file any more. Never follows a link
/// that took the file's place, and never waits for a pipe that did.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.cast_signed());
    match options.open(path) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        // What NOFOLLOW answers for a link.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Walk};
    use std::fs;

    #[test]
    fn files_come_in_the_byte_order_of_their_whole_paths() {
        let top = tempfile::tempdir().expect("a directory");
        let paths = ["a/b", "a-b", "a.txt", "a0", "a/b.c/d", "a/b.c-", "z", "B/1", "a/empty/x"];
        for path in paths {
            let path = top.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            if !path.exists() {
                fs::write(path, "").expect("written");
            }
        }
        std::os::unix::fs::symlink("z", top.path().join("link")).expect("linked");
        let (mut found, mut others) = (Vec::new(), 0);
        for item in Walk::new(top.path()).expect("readable") {
            match item {
                Found::File { relative, .. } => found.push(relative),
                _ => others += 1,
            }
        }
        let mut sorted: Vec<_> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        sorted.sort();
        assert_eq!(found, sorted);
        assert_eq!(others, 1);
    }
}
