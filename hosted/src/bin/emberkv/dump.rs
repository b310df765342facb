//! The verb `dump`: all entries as tab-separated text or JSON lines, which `load` reads back byte
//! for byte.

use std::path::Path;

use emberkv_core::{Access, Cursor, Error};

use crate::args::{self, Format};
use crate::dump_tree;
use crate::failure::{At, Failure, Outcome};
use crate::host::{Host, HostStore, KEY_BUFFER_BYTES};
use crate::jsonl::{self, Base64};
use crate::load_text;
use crate::output::Output;
use crate::tsv::Escaper;
use crate::value;

/// Entries up to this size are read in one go; longer values in pieces.
const ENTRY_BUFFER_BYTES: usize = 1 << 20;

/// `dump`
pub(crate) fn dump(host: &Host, arguments: &args::Dump) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    if let Some(tree) = &arguments.tree {
        return dump_tree::dump(host, path, tree);
    }
    let format = match (arguments.format, &arguments.output) {
        (Some(format), _) => format,
        (None, Some(output)) => load_text::guess(output)?,
        (None, None) => Format::Tsv,
    };
    host.with_store(path, Access::ReadOnly, |mut store| {
        let mut output = match &arguments.output {
            Some(file) => Output::create(file)?,
            None => Output::stdout()?,
        };
        each_entry(&mut store, path, format, &mut output)?;
        output.finish()?;
        Ok(Outcome::Done)
    })
}

fn each_entry(
    store: &mut HostStore<'_>,
    path: &Path,
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut cursor = Cursor::default();
    let mut buffer = vec![0; ENTRY_BUFFER_BYTES];
    let mut key_buffer = vec![0; KEY_BUFFER_BYTES];
    let mut line = Vec::new();
    // Ends with the cursor: each turn moves it by one entry.
    loop {
        line.clear();
        let before = cursor;
        match store.next(&mut cursor, &mut buffer) {
            Ok(None) => return Ok(()),
            Ok(Some((key, value))) => {
                match format {
                    Format::Tsv => tsv_line(key, value, &mut line),
                    Format::Jsonl => jsonl_line(key, value, &mut line),
                }
                output.bytes(&line)?;
            }
            Err(Error::BufferTooSmall { .. }) => {
                cursor = before;
                let key = store.next_key(&mut cursor, &mut key_buffer).at(path)?;
                let Some(key) = key else { return Ok(()) };
                match format {
                    Format::Tsv => long_tsv_line(store, path, key, output)?,
                    Format::Jsonl => long_jsonl_line(store, path, key, output)?,
                }
            }
            Err(error) => return Err(error).at(path),
        }
    }
}

fn tsv_line(key: &[u8], value: &[u8], line: &mut Vec<u8>) {
    let mut escaper = Escaper::default();
    escaper.piece(key, line);
    escaper.finish(line);
    line.push(b'\t');
    escaper.piece(value, line);
    escaper.finish(line);
    line.push(b'\n');
}

fn jsonl_line(key: &[u8], value: &[u8], line: &mut Vec<u8>) {
    jsonl::push_field("{", "key", key, line);
    jsonl::push_field(",", "value", value, line);
    line.extend_from_slice(b"}\n");
}

fn long_tsv_line(
    store: &mut HostStore<'_>,
    path: &Path,
    key: &[u8],
    output: &mut Output,
) -> Result<(), Failure> {
    let mut escaper = Escaper::default();
    let mut text = Vec::new();
    escaper.piece(key, &mut text);
    escaper.finish(&mut text);
    text.push(b'\t');
    value::each_piece(store, path, key, |piece| {
        escaper.piece(piece, &mut text);
        output.bytes(&text)?;
        text.clear();
        Ok(())
    })?;
    escaper.finish(&mut text);
    text.push(b'\n');
    output.bytes(&text)
}

/// A long value always stands as base64: whether it is text is known only at its end.
fn long_jsonl_line(
    store: &mut HostStore<'_>,
    path: &Path,
    key: &[u8],
    output: &mut Output,
) -> Result<(), Failure> {
    let mut encoder = Base64::default();
    let mut text = Vec::new();
    jsonl::push_field("{", "key", key, &mut text);
    text.extend_from_slice(b",\"value_base64\":\"");
    value::each_piece(store, path, key, |piece| {
        encoder.piece(piece, &mut text);
        output.bytes(&text)?;
        text.clear();
        Ok(())
    })?;
    encoder.finish(&mut text);
    text.extend_from_slice(b"\"}\n");
    output.bytes(&text)
}
