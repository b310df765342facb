//! The tab-separated text format: `KEY <tab> VALUE`, one entry a line, with escapes for all other
//! bytes.
//!
//! What is written is valid UTF-8 without control characters, whatever the entry holds, and reads
//! back as the same bytes: `\t \n \r \\ \0`, and `\xHH` for any byte.

/// Why a line is no entry.
pub(crate) type LineError = String;

/// An entry: key and value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// Reads one line, without its end.
pub(crate) fn parse(line: &[u8]) -> Result<Entry, LineError> {
    let mut fields = line.split(|&byte| byte == b'\t');
    let (Some(key), Some(value), rest) = (fields.next(), fields.next(), fields.next()) else {
        return Err("there is no tab between key and value".to_owned());
    };
    if rest.is_some() {
        return Err("there is a second tab: inside a key or value write \\t".to_owned());
    }
    Ok((unescape(key)?, unescape(value)?))
}

fn unescape(field: &[u8]) -> Result<Vec<u8>, LineError> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = (rest.next().and_then(hex), rest.next().and_then(hex));
                let (Some(high), Some(low)) = digits else {
                    return Err("\\x needs two hexadecimal digits".to_owned());
                };
                high << 4 | low
            }
            Some(&other) => {
                let shown = other.escape_ascii();
                return Err(format!("unknown escape \\{shown}: write \\\\ for a backslash"));
            }
            None => return Err("a field ends in a single backslash: write \\\\".to_owned()),
        });
    }
    Ok(bytes)
}

fn hex(digit: &u8) -> Option<u8> {
    char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Escapes a key or value that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Escaper {
    /// The beginning of a character whose end is in the next piece: at most three bytes.
    held: Vec<u8>,
}

impl Escaper {
    /// Appends the escaped form of `piece` to `out`.
    pub(crate) fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        let whole = bytes.len() - unfinished(&bytes);
        self.held = bytes.split_off(whole);
        escape(&bytes, out);
    }

    /// Appends what was held back.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        escape(&std::mem::take(&mut self.held), out);
    }
}

/// Bytes at the end that might become a character with what follows.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    // A character has at most four bytes, so only its beginning can be among the last three.
    (0..tail.len())
        .find(|&start| {
            std::str::from_utf8(&tail[start..])
                .is_err_and(|error| error.error_len().is_none() && error.valid_up_to() == 0)
        })
        .map_or(0, |start| tail.len() - start)
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => out.extend_from_slice(b"\\t"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\0' => out.extend_from_slice(b"\\0"),
                c if c.is_control() => {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_hex(byte, out));
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_hex(byte, out));
    }
}

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    out.extend_from_slice(b"\\x");
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::{Escaper, parse};

    fn escaped(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut escaper, mut out) = (Escaper::default(), Vec::new());
        pieces.iter().for_each(|piece| escaper.piece(piece, &mut out));
        escaper.finish(&mut out);
        out
    }

    #[test]
    fn every_byte_survives_the_round_trip_wherever_the_pieces_are_cut() {
        let mut all: Vec<u8> = (0..=255).collect();
        all.extend_from_slice("äöü€𝄞\u{85}".as_bytes());
        all.extend_from_slice(&[0xe2, 0x82, b'x', 0xf0, 0x9d]);
        for cut in 0..all.len() {
            let text = escaped(&[&all[..cut], &all[cut..]]);
            assert_eq!(text, escaped(&[&all]), "cut at {cut}");
            let line = [b"k\t".as_slice(), &text].concat();
            assert_eq!(parse(&line), Ok((b"k".to_vec(), all.clone())));
        }
    }

    #[test]
    fn text_stays_readable() {
        assert_eq!(escaped(&["a\tb\\ä€".as_bytes()]), "a\\tb\\\\ä€".as_bytes());
    }

    #[test]
    fn a_line_that_is_no_entry_says_why() {
        for line in [&b"no tab"[..], b"a\tb\tc", b"a\t\\q", b"a\t\\", b"a\t\\x4", b"a\t\\xg0"] {
            assert!(parse(line).is_err(), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn an_empty_value_is_a_value() {
        assert_eq!(parse(b"key\t"), Ok((b"key".to_vec(), Vec::new())));
    }
}
