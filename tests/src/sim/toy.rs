//! A toy store on the heap, only to test the simulator: with its seeded bugs the simulator must find them, without
//! them it must find nothing. It shares no code and no format with EmberKV.
//!
//! The device is three areas. An area holds groups; a *checkpoint* group with a new generation holds the whole state,
//! *commit* groups behind it are chained to it by hashes. Recovery takes the newest readable checkpoint and what
//! is chained to it, and puts a checkpoint of its own before it answers, unless the last group is a clean mark.
//! An area without room is left for the next one, which is erased first. Three, because the newest checkpoint may be
//! half-charged (readable today only), and then the one before it must still be there.

use std::collections::BTreeMap;

use emberkv_core::{BlockDevice as _, Durability, Error};

use super::device::SimDevice;
use super::engine::{BatchEnd, Change, Engine, Kv, KvStats, Opening, Pair, Source};
use super::profile::{Medium, Setup};
use super::toy_format::{Group, HEADER_BYTES, Kind, decode_records, encode_record, scan_newest};

/// The engine.
#[derive(Debug)]
pub enum Toy {}

/// The seeded bugs, each one a classic.
pub const TOY_BUGS: [&str; 10] = [
    "AckBeforeFlush",
    "NoBatchCommit",
    "SkipHole",
    "NoRecoverFlush",
    "AppendAfterTorn",
    "NoHash",
    "SeqReuse",
    "DeleteLost",
    "StopAtFirstBad",
    "NoErase",
];

const AREAS: u32 = 3;
const BATCH_BYTES_MAX: usize = 900;

/// An open toy.
pub struct ToyStore<'m> {
    device: &'m mut SimDevice,
    bug: &'static str,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Encoded commits that are not written yet.
    staged: Vec<u8>,
    generation: u64,
    /// The area in use, the next group's place in it, and the hash of the group before.
    area: u32,
    end: u32,
    chain: u64,
    /// The newest readable generation in each area, 0 for none: the lowest is left first.
    heads: [u64; AREAS as usize],
    issued: u64,
    seq_base: u64,
    /// The next write starts a new generation: after a clean close.
    lazy: bool,
    read_only: bool,
    durability: Durability,
}

type Outcome<T = ()> = Result<T, Error>;

impl Engine for Toy {
    const NAME: &'static str = "toy";
    type Store<'m> = ToyStore<'m>;

    fn arena_bytes(_setup: &Setup) -> usize {
        0
    }

    fn format<'m>(
        device: &'m mut SimDevice,
        _arena: &'m mut [u8],
        setup: &Setup,
    ) -> Outcome<ToyStore<'m>> {
        let mut store = ToyStore::new(device, setup);
        store.area = AREAS - 1;
        store.roll()?;
        Ok(store)
    }

    fn open<'m>(
        device: &'m mut SimDevice,
        _arena: &'m mut [u8],
        setup: &Setup,
        access: Opening,
    ) -> Outcome<ToyStore<'m>> {
        let mut store = ToyStore::new(device, setup);
        store.read_only = access == Opening::ReadOnly;
        store.recover()?;
        Ok(store)
    }
}

impl<'m> ToyStore<'m> {
    fn new(device: &'m mut SimDevice, setup: &Setup) -> Self {
        Self {
            device,
            bug: setup.bug.unwrap_or(""),
            state: BTreeMap::new(),
            staged: Vec::new(),
            generation: 0,
            area: 0,
            heads: [0; AREAS as usize],
            end: 0,
            chain: 0,
            issued: 0,
            seq_base: 0,
            lazy: false,
            read_only: false,
            durability: Durability::Buffered,
        }
    }

    fn area_bytes(&self) -> u32 {
        let unit = self.device.profile().erase_unit;
        self.device.bytes.len() as u32 / AREAS / unit * unit
    }

    /// Groups start at multiples of this: no group shares a unit that may tear with another one.
    fn alignment(&self) -> u32 {
        let profile = self.device.profile();
        profile.tear_unit.max(profile.write_unit).max(64)
    }

    fn seq(&self) -> u64 {
        let base = if self.bug == "SeqReuse" { self.seq_base } else { self.generation << 32 };
        base + self.issued
    }

    /// Reads the whole device; what cannot be read counts as zeros.
    fn read_all(&mut self) -> Outcome<Vec<u8>> {
        let mut image = vec![0; self.device.bytes.len()];
        if self.device.read(0, &mut image).is_ok() {
            return Ok(image);
        }
        let step = self.device.profile().read_unit.max(64) as usize;
        for (index, piece) in image.chunks_mut(step).enumerate() {
            match self.device.read((index * step) as u64, piece) {
                Ok(()) => {}
                Err(emberkv_core::DeviceErrorKind::Uncorrectable) => piece.fill(0),
                Err(error) => return Err(Error::Device(error)),
            }
        }
        Ok(image)
    }

