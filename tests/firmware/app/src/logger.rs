//! The application: settings and a log, as `emberkv-firmware-script` has it, over any device.
//!
//! It says what it does, a line each:
//!
//! ```text
//! boot fresh|opened
//! have KEY N   every key, once, and which operation wrote its value, of which every byte was compared
//! state N      what it holds is what N operations leave: as many as the host knows to be durable, or
//!              more
//! start N      operation N begins
//! ack N        the first N operations are durable
//! idle ..      work between operations
//! FAILED ..    something is wrong, and the run ends
//! ```

use core::fmt::Debug;

use emberkv_core::{BlockDevice, Config, Cursor, Error, Hints, MergeNeed, Store, required_bytes};
use emberkv_firmware_script::{
    Count, Found, KEYS_MAX, Key, Operation, State, VALUE_BYTES_MAX, Wrong, operation, value,
};

use crate::host::{self, CommandLine, Verdict};
use crate::{say, stack};

/// Bytes of the arena. `required_bytes` says how much of it a configuration needs.
pub const ARENA_BYTES: usize = 24 << 10;

/// Bytes that one idle step may merge or verify.
const IDLE_BUDGET: u64 = 2048;
/// A snapshot is taken, and given back, after so many operations.
const SNAPSHOT_EVERY: Count = 64;
const SNAPSHOT_LASTS: Count = 24;

/// What the host asks for.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Operations that it knows to be durable.
    pub acked: Count,
    /// Seed of what is not part of the script: when to sync.
    pub seed: u32,
    /// Ends after this state.
    pub until: Count,
    /// Whether what it acknowledges is true.
    pub acks: Acks,
}

/// Whether an acknowledgement means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Behind a sync.
    Honest,
    /// Without one: a seeded bug, which the harness must find.
    Early,
}

impl Order {
    /// From the command line.
    #[must_use]
    pub fn read(line: &CommandLine) -> Self {
        Self {
            acked: line.number("acked").unwrap_or(0),
            seed: line.number("seed").unwrap_or(1),
            until: line.number("until").unwrap_or(Count::MAX),
            acks: if line.has("early-acks") { Acks::Early } else { Acks::Honest },
        }
    }
}

/// The configuration on both boards; segments are the board's choice.
#[must_use]
pub fn config(segment_bytes: u32) -> Config {
    Config {
        segment_bytes,
        seed: *b"firmware: from a generator, once",
        page_bytes: 512,
        frames: 26,
        keys_max: 2 * KEYS_MAX,
        key_bytes_max: 32,
        hints: Hints::Omit,
        snapshots_max: 2,
        versions_max: 48,
        ..Config::default()
    }
}

/// What ends a run.
#[derive(Debug)]
pub enum Failure<E> {
    /// The store.
    Store(Error<E>),
    /// What it holds is nothing that was written.
    Wrong(Wrong),
    /// A snapshot changed while it was held.
    Snapshot,
    /// Scrubbing found damage.
    Damage,
}

impl<E> From<Error<E>> for Failure<E> {
    fn from(error: Error<E>) -> Self {
        Self::Store(error)
    }
}

/// Boots: opens the store or formats a blank medium, verifies all of it, and writes until the power
/// fails.
pub fn run<D: BlockDevice>(mut device: D, arena: &mut [u8], config: &Config, order: Order) -> !
where
    D::Error: Debug,
{
    let need = required_bytes(config, &device.geometry());
    say!("memory arena={need} store={} stack={}", size_of::<Store<'_, &mut D>>(), stack::free());
    stack::paint();
    // Lent, so that the driver's buffers are not part of what is moved; matched in place, for the
    // same reason.
    let mut opened = open(&mut device, arena, config);
    say!("stack open={}", stack::used());
    stack::paint();
    let verdict = match &mut opened {
        Ok(store) => match live(store, order) {
            Ok(()) => Verdict::Passed,
            Err(failure) => failed(&failure),
        },
        Err(error) => failed(error),
    };
    say!("stack work={}", stack::used());
    host::exit(verdict)
}

fn failed(what: &impl Debug) -> Verdict {
    say!("FAILED {what:?}");
    Verdict::Failed
}

/// Opens the store, or formats a blank medium. A frame of its own: what it takes is given back
/// before the work begins.
#[inline(never)]
fn open<'m, D: BlockDevice>(
    device: D,
    arena: &'m mut [u8],
    config: &Config,
) -> Result<Store<'m, D>, Error<D::Error>> {
    Store::open_or_format(device, arena, config)
}

#[inline(never)]
fn live<D: BlockDevice>(store: &mut Store<'_, D>, order: Order) -> Result<(), Failure<D::Error>> {
    let fresh = store.stats().entries == 0;
    say!("boot {}", if fresh { "fresh" } else { "opened" });
    let random = order.seed | 1;
    let state = State::default();
    let mut logger = Logger { store, state, order, random, merged: 0, scrubbed: 0 };
    logger.verify()?;
    logger.work()?;
    say!("idle merged={} scrubbed={}", logger.merged, logger.scrubbed);
    logger.store.sync()?;
    say!("ack {}", order.until);
    Ok(())
}

