//! The verb `salvage`: copies everything that can still be read into a new store, and lists on
//! standard error what cannot. The damaged store is only read. The new one is whole at any moment:
//! a salvage that was interrupted left a part of the entries in it, and is begun anew under another
//! name.

use std::path::Path;

use emberkv_core::{Access, Corruption, Cursor, Damage, Error};
use emberkv_raw::Overwrite;
use serde_json::json;

use crate::args;
use crate::complain;
use crate::failure::{At, Failure, Outcome, shown};
use crate::host::{Host, HostStore, KEY_BUFFER_BYTES};
use crate::output::Output;

/// Entries up to this size are copied in one go; longer values in pieces.
const ENTRY_BUFFER_BYTES: usize = 1 << 20;

/// `salvage`
pub(crate) fn salvage(host: &Host, arguments: &args::Salvage) -> Result<Outcome, Failure> {
    let (from, to) = (&arguments.path, &arguments.to);
    let mut output = Output::stdout()?;
    let tally = host.with_store(from, Access::Salvage, |mut damaged| {
        // Not before the old one could be opened: a mistyped path leaves no store behind.
        host.create(to, None, None, None, Overwrite::Nothing)?;
        host.with_store(to, Access::ReadWrite, |mut saved| {
            let mut tally = Tally::default();
            copy(&mut damaged, from, &mut saved, to, &mut tally)?;
            list(&mut damaged, from, &mut tally)?;
            saved.close().at(to).map(|_| tally)
        })
    })?;
    output.line(&if arguments.json { tally.json() } else { tally.line(to) })?;
    output.finish()?;
    Ok(if tally.is_whole() { Outcome::Done } else { Outcome::Negative })
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    entries: u64,
    bytes: u64,
    /// Keys whose value cannot be read.
    unreadable: u64,
    /// Damaged places, whatever they hold.
    damages: u64,
    /// Those among them that held, or may have held, records.
    losses: u64,
}

impl Tally {
    fn is_whole(&self) -> bool {
        self.unreadable == 0 && self.losses == 0
    }

    fn json(&self) -> String {
        json!({
            "entries": self.entries,
            "bytes": self.bytes,
            "unreadable": self.unreadable,
            "damages": self.damages,
            "whole": self.is_whole(),
        })
        .to_string()
    }

    fn line(&self, to: &Path) -> String {
        let verdict = if self.is_whole() { "nothing is lost" } else { "some are lost" };
        format!(
            "{}: saved {} entries, {} bytes; {} values cannot be read, {} places are damaged: {verdict}",
            shown(to),
            self.entries,
            self.bytes,
            self.unreadable,
            self.damages,
        )
    }

    fn unreadable(&mut self, from: &Path, place: Corruption) {
        self.unreadable += 1;
        complain(&format!("emberkv: {}: {place}: a value cannot be read", shown(from)));
    }
}

fn copy(
    damaged: &mut HostStore<'_>,
    from: &Path,
    saved: &mut HostStore<'_>,
    to: &Path,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut cursor = Cursor::default();
    let mut buffer = vec![0; ENTRY_BUFFER_BYTES];
    let mut key_buffer = vec![0; KEY_BUFFER_BYTES];
    // Ends with the cursor: each turn moves it by one entry.
    loop {
        let before = cursor;
        match damaged.next(&mut cursor, &mut buffer) {
            Ok(None) => return saved.sync().at(to),
            Ok(Some((key, value))) => {
                saved.put(key, value).at(to)?;
                tally.entries += 1;
                tally.bytes += value.len() as u64;
            }
            Err(Error::Corrupted(place)) => tally.unreadable(from, place),
            Err(Error::BufferTooSmall { .. }) => {
                cursor = before;
                match damaged.next_key(&mut cursor, &mut key_buffer) {
                    Ok(Some(key)) => copy_long((damaged, from), (saved, to), key, tally)?,
                    Ok(None) => return saved.sync().at(to),
                    Err(Error::Corrupted(place)) => tally.unreadable(from, place),
                    Err(error) => return Err(error).at(from),
                }
            }
            Err(error) => return Err(error).at(from),
        }
    }
}

/// Copies a value of any size; one that turns out to be damaged is left out.
fn copy_long(
    from: (&mut HostStore<'_>, &Path),
    to: (&mut HostStore<'_>, &Path),
    key: &[u8],
    tally: &mut Tally,
) -> Result<(), Failure> {
    let ((damaged, from), (saved, to)) = (from, to);
    let reader = match damaged.get_stream(key) {
        Ok(Some(reader)) => reader,
        Ok(None) => return Ok(()),
        Err(Error::Corrupted(place)) => {
            tally.unreadable(from, place);
            return Ok(());
        }
        Err(error) => return Err(error).at(from),
    };
    let bytes = reader.bytes();
    let mut source = Source { reader, failed: None };
    match saved.put_stream(key, bytes, &mut source) {
        Ok(()) => {
            tally.entries += 1;
            tally.bytes += bytes;
            Ok(())
        }
        Err(Error::Stream) => match source.failed {
            Some(Error::Corrupted(place)) => {
                tally.unreadable(from, place);
                Ok(())
            }
            Some(error) => Err(error).at(from),
            None => Err(Error::Stream).at(from),
        },
        Err(error) => Err(error).at(to),
    }
}

/// A value of the damaged store as the source of one of the new one; keeps why it could not be
/// read.
struct Source<R, E> {
    reader: R,
    failed: Option<E>,
}

impl<R: embedded_io::ErrorType, E> embedded_io::ErrorType for Source<R, E> {
    type Error = embedded_io::ErrorKind;
}

impl<R, E> embedded_io::Read for Source<R, Error<E>>
where
    R: embedded_io::Read<Error = emberkv_core::StreamError<E>>,
    E: core::fmt::Debug + core::fmt::Display,
{
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.reader.read(buffer).map_err(|error| {
            let kind = embedded_io::Error::kind(&error);
            self.failed = Some(error.0);
            kind
        })
    }
}

/// Lists every damaged place: those that `check` can name, and those that only open met.
fn list(damaged: &mut HostStore<'_>, from: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let mut met = Vec::new();
    let count = damaged.damages(|place| met.push(place));
    tally.losses += count;
    let mut told = |place: &Corruption| {
        tally.damages += 1;
        complain(&format!("emberkv: {}: {place}", shown(from)));
    };
    met.iter().for_each(&mut told);
    let mut more = 0;
    damaged
        .check(|place| {
            if !met.contains(&place) {
                told(&place);
                more += u64::from(matches!(place.what, Damage::Group | Damage::Record));
            }
        })
        .at(from)?;
    tally.losses += more;
    Ok(())
}