    fn recover(&mut self) -> Outcome {
        let image = self.read_all()?;
        let area_bytes = self.area_bytes();
        let alignment = self.alignment();
        let trusting = self.bug == "NoHash";
        let heads = &mut self.heads;
        let Some((place, first)) = scan_newest(
            &image[..(AREAS * area_bytes) as usize],
            area_bytes,
            alignment,
            trusting,
            heads,
        ) else {
            return Err(Error::NotAStore);
        };
        self.area = place / area_bytes;
        self.end = place % area_bytes;
        self.generation = first.generation;
        self.seq_base = first.generation << 32;
        let mut clean = false;
        loop {
            let at = (self.area * area_bytes + self.end) as usize;
            let area_end = ((self.area + 1) * area_bytes) as usize;
            let skips = self.bug == "SkipHole";
            let Some(group) = Group::decode(&image[at.min(area_end)..area_end], trusting) else {
                if !skips || self.end >= area_bytes {
                    break;
                }
                self.end += alignment;
                continue;
            };
            let chained = group.chain == self.chain || skips;
            if group.generation != self.generation || !chained {
                break;
            }
            if group.kind == Kind::Checkpoint {
                self.state.clear();
            }
            decode_records(group.payload, &mut self.state);
            clean = group.kind == Kind::Clean;
            self.issued = group.seq - (self.generation << 32);
            self.chain = group.hash;
            self.end += group.bytes().next_multiple_of(alignment);
        }
        if clean {
            self.lazy = true;
        } else if !self.read_only {
            if self.bug == "StopAtFirstBad" {
                let rest = &image[(self.area * area_bytes + self.end) as usize..];
                if Group::looks_like_one(rest) {
                    return Err(Error::NotBlank);
                }
            }
            if self.bug != "AppendAfterTorn" {
                self.begin_generation()?;
            }
        }
        Ok(())
    }

    /// A checkpoint with a new generation, durable before anything else is answered.
    fn begin_generation(&mut self) -> Outcome {
        self.lazy = false;
        let payload = self.encode_state();
        let bytes = (HEADER_BYTES + payload.len()) as u32;
        if self.device.profile().medium == Medium::Nor || self.end + bytes > self.area_bytes() {
            return self.roll();
        }
        self.generation += 1;
        self.issued = 0;
        self.chain = 0;
        self.write_group(Kind::Checkpoint, &payload)?;
        self.barrier_of_recovery()
    }

    fn barrier_of_recovery(&mut self) -> Outcome {
        if self.bug != "NoRecoverFlush" {
            self.device.flush().map_err(Error::Device)?;
        }
        Ok(())
    }

    /// Leaves this area for the next one.
    fn roll(&mut self) -> Outcome {
        let payload = self.encode_state();
        let target = (0..AREAS)
            .filter(|&area| area != self.area)
            .min_by_key(|&area| self.heads[area as usize]);
        self.area = target.unwrap_or(0);
        let start = u64::from(self.area * self.area_bytes());
        if self.bug != "NoErase" {
            self.device
                .erase(start..start + u64::from(self.area_bytes()))
                .map_err(Error::Device)?;
        }
        self.generation += 1;
        self.heads[self.area as usize] = self.generation;
        self.issued = 0;
        self.chain = 0;
        self.end = 0;
        self.lazy = false;
        self.staged.clear();
        self.write_group(Kind::Checkpoint, &payload)?;
        self.barrier_of_recovery()
    }

    fn encode_state(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        for (key, value) in &self.state {
            encode_record(&mut payload, key, Some(value));
        }
        payload
    }

    fn write_group(&mut self, kind: Kind, payload: &[u8]) -> Outcome {
        self.issued += 1;
        let seq = (self.generation << 32) + self.issued;
        let group =
            Group { kind, generation: self.generation, seq, chain: self.chain, hash: 0, payload };
        let (mut bytes, hash) = group.encode();
        bytes.resize(bytes.len().next_multiple_of(self.alignment() as usize), 0xff);
        let start = u64::from(self.area * self.area_bytes() + self.end);
        let mut at = 0;
        for piece in bytes.chunks(self.device.profile().max_transfer as usize) {
            self.device.write(start + at, &[piece], self.durability).map_err(Error::Device)?;
            at += piece.len() as u64;
        }
        self.end += bytes.len() as u32;
        self.chain = hash;
        Ok(())
    }

    /// Writes out what is staged, as one group.
    fn write_out(&mut self) -> Outcome {
        if self.staged.is_empty() {
            return Ok(());
        }
        let payload = std::mem::take(&mut self.staged);
        let bytes = (HEADER_BYTES + payload.len()) as u32;
        if self.end + bytes.next_multiple_of(self.alignment()) > self.area_bytes() {
            return self.roll();
        }
        self.write_group(Kind::Commit, &payload)
    }

