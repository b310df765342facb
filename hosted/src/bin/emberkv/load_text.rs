//! `load` from tab-separated text or JSON lines: one entry a line, a bad line named by its number.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use emberkv_core::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::args::{self, Format};
use crate::failure::{At, Failure, shown};
use crate::session::Session;
use crate::source::{self, cannot_read};
use crate::{jsonl, tsv, value};

/// Longest line. A line is held in memory, and a file without newlines must not take all of it.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// A text under way.
pub(crate) struct TextInput {
    reader: BufReader<File>,
    path: PathBuf,
    format: Format,
    bytes: Option<u64>,
}

impl TextInput {
    /// Opens what the arguments name.
    pub(crate) fn open(arguments: &args::Load) -> Result<Self, Failure> {
        let named = arguments.input.as_deref().filter(|path| *path != Path::new("-"));
        let (file, path) = match named {
            Some(path) => (File::open(path).map_err(|error| cannot_read(path, &error))?, path),
            None if arguments.input.is_none() && io::stdin().is_terminal() => {
                return Err(Failure::new(
                    &arguments.path,
                    "nothing to load was given",
                    "name a file, `-` for standard input, or --tree DIR",
                ));
            }
            None => (source::stdin()?, Path::new("standard input")),
        };
        let format = match (arguments.format, named) {
            (Some(format), _) => format,
            (None, Some(path)) => guess(path)?,
            (None, None) => Format::Tsv,
        };
        let metadata = file.metadata().map_err(|error| cannot_read(path, &error))?;
        if metadata.is_dir() {
            return Err(Failure::new(path, "is a directory", "load it with --tree"));
        }
        let bytes = metadata.is_file().then_some(metadata.len());
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(Self { reader, path: path.to_owned(), format, bytes })
    }

    /// Syncs what waits for it if the input has nothing more to give just now: what a pipe
    /// delivered must not stay in memory for as long as the other side likes to be silent.
    fn sync_before_a_pause(&self, session: &mut Session<'_, '_>) -> Result<(), Failure> {
        let Some(left) = session.time_to_sync() else { return Ok(()) };
        if self.reader.buffer().contains(&b'\n') {
            return Ok(());
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut input = [PollFd::new(self.reader.get_ref(), PollFlags::IN)];
        match poll(&mut input, Some(&timeout)) {
            Ok(0) => session.sync(),
            // Readable, at its end, or not to be waited for: the read that follows knows.
            _ => Ok(()),
        }
    }

    /// Its length, if that is known.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.bytes
    }
}

/// The format that a file's name promises.
pub(crate) fn guess(path: &Path) -> Result<Format, Failure> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("tsv" | "txt") => Ok(Format::Tsv),
        Some("jsonl" | "ndjson") => Ok(Format::Jsonl),
        _ => Err(Failure::new(
            path,
            "the name does not tell the format",
            "say --format tsv or --format jsonl",
        )),
    }
}

/// Stores each line of the input.
pub(crate) fn load(
    session: &mut Session<'_, '_>,
    input: &mut TextInput,
    resume: bool,
) -> Result<(), Failure> {
    let mut line = Vec::new();
    let mut number: u64 = 0;
    // Ends with the input: each turn takes at least one byte of it.
    loop {
        input.sync_before_a_pause(session)?;
        line.clear();
        let mut limited = input.reader.by_ref().take(LINE_BYTES_MAX);
        let taken = limited.read_until(b'\n', &mut line);
        let taken = taken.map_err(|error| cannot_read(&input.path, &error))? as u64;
        if taken == 0 {
            return Ok(());
        }
        number += 1;
        let bad = |what: String| bad_line(&input.path, number, &what);
        if taken == LINE_BYTES_MAX && !line.ends_with(b"\n") {
            return Err(bad(
                "is longer than 1 GiB: store such a value with `put --file`".to_owned()
            ));
        }
        session.bar.inc(taken);
        let content = without_end(&line);
        if content.is_empty() {
            continue;
        }
        let entry = match input.format {
            Format::Tsv => tsv::parse(content),
            Format::Jsonl => jsonl::parse(content),
        };
        let (key, value) = entry.map_err(bad)?;
        if resume && value::is(session.store, session.path, &key, &value)? {
            session.unchanged();
            continue;
        }
        match session.store.put(&key, &value) {
            Err(error @ Error::KeySize { .. }) => return Err(bad(error.to_string())),
            result => result.at(session.path)?,
        }
        session.stored(key.len() as u64 + value.len() as u64)?;
    }
}

/// A line without its newline, and without the carriage return that some systems put before it.
/// (`dump` writes a carriage return that belongs to a value as `\r`.)
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn bad_line(path: &Path, number: u64, what: &str) -> Failure {
    Failure::Told {
        place: format!("{}: line {number}", shown(path)),
        what: what.to_owned(),
        advice: "correct the line and load again".to_owned(),
    }
}
