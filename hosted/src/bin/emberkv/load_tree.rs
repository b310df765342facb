//! `load --tree`: every regular file below a directory, under its relative path.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::args;
use crate::failure::Failure;
use crate::session::Session;
use crate::source::{self, cannot_read};
use crate::value;
use crate::walk::{Found, Walk, open_regular};

/// Bytes of all files below `tree`, for the progress bar; `None` if the walk does not even begin.
pub(crate) fn total_bytes(tree: &Path) -> Option<u64> {
    let bytes = |found| match found {
        Found::File { path, .. } => path.symlink_metadata().map_or(0, |metadata| metadata.len()),
        Found::Other | Found::Unreadable(_) => 0,
    };
    Walk::new(tree).ok().map(|walk| walk.map(bytes).sum())
}

/// Stores the tree.
pub(crate) fn load(
    session: &mut Session<'_, '_>,
    tree: &Path,
    arguments: &args::Load,
) -> Result<(), Failure> {
    // The store may lie below the tree; it must not swallow itself.
    let own = fs::metadata(session.path).map(|metadata| identity(&metadata)).ok();
    let mut buffer = Vec::new();
    for found in Walk::new(tree)? {
        let (path, relative) = match found {
            Found::File { path, relative } => (path, relative),
            Found::Other => {
                session.skipped += 1;
                continue;
            }
            Found::Unreadable(_) if arguments.skip_unreadable => {
                session.skipped += 1;
                continue;
            }
            Found::Unreadable(failure) => return Err(failure),
        };
        match open(&path, own) {
            Ok(Some(mut file)) => {
                one_file(session, &relative, &mut file, &path, arguments.resume, &mut buffer)?;
            }
            Ok(None) => session.skipped += 1,
            Err(_) if arguments.skip_unreadable => session.skipped += 1,
            Err(error) => return Err(cannot_read(&path, &error)),
        }
    }
    Ok(())
}

fn one_file(
    session: &mut Session<'_, '_>,
    key: &[u8],
    file: &mut File,
    path: &Path,
    resume: bool,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    if resume && value::is_content_of(session.store, session.path, key, file, path)? {
        session.bar.inc(file.metadata().map_or(0, |metadata| metadata.len()));
        session.unchanged();
        return Ok(());
    }
    let bytes = source::put_file(session.store, session.path, key, file, path, buffer)?;
    session.bar.inc(bytes);
    session.stored(bytes)
}

/// Device and inode: what makes two names one file.
fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Opens a file of the tree, unless it is the store itself or no regular file any more.
fn open(path: &Path, own: Option<(u64, u64)>) -> io::Result<Option<File>> {
    // The name is looked at before it is opened: where locks are of the POSIX kind, closing a
    // second descriptor of the store's file would drop the store's lock.
    if own.is_some() && own == fs::symlink_metadata(path).ok().map(|found| identity(&found)) {
        return Ok(None);
    }
    open_regular(path)
}