    /// Applies changes that belong together, if the state then still fits a checkpoint with room behind it.
    fn commit(&mut self, changes: &[Change<'_>]) -> Outcome {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        let mut grown = 0;
        for change in changes {
            if let Change::Put(key, value) = change {
                grown += key.len() + value.len() + 6;
            }
        }
        let now: usize = self.state.iter().map(|(key, value)| key.len() + value.len() + 6).sum();
        let room = self.area_bytes() as usize - 2 * self.alignment() as usize - HEADER_BYTES;
        if now + grown > room || HEADER_BYTES + grown > room {
            return Err(Error::Full);
        }
        if changes.len() > 1 && grown > BATCH_BYTES_MAX {
            return Err(Error::BatchTooLarge { max: BATCH_BYTES_MAX as u32 });
        }
        if self.lazy {
            self.begin_generation()?;
        }
        for change in changes {
            match *change {
                Change::Put(key, value) => {
                    encode_record(&mut self.staged, key, Some(value));
                    self.state.insert(key.to_vec(), value.to_vec());
                }
                Change::Delete(key) => {
                    if self.bug != "DeleteLost" {
                        encode_record(&mut self.staged, key, None);
                    }
                    self.state.remove(key);
                }
            }
            if self.bug == "NoBatchCommit" {
                self.write_out()?;
            }
        }
        if self.staged.len() > 200 { self.write_out() } else { Ok(()) }
    }
}

impl Kv for ToyStore<'_> {
    type Cursor = usize;

    fn device(&mut self) -> &mut SimDevice {
        self.device
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Outcome {
        self.commit(&[Change::Put(key, value)])
    }

    fn delete(&mut self, key: &[u8]) -> Outcome<bool> {
        let there = self.state.contains_key(key);
        if there {
            self.commit(&[Change::Delete(key)])?;
        }
        Ok(there)
    }

    fn get<'b>(&mut self, key: &[u8], buffer: &'b mut [u8]) -> Outcome<Option<&'b [u8]>> {
        let Some(value) = self.state.get(key) else { return Ok(None) };
        buffer[..value.len()].copy_from_slice(value);
        Ok(Some(&buffer[..value.len()]))
    }

    fn get_streamed(&mut self, key: &[u8], buffer: &mut [u8]) -> Outcome<Option<usize>> {
        Ok(self.get(key, buffer)?.map(<[u8]>::len))
    }

    fn value_len(&mut self, key: &[u8]) -> Outcome<Option<u64>> {
        Ok(self.state.get(key).map(|value| value.len() as u64))
    }

    fn contains(&mut self, key: &[u8]) -> Outcome<bool> {
        Ok(self.state.contains_key(key))
    }

    fn batch(&mut self, changes: &[Change<'_>], end: BatchEnd) -> Outcome {
        if end == BatchEnd::Abort { Ok(()) } else { self.commit(changes) }
    }

    fn sync(&mut self) -> Outcome {
        self.write_out()?;
        if self.bug != "AckBeforeFlush" {
            self.device.flush().map_err(Error::Device)?;
        }
        Ok(())
    }

    fn next<'b>(&mut self, cursor: &mut usize, buffer: &'b mut [u8]) -> Outcome<Option<Pair<'b>>> {
        let Some((key, value)) = self.state.iter().nth(*cursor) else { return Ok(None) };
        *cursor += 1;
        let (key_part, rest) = buffer.split_at_mut(key.len());
        key_part.copy_from_slice(key);
        rest[..value.len()].copy_from_slice(value);
        Ok(Some((key_part, &rest[..value.len()])))
    }

    fn put_stream(&mut self, key: &[u8], bytes: u64, source: &mut Source<'_>) -> Outcome {
        use embedded_io::Read as _;
        let mut value = vec![0; bytes as usize];
        source.read_exact(&mut value).map_err(|_| Error::Stream)?;
        self.put(key, &value)
    }

    fn check(&mut self) -> Outcome<Option<String>> {
        Ok(None)
    }

    fn stats(&self) -> KvStats {
        KvStats { keys: self.state.len() as u64, seq: self.seq() }
    }

    fn close(mut self) -> Outcome {
        self.sync()?;
        if !self.lazy {
            if self.end + self.alignment().max(64) > self.area_bytes() {
                self.roll()?;
            }
            // Everything before it is durable, so it need not be flushed where writes can be durable alone.
            let alone = self.device.profile().durable_write;
            self.durability = if alone { Durability::Durable } else { Durability::Buffered };
            self.write_group(Kind::Clean, &[])?;
            if !alone {
                self.device.flush().map_err(Error::Device)?;
            }
        }
        Ok(())
    }
}
