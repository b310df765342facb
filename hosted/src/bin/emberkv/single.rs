//! The verbs about one key: `put`, `get`, `delete`.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use emberkv_core::Access;

use crate::args;
use crate::failure::{At, Failure, Outcome, text};
use crate::host::Host;
use crate::output::Output;
use crate::source;
use crate::value;

/// `put`: on return the value is on the medium.
pub(crate) fn put(host: &Host, arguments: &args::Put) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    let key = arguments.key.as_encoded_bytes();
    let from_stdin =
        arguments.file.is_none() && arguments.value.as_deref() == Some(OsStr::new("-"));
    // The input is opened first: a store is not even opened for an input that is not there.
    let input = match &arguments.file {
        Some(file) => Some((File::open(file), file.as_path())),
        None if from_stdin => Some((Ok(source::stdin()?), Path::new("standard input"))),
        None => None,
    };
    let input = match input {
        Some((Ok(file), name)) => Some((file, name)),
        Some((Err(error), name)) => return Err(source::cannot_read(name, &error)),
        None => None,
    };
    host.with_store(path, Access::ReadWrite, |mut store| {
        match input {
            Some((file, name)) => source::put_any(&mut store, path, key, file, name)?,
            None => {
                let value = arguments.value.as_deref().unwrap_or_default();
                store.put(key, value.as_encoded_bytes()).at(path)?;
            }
        }
        store.sync().at(path)?;
        store.close().map(drop).at(path)?;
        Ok(Outcome::Done)
    })
}

/// `get`: the value's bytes and nothing else.
pub(crate) fn get(host: &Host, arguments: &args::Key) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    let key = arguments.key.as_encoded_bytes();
    host.with_store(path, Access::ReadOnly, |mut store| {
        let mut output = Output::stdout()?;
        match value::each_piece(&mut store, path, key, |piece| output.bytes(piece))? {
            Some(_) => output.finish().map(|()| Outcome::Done),
            None => not_there(path, key),
        }
    })
}

/// `delete`: on return the deletion is on the medium.
pub(crate) fn delete(host: &Host, arguments: &args::Key) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    let key = arguments.key.as_encoded_bytes();
    host.with_store(path, Access::ReadWrite, |mut store| {
        let was_there = store.delete(key).at(path)?;
        store.sync().at(path)?;
        store.close().map(drop).at(path)?;
        if was_there { Ok(Outcome::Done) } else { not_there(path, key) }
    })
}

fn not_there(path: &Path, key: &[u8]) -> Result<Outcome, Failure> {
    /// Bytes of a key that are shown.
    const SHOWN_BYTES: usize = 100;
    let shown = text(&key[..key.len().min(SHOWN_BYTES)]);
    let dots = if key.len() > SHOWN_BYTES { ".." } else { "" };
    let place = crate::failure::shown(path);
    crate::complain(&format!("emberkv: {place}: there is no key '{shown}{dots}'"));
    Ok(Outcome::Negative)
}
