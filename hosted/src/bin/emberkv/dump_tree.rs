//! `dump --tree`: writes each value as a file below a directory, named by its key.
//!
//! No key reaches outside: keys are relative paths in their plainest form, all are looked at before
//! the first file is made, and the directory is new or empty, so nothing in it (a link, say) can
//! lead elsewhere.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use emberkv_core::{Access, Cursor};

use crate::failure::{At, Failure, Outcome, text};
use crate::host::{Host, HostStore, KEY_BUFFER_BYTES};
use crate::output::Output;
use crate::progress;
use crate::value;

/// Why a key is no path of a file below a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BadPath {
    Absolute,
    Parent,
    NotPlain,
    Nul,
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absolute => "is an absolute path",
            Self::Parent => "leads outside through '..'",
            Self::NotPlain => "has an empty or '.' part, so it names no file of its own",
            Self::Nul => "holds a NUL byte, which no file name can",
        })
    }
}

/// The relative path that a key stands for.
fn path_of(key: &[u8]) -> Result<&Path, BadPath> {
    if key.starts_with(b"/") {
        return Err(BadPath::Absolute);
    }
    if key.contains(&0) {
        return Err(BadPath::Nul);
    }
    for part in key.split(|&byte| byte == b'/') {
        match part {
            b".." => return Err(BadPath::Parent),
            b"" | b"." => return Err(BadPath::NotPlain),
            _ => {}
        }
    }
    Ok(Path::new(OsStr::from_bytes(key)))
}

/// `dump --tree`
pub(crate) fn dump(host: &Host, path: &Path, tree: &Path) -> Result<Outcome, Failure> {
    host.with_store(path, Access::ReadOnly, |mut store| {
        let keys = look_at_all(&mut store, path)?;
        prepare(tree)?;
        let bar = progress::entries(keys);
        let (mut files, mut bytes) = (0_u64, 0_u64);
        let mut cursor = Cursor::default();
        let mut buffer = vec![0; KEY_BUFFER_BYTES];
        while let Some(key) = store.next_key(&mut cursor, &mut buffer).at(path)? {
            bytes += one_file(&mut store, path, key, tree)?;
            files += 1;
            bar.inc(1);
        }
        bar.finish_and_clear();
        let mut output = Output::stdout()?;
        output.line(&format!("wrote {files} files, {bytes} bytes"))?;
        output.finish()?;
        Ok(Outcome::Done)
    })
}

/// Refuses bad keys before anything is written; answers the number of keys.
fn look_at_all(store: &mut HostStore<'_>, path: &Path) -> Result<u64, Failure> {
    let mut cursor = Cursor::default();
    let mut buffer = vec![0; KEY_BUFFER_BYTES];
    let mut keys = 0;
    while let Some(key) = store.next_key(&mut cursor, &mut buffer).at(path)? {
        path_of(key).map_err(|bad| refused(path, key, &bad.to_string()))?;
        keys += 1;
    }
    Ok(keys)
}

fn refused(path: &Path, key: &[u8], why: &str) -> Failure {
    let what = format!("the key '{}' {why}", text(key));
    Failure::new(path, what, "dump such a store with --format tsv or jsonl")
}

/// Makes the directory, or accepts it if it is empty.
fn prepare(tree: &Path) -> Result<(), Failure> {
    match fs::create_dir(tree) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Failure::io(tree, "cannot make the directory", &error)),
    }
    let mut items = fs::read_dir(tree)
        .map_err(|error| Failure::io(tree, "cannot read the directory", &error))?;
    match items.next() {
        None => Ok(()),
        Some(_) => Err(Failure::new(tree, "is not empty", "name a new or empty directory")),
    }
}

fn one_file(
    store: &mut HostStore<'_>,
    path: &Path,
    key: &[u8],
    tree: &Path,
) -> Result<u64, Failure> {
    let relative = path_of(key).map_err(|bad| refused(path, key, &bad.to_string()))?;
    let target = tree.join(relative);
    let made =
        target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create_new(&target));
    let mut file = match made {
        Ok(file) => file,
        Err(error) if is_conflict(&error) => {
            return Err(refused(path, key, "is a file and also a directory of other keys"));
        }
        Err(error) => return Err(Failure::io(&target, "cannot make the file", &error)),
    };
    let written = value::each_piece(store, path, key, |piece| {
        file.write_all(piece).map_err(|error| Failure::io(&target, "cannot write", &error))
    })?;
    // The store is open for reading only, so a key that the cursor gave is there.
    Ok(written.unwrap_or(0))
}

/// Whether something of our own making stands where the file or its directory should be.
fn is_conflict(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, IsADirectory, NotADirectory};
    matches!(error.kind(), AlreadyExists | IsADirectory | NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::{BadPath, path_of};
    use std::path::Path;

    #[test]
    fn only_plain_relative_paths_become_files() {
        for (key, bad) in [
            (&b"/etc/passwd"[..], BadPath::Absolute),
            (b"../up", BadPath::Parent),
            (b"a/../../b", BadPath::Parent),
            (b"..", BadPath::Parent),
            (b"./a", BadPath::NotPlain),
            (b"a//b", BadPath::NotPlain),
            (b"a/", BadPath::NotPlain),
            (b"a\0b", BadPath::Nul),
        ] {
            assert_eq!(path_of(key), Err(bad), "{}", key.escape_ascii());
        }
        assert_eq!(path_of(b"a/..b/c."), Ok(Path::new("a/..b/c.")));
    }
}
