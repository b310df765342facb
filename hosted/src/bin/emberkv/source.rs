//! Values from files and standard input, given to the store as streams of a known length.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;

use crate::failure::{At, Failure};
use crate::host::HostStore;

/// Values up to this size are read whole and put at once; longer ones are streamed.
pub(crate) const WHOLE_BYTES_MAX: u64 = 1 << 20;

/// Input of unknown length is held in memory up to this size, behind that in a temporary file.
const SPOOL_MEMORY_BYTES: u64 = 64 << 20;

/// A reader as the engine takes it, which remembers the error that the engine cannot carry.
struct Reader<R> {
    inner: R,
    error: Option<io::Error>,
}

impl<R> embedded_io::ErrorType for Reader<R> {
    type Error = embedded_io::ErrorKind;
}

impl<R: Read> embedded_io::Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        // Ends when the kernel stops interrupting us.
        loop {
            match self.inner.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    self.error = Some(error);
                    return Err(embedded_io::ErrorKind::Other);
                }
            }
        }
    }
}

/// Stores the content of the regular file `file` and returns its bytes. `buffer` is room to reuse.
pub(crate) fn put_file(
    store: &mut HostStore<'_>,
    store_path: &Path,
    key: &[u8],
    file: &mut File,
    file_path: &Path,
    buffer: &mut Vec<u8>,
) -> Result<u64, Failure> {
    // The content decides, not the announced length: files below /proc announce 0.
    buffer.clear();
    let read = file.take(WHOLE_BYTES_MAX + 1).read_to_end(buffer);
    let bytes = read.map_err(|error| cannot_read(file_path, &error))? as u64;
    if bytes <= WHOLE_BYTES_MAX {
        store.put(key, buffer).at(store_path)?;
        return Ok(bytes);
    }
    let announced = file.metadata().map_err(|error| cannot_read(file_path, &error))?.len();
    let bytes = announced.max(bytes);
    put_stream(store, store_path, key, bytes, Cursor::new(&*buffer).chain(file), file_path)?;
    Ok(bytes)
}

/// Stores all that `input` yields from here on: a file of any size, or a pipe or terminal up to its
/// end.
pub(crate) fn put_any(
    store: &mut HostStore<'_>,
    store_path: &Path,
    key: &[u8],
    mut input: File,
    input_path: &Path,
) -> Result<(), Failure> {
    let metadata = input.metadata().map_err(|error| cannot_read(input_path, &error))?;
    // Standard input may be a file that somebody has read a part of: then its length does not
    // count.
    if metadata.is_file() && input.stream_position().is_ok_and(|position| position == 0) {
        put_file(store, store_path, key, &mut input, input_path, &mut Vec::new())?;
        return Ok(());
    }
    put_unsized(store, store_path, key, &mut input, input_path)
}

fn put_unsized(
    store: &mut HostStore<'_>,
    store_path: &Path,
    key: &[u8],
    input: &mut File,
    input_path: &Path,
) -> Result<(), Failure> {
    let failed = |error: io::Error| cannot_read(input_path, &error);
    let mut start = Vec::new();
    Read::by_ref(input).take(SPOOL_MEMORY_BYTES).read_to_end(&mut start).map_err(failed)?;
    if (start.len() as u64) < SPOOL_MEMORY_BYTES {
        return store.put(key, &start).at(store_path);
    }
    let spool_failed =
        |error: io::Error| Failure::io(&std::env::temp_dir(), "cannot hold the input", &error);
    let mut spool = tempfile::tempfile().map_err(spool_failed)?;
    spool.write_all(&start).map_err(spool_failed)?;
    drop(start);
    io::copy(input, &mut spool).map_err(failed)?;
    let bytes = spool.stream_position().map_err(spool_failed)?;
    spool.seek(SeekFrom::Start(0)).map_err(spool_failed)?;
    put_stream(store, store_path, key, bytes, spool, input_path)
}

/// Standard input without the buffer that `std::io::stdin` puts before it.
pub(crate) fn stdin() -> Result<File, Failure> {
    let owned = io::stdin().as_fd().try_clone_to_owned();
    owned.map(File::from).map_err(|error| cannot_read(Path::new("standard input"), &error))
}

fn put_stream(
    store: &mut HostStore<'_>,
    store_path: &Path,
    key: &[u8],
    bytes: u64,
    inner: impl Read,
    input_path: &Path,
) -> Result<(), Failure> {
    let mut reader = Reader { inner, error: None };
    let result = store.put_stream(key, bytes, &mut reader);
    match (result, reader.error) {
        (Err(emberkv_core::Error::Stream), Some(error)) => Err(cannot_read(input_path, &error)),
        (Err(emberkv_core::Error::Stream), None) => Err(Failure::new(
            input_path,
            "became shorter while it was read",
            "run this again when nothing writes to it",
        )),
        (result, _) => result.at(store_path),
    }
}

/// The failure to read an input.
pub(crate) fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::io(path, "cannot read", error)
}
