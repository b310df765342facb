//! Standard output and output files: buffered, byte-exact, quiet when the reader goes away.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Bytes gathered before a write: as large as a pipe holds.
const BUFFER_BYTES: usize = 64 << 10;

/// Where a verb writes its result.
#[derive(Debug)]
pub(crate) struct Output {
    writer: BufWriter<File>,
    /// The file, where it is one that we made.
    file: Option<PathBuf>,
}

impl Output {
    /// Standard output, without the line buffering that `std::io::stdout` has.
    pub(crate) fn stdout() -> Result<Self, Failure> {
        let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        let file = file.map_err(|error| failure(None, &error))?;
        Ok(Self { writer: BufWriter::with_capacity(BUFFER_BYTES, file), file: None })
    }

    /// A new file; one that exists is left alone (it might be the store).
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create_new(path).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                Failure::new(path, "exists already", "remove it or choose another name")
            } else {
                Failure::io(path, "cannot create the file", &error)
            }
        })?;
        let writer = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self { writer, file: Some(path.to_owned()) })
    }

    /// Writes all of `bytes`.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(|error| failure(self.file.as_deref(), &error))
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Hands on what is gathered.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| failure(self.file.as_deref(), &error))
    }

    /// Hands on what is gathered; what went to a file of ours is on the medium on return.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush()?;
        if let Some(path) = &self.file {
            self.writer.get_ref().sync_all().map_err(|error| failure(Some(path), &error))?;
        }
        Ok(())
    }
}

fn failure(file: Option<&Path>, error: &io::Error) -> Failure {
    match file {
        Some(path) => Failure::io(path, "cannot write", error),
        None if error.kind() == io::ErrorKind::BrokenPipe => Failure::PipeClosed,
        None => Failure::io(Path::new("standard output"), "cannot write", error),
    }
}