struct Logger<'s, 'm, D: BlockDevice> {
    store: &'s mut Store<'m, D>,
    state: State,
    order: Order,
    random: u32,
    merged: u32,
    scrubbed: u64,
}

/// A snapshot and what it must show for ever.
struct Held {
    id: emberkv_core::SnapshotId,
    state: State,
}

impl<D: BlockDevice> Logger<'_, '_, D> {
    /// Reads every key, both ways, and finds out which state this is.
    #[inline(never)]
    fn verify(&mut self) -> Result<(), Failure<D::Error>> {
        let mut found = Found::default();
        let mut buffer = [0; VALUE_BYTES_MAX + 32];
        let mut cursor = Cursor::default();
        while let Some((name, bytes)) = self.store.next(&mut cursor, &mut buffer)? {
            let count = found.add(name, bytes).map_err(Failure::Wrong)?;
            say!("have {} {count}", core::str::from_utf8(name).unwrap_or("?"));
        }
        self.state = found.state(self.order.acked).map_err(Failure::Wrong)?;
        for key in self.state.keys() {
            let count = self.state.writer(key).unwrap_or(0);
            let bytes = self.store.get(key.name().as_bytes(), &mut buffer)?;
            if bytes != Some(value(key, count).as_bytes()) {
                return Err(Failure::Wrong(Wrong::Content));
            }
        }
        say!("state {}", self.state.count);
        Ok(())
    }

    #[inline(never)]
    fn work(&mut self) -> Result<(), Failure<D::Error>> {
        let mut held: Option<Held> = None;
        while self.state.count < self.order.until {
            let next = self.state.count + 1;
            say!("start {next}");
            self.perform(operation(next))?;
            self.state.advance();
            if self.random().is_multiple_of(3) {
                if self.order.acks == Acks::Honest {
                    self.store.sync()?;
                }
                say!("ack {next}");
            }
            match held.take() {
                Some(snapshot) if next - snapshot.state.count >= SNAPSHOT_LASTS => {
                    self.compare(&snapshot)?;
                    self.store.release(snapshot.id)?;
                }
                None if next.is_multiple_of(SNAPSHOT_EVERY) => {
                    held = Some(Held { id: self.store.snapshot()?, state: self.state.clone() });
                }
                other => held = other,
            }
            self.idle()?;
        }
        Ok(())
    }

    fn random(&mut self) -> u32 {
        // Xorshift: never 0.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }

    #[inline(never)]
    fn perform(&mut self, operation: Operation) -> Result<(), Failure<D::Error>> {
        let count = self.state.count + 1;
        let bytes = |key: Key| value(key, count);
        match operation {
            Operation::Put(key) => {
                self.store.put(key.name().as_bytes(), bytes(key).as_bytes())?;
            }
            Operation::Delete(key) => {
                self.store.delete(key.name().as_bytes())?;
            }
            Operation::PutAll(keys) => {
                let mut batch = self.store.batch()?;
                for key in keys {
                    batch.put(key.name().as_bytes(), bytes(key).as_bytes())?;
                }
                batch.commit()?;
            }
            Operation::Append { record, outdated } => {
                let mut batch = self.store.batch()?;
                batch.put(record.name().as_bytes(), bytes(record).as_bytes())?;
                if let Some(key) = outdated {
                    batch.delete(key.name().as_bytes())?;
                }
                batch.commit()?;
            }
        }
        Ok(())
    }

    /// What firmware does while it waits: merges while that is of use, and verifies a little.
    #[inline(never)]
    fn idle(&mut self) -> Result<(), Failure<D::Error>> {
        if self.store.need_merge() != MergeNeed::No && self.store.merge_step(IDLE_BUDGET)? {
            self.merged += 1;
        }
        if self.state.count.is_multiple_of(8) {
            let progress = self.store.scrub_step(IDLE_BUDGET)?;
            self.scrubbed += progress.bytes;
            if progress.damage.is_some() {
                return Err(Failure::Damage);
            }
        }
        Ok(())
    }

    /// Reads what a snapshot shows.
    #[inline(never)]
    fn compare(&mut self, held: &Held) -> Result<(), Failure<D::Error>> {
        let mut found = Found::default();
        let mut cursor = Cursor::default();
        let mut buffer = [0; VALUE_BYTES_MAX + 32];
        while let Some((name, bytes)) = self.store.next_at(held.id, &mut cursor, &mut buffer)? {
            found.add(name, bytes).map_err(Failure::Wrong)?;
        }
        match found.state(held.state.count) {
            Ok(state) if state == held.state => Ok(()),
            _ => Err(Failure::Snapshot),
        }
    }
}
