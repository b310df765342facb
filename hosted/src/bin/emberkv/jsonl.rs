//! The JSON lines format: `{"key": "..", "value": ".."}`, one entry a line.
//!
//! A key or value that is not UTF-8 stands as base64 under `key_base64` or `value_base64`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::tsv::{Entry, LineError};

/// Reads one line.
pub(crate) fn parse(line: &[u8]) -> Result<Entry, LineError> {
    let parsed: Value = serde_json::from_slice(line).map_err(|error| {
        // serde's place is "line 1 column N": only the column means something here.
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default().to_owned();
        format!("no JSON: {what} at column {}", error.column())
    })?;
    let Value::Object(fields) = parsed else {
        return Err("not an object: write {\"key\": \"..\", \"value\": \"..\"}".to_owned());
    };
    let (mut key, mut value) = (None, None);
    for (name, field) in fields {
        let (slot, is_base64) = match name.as_str() {
            "key" => (&mut key, false),
            "key_base64" => (&mut key, true),
            "value" => (&mut value, false),
            "value_base64" => (&mut value, true),
            other => return Err(format!("unknown field \"{}\"", other.escape_default())),
        };
        let Value::String(text) = field else {
            return Err(format!("\"{name}\" must be a string"));
        };
        let bytes = if is_base64 {
            STANDARD.decode(text).map_err(|error| format!("\"{name}\": {error}"))?
        } else {
            text.into_bytes()
        };
        if slot.replace(bytes).is_some() {
            return Err(format!("\"{name}\" stands both as text and as base64"));
        }
    }
    let missing = |name| format!("there is no \"{name}\" or \"{name}_base64\"");
    Ok((key.ok_or_else(|| missing("key"))?, value.ok_or_else(|| missing("value"))?))
}

/// One field with its comma or bracket before it: text where it is UTF-8, base64 otherwise.
pub(crate) fn push_field(opening: &str, name: &str, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(opening.as_bytes());
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let quoted = Value::from(text).to_string();
            out.extend_from_slice(format!("\"{name}\":{quoted}").as_bytes());
        }
        Err(_) => {
            let encoded = STANDARD.encode(bytes);
            out.extend_from_slice(format!("\"{name}_base64\":\"{encoded}\"").as_bytes());
        }
    }
}

/// Encodes a long value as base64 in pieces.
#[derive(Debug, Default)]
pub(crate) struct Base64 {
    /// Bytes that do not fill a group of three yet.
    held: Vec<u8>,
}

impl Base64 {
    /// Appends the encoded form of `piece` to `out`.
    pub(crate) fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        self.held = bytes.split_off(bytes.len() - bytes.len() % 3);
        out.extend_from_slice(STANDARD.encode(&bytes).as_bytes());
    }

    /// Appends what was held back, padded.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(STANDARD.encode(std::mem::take(&mut self.held)).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{Base64, parse, push_field};

    fn line(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_field("{", "key", key, &mut out);
        push_field(",", "value", value, &mut out);
        out.push(b'}');
        out
    }

    #[test]
    fn every_byte_survives_the_round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        for (key, value) in [
            (&b"text"[..], &b""[..]),
            (b"quote\"\\\n\0", "ä€𝄞\u{2028}".as_bytes()),
            (b"\xff", &all),
        ] {
            assert_eq!(parse(&line(key, value)), Ok((key.to_vec(), value.to_vec())));
        }
    }

    #[test]
    fn base64_in_pieces_is_base64_of_the_whole() {
        let all: Vec<u8> = (0..=255).collect();
        for cut in 0..all.len() {
            let (mut encoder, mut out) = (Base64::default(), b"{\"key\":\"k\",".to_vec());
            out.extend_from_slice(b"\"value_base64\":\"");
            encoder.piece(&all[..cut], &mut out);
            encoder.piece(&all[cut..], &mut out);
            encoder.finish(&mut out);
            out.extend_from_slice(b"\"}");
            assert_eq!(parse(&out), Ok((b"k".to_vec(), all.clone())), "cut at {cut}");
        }
    }

    #[test]
    fn a_line_that_is_no_entry_says_why() {
        for (line, why) in [
            ("{", "no JSON"),
            ("[]", "not an object"),
            ("{\"key\":\"a\"}", "there is no \"value\""),
            ("{\"value\":\"a\"}", "there is no \"key\""),
            ("{\"key\":1,\"value\":\"\"}", "must be a string"),
            ("{\"key\":\"\",\"value\":\"\",\"more\":1}", "unknown field"),
            ("{\"key\":\"a\",\"key_base64\":\"\",\"value\":\"\"}", "both"),
            ("{\"key\":\"a\",\"value_base64\":\"?\"}", "value_base64"),
        ] {
            let error = parse(line.as_bytes()).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
