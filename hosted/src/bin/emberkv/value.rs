//! Values out of the store, piece by piece: any size in bounded memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use embedded_io::Read as _;

use crate::explain;
use crate::failure::{At, Failure};
use crate::host::HostStore;
use crate::source::cannot_read;

/// Most bytes of one piece.
const PIECE_BYTES: usize = 256 << 10;

/// Calls `with` for each piece of the value of `key`, in order; answers the value's length, `None`
/// if the key is not there. An empty value has no pieces.
pub(crate) fn each_piece(
    store: &mut HostStore<'_>,
    path: &Path,
    key: &[u8],
    mut with: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Option<u64>, Failure> {
    let Some(mut reader) = store.get_stream(key).at(path)? else { return Ok(None) };
    let bytes = reader.bytes();
    let room = usize::try_from(bytes).map_or(PIECE_BYTES, |bytes| bytes.min(PIECE_BYTES));
    let mut buffer = vec![0; room.max(1)];
    // Ends with the value: each turn takes at least one byte of it.
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Some(bytes)),
            Ok(taken) => with(&buffer[..taken])?,
            Err(error) => return Err(explain::stream_error(path, error)),
        }
    }
}

/// Whether the store holds exactly the content of `file`, which is left at its start.
pub(crate) fn is_content_of(
    store: &mut HostStore<'_>,
    store_path: &Path,
    key: &[u8],
    file: &mut File,
    file_path: &Path,
) -> Result<bool, Failure> {
    let failed = |error: io::Error| cannot_read(file_path, &error);
    let bytes = file.metadata().map_err(failed)?.len();
    if store.value_len(key).at(store_path)? != Some(bytes) {
        return Ok(false);
    }
    let mut theirs = vec![0; PIECE_BYTES];
    let mut same = true;
    each_piece(store, store_path, key, |ours| {
        if same {
            let theirs = &mut theirs[..ours.len()];
            same = match file.read_exact(theirs) {
                Ok(()) => theirs == ours,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
                Err(error) => return Err(failed(error)),
            };
        }
        Ok(())
    })?;
    let at_end = file.read(&mut [0]).map_err(failed)? == 0;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(same && at_end)
}

/// Whether the store holds exactly `value` under `key`.
pub(crate) fn is(
    store: &mut HostStore<'_>,
    path: &Path,
    key: &[u8],
    value: &[u8],
) -> Result<bool, Failure> {
    if store.value_len(key).at(path)? != Some(value.len() as u64) {
        return Ok(false);
    }
    let mut rest = value;
    let mut same = true;
    each_piece(store, path, key, |ours| {
        let (head, tail) = rest.split_at_checked(ours.len()).unwrap_or((&[], &[]));
        same &= head == ours;
        rest = tail;
        Ok(())
    })?;
    Ok(same && rest.is_empty())
}
