//! The toy store's groups: encoding, decoding and the search for the newest checkpoint.

use std::collections::BTreeMap;

use super::rng::digest;

/// Bytes in front of a group's payload.
pub(super) const HEADER_BYTES: usize = 48;

const MAGIC: [u8; 4] = *b"toy1";

/// What a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Checkpoint,
    Commit,
    Clean,
}

/// A group and its place in its generation's chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    pub(super) kind: Kind,
    pub(super) generation: u64,
    pub(super) seq: u64,
    pub(super) chain: u64,
    pub(super) hash: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Group<'a> {
    pub(super) fn bytes(&self) -> u32 {
        (HEADER_BYTES + self.payload.len()) as u32
    }

    /// The group's bytes and its hash.
    pub(super) fn encode(&self) -> (Vec<u8>, u64) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[self.kind as u8, 0, 0, 0]);
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        bytes.extend_from_slice(&(self.payload.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(self.payload);
        let hash = digest(&bytes) as u64;
        bytes[40..48].copy_from_slice(&hash.to_le_bytes());
        (bytes, hash)
    }

    /// The group at the start of `bytes`, if it is whole; `trusting` does not look at the hash (a seeded bug).
    pub(super) fn decode(bytes: &'a [u8], trusting: bool) -> Option<Self> {
        if !Self::looks_like_one(bytes) {
            return None;
        }
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let kind = [Kind::Checkpoint, Kind::Commit, Kind::Clean]
            .into_iter()
            .find(|&kind| kind as u8 == bytes[4])?;
        let (generation, seq, chain, hash) = (word(8)?, word(16)?, word(24)?, word(40)?);
        let length = usize::try_from(word(32)?).ok()?;
        let end = HEADER_BYTES.checked_add(length)?;
        let payload = bytes.get(HEADER_BYTES..end)?;
        let group = Self { kind, generation, seq, chain, hash, payload };
        (trusting || group.encode().1 == hash).then_some(group)
    }

    pub(super) fn looks_like_one(bytes: &[u8]) -> bool {
        bytes.len() >= HEADER_BYTES && bytes[..4] == MAGIC
    }
}

/// The place of the readable checkpoint with the highest generation; `heads` takes the highest one of each area.
pub(super) fn scan_newest<'a>(
    image: &'a [u8],
    area_bytes: u32,
    alignment: u32,
    trusting: bool,
    heads: &mut [u64],
) -> Option<(u32, Group<'a>)> {
    let mut newest: Option<(u32, Group<'a>)> = None;
    for place in (0..image.len()).step_by(alignment as usize) {
        if image[place..].len() < HEADER_BYTES || image[place + 4] != Kind::Checkpoint as u8 {
            continue;
        }
        let end = (place as u32 / area_bytes + 1) as usize * area_bytes as usize;
        if !Group::looks_like_one(&image[place..end]) {
            continue;
        }
        let head = &mut heads[place / area_bytes as usize];
        let generation = u64::from_le_bytes(image[place + 8..place + 16].try_into().ok()?);
        if *head >= generation {
            continue;
        }
        let Some(group) = Group::decode(&image[place..end], trusting) else { continue };
        *head = generation;
        if newest.is_none_or(|(_, other)| other.generation < generation) {
            newest = Some((place as u32, group));
        }
    }
    newest
}

/// Appends a put or (without a value) a delete.
pub(super) fn encode_record(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    out.push(key.len() as u8);
    out.push(u8::from(value.is_none()));
    let value = value.unwrap_or(&[]);
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Applies records to a state; stops where they make no sense.
pub(super) fn decode_records(mut bytes: &[u8], state: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    while bytes.len() >= 6 {
        let key_bytes = bytes[0] as usize;
        let deleted = bytes[1] == 1;
        let value_bytes = u32::from_le_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]) as usize;
        let Some(end) = (6 + key_bytes).checked_add(value_bytes).filter(|&end| end <= bytes.len())
        else {
            return;
        };
        let (key, value) = (&bytes[6..6 + key_bytes], &bytes[6 + key_bytes..end]);
        if deleted {
            state.remove(key);
        } else {
            state.insert(key.to_vec(), value.to_vec());
        }
        bytes = &bytes[end..];
    }
}
