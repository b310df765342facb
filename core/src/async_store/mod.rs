//! The driver: executes the engine's operations on a device, one at a time, and drives each call until it is ready.
//!
//! [`AsyncStore`] awaits an [`AsyncBlockDevice`]; [`Store`](crate::Store) is the same code over a blocking device, whose
//! futures are ready at once. [`AsyncStore::perform`] is the one place where a device is called, apart from the look for a
//! superblock before there is an engine.
//!
//! Dropping a future of any method leaves the store usable: the engine holds the state, and an operation that was in
//! flight counts as interrupted. The method may or may not have taken effect.

mod fold;
mod probe;
mod read;
mod write;

use core::fmt;
use core::task::Poll;

use crate::config::Config;
use crate::device::{AsyncBlockDevice, DeviceError};
use crate::engine::{
    CheckStep, CheckSummary, DeviceOp, Engine, Gather, OpKind, Plan, ScrubProgress, Setup,
};
use crate::error::{Corruption, Error};
use crate::format::superblock::Superblock;
use crate::memory::{Memory, plan};
use crate::stats::Stats;
use crate::types::SegmentId;
pub(crate) use probe::{Found, read_or_plan, read_superblock};

pub use read::ValueCursor;

/// Calls in a row that may wait for nothing: each takes the engine one stage on.
pub(crate) const IDLE_CALLS_MAX: u8 = 8;

/// A store over an asynchronous device.
pub struct AsyncStore<'m, D: AsyncBlockDevice> {
    pub(crate) engine: Engine<'m>,
    pub(crate) device: D,
    last_error: Option<D::Error>,
    /// An operation was started and its result not seen.
    busy: bool,
}

/// What a store is made from, and fits.
pub(crate) struct Prepared<'m, 's> {
    memory: Memory<'m>,
    setup: Setup<'s>,
    plan: Plan<'m>,
}

/// Drives a call of the engine until it is ready.
macro_rules! drive {
    ($self:ident, $call:expr) => {{
        let mut idle = 0;
        loop {
            match $call {
                Ok(Poll::Ready(value)) => break value,
                Ok(Poll::Pending) => {
                    idle = if $self.pump().await { 0 } else { idle + 1 };
                    if idle > $crate::async_store::IDLE_CALLS_MAX {
                        return Err(Error::PoolExhausted);
                    }
                }
                Err(error) => return Err($self.translate(error)),
            }
        }
    }};
}
pub(crate) use drive;

impl<D: AsyncBlockDevice> fmt::Debug for AsyncStore<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncStore").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl<'m, D: AsyncBlockDevice> AsyncStore<'m, D> {
    /// Writes an empty store to the device, whatever was there.
    ///
    /// # Errors
    /// `Geometry`, `Config`, `ArenaTooSmall` (before anything is written), `Device`.
    pub async fn format(
        device: D,
        arena: &'m mut [u8],
        config: &Config,
    ) -> Result<Self, Error<D::Error>> {
        let block = plan(config, &device.geometry()).map_err(no_device)?;
        let prepared = Self::prepare(&device, arena, config, &block)?;
        let mut store = Self::build(device, prepared);
        store.write_empty(&block).await?;
        Ok(store)
    }

    /// The rest of [`format`](Self::format).
    pub(crate) async fn write_empty(&mut self, block: &Superblock) -> Result<(), Error<D::Error>> {
        let segments = self.engine.stats().segments;
        for index in 0..segments {
            drive!(self, self.engine.poll_wipe(SegmentId(index)));
        }
        drive!(self, self.engine.poll_settled());
        self.engine.start_formatted();
        drive!(self, self.engine.poll_settled());
        drive!(self, self.engine.poll_superblocks(block));
        drive!(self, self.engine.poll_settled());
        Ok(())
    }

    /// Opens the store on the device. Everything that it then shows is durable; after a crash that takes one small write.
    ///
    /// # Errors
    /// `NotAStore`, `UnsupportedVersion`, `UnsupportedFeatures`, `DeviceTooSmall`, `UnitMismatch`, `Config`,
    /// `ArenaTooSmall`, `KeydirFull`, `Corrupted`, `Device`; nothing was written.
    pub async fn open(
        mut device: D,
        arena: &'m mut [u8],
        config: &Config,
    ) -> Result<Self, Error<D::Error>> {
        let block = read_superblock(&mut device, arena, config).await?;
        let prepared = Self::prepare(&device, arena, config, &block)?;
        let mut store = Self::build(device, prepared);
        store.recover().await?;
        Ok(store)
    }

    /// Opens the store on the device, or formats a device whose first 64 KiB are blank.
    ///
    /// # Errors
    /// As for [`open`](Self::open) and [`format`](Self::format); `NotBlank` where there is something else.
    pub async fn open_or_format(
        mut device: D,
        arena: &'m mut [u8],
        config: &Config,
    ) -> Result<Self, Error<D::Error>> {
        let (block, blank) = read_or_plan(&mut device, arena, config).await?;
        let prepared = Self::prepare(&device, arena, config, &block)?;
        let mut store = Self::build(device, prepared);
        match blank {
            Found::Store => store.recover().await?,
            Found::Blank => store.write_empty(&block).await?,
        }
        Ok(store)
    }

    /// The rest of [`open`](Self::open).
    pub(crate) async fn recover(&mut self) -> Result<(), Error<D::Error>> {
        drive!(self, self.engine.poll_recover());
        Ok(())
    }

    /// Looks for everything that may be wrong before there is a store.
    pub(crate) fn prepare<'s>(
        device: &D,
        arena: &'m mut [u8],
        config: &'s Config,
        block: &'s Superblock,
    ) -> Result<Prepared<'m, 's>, Error<D::Error>> {
        let (geometry, caps, can_shrink) = (device.geometry(), device.caps(), device.can_shrink());
        let want = block.data_offset + u64::from(block.segment_bytes);
        if geometry.capacity < want {
            return Err(Error::DeviceTooSmall { want, have: geometry.capacity });
        }
        let mut memory =
            Memory::carve(arena, config, geometry.buffer_align, block).map_err(no_device)?;
        let setup = Setup { config, geometry, caps, can_shrink, block };
        let plan = Engine::plan(&mut memory, &setup).map_err(no_device)?;
        Ok(Prepared { memory, setup, plan })
    }

    /// A store that was not opened yet. No result, so that it is built in its place: small stacks hold it once at most.
    #[inline(always)]
    pub(crate) fn build(device: D, prepared: Prepared<'m, '_>) -> Self {
        let Prepared { memory, setup, plan } = prepared;
        Self { engine: Engine::new(memory, &setup, plan), device, last_error: None, busy: false }
    }

    /// Executes one operation of the engine; false where there is none.
    pub(crate) async fn pump(&mut self) -> bool {
        if core::mem::take(&mut self.busy) {
            self.engine.interrupted();
        }
        let Some(op) = self.engine.next_op() else { return false };
        self.busy = true;
        let result = Self::perform(&mut self.engine, &mut self.device, &op).await;
        self.busy = false;
        let kinds = result.map_err(|error| {
            let kind = error.kind();
            self.last_error = Some(error);
            kind
        });
        self.engine.complete(op.id, kinds);
        true
    }

    /// Calls the device.
    async fn perform(
        engine: &mut Engine<'m>,
        device: &mut D,
        op: &DeviceOp,
    ) -> Result<(), D::Error> {
        match &op.kind {
            OpKind::Read { address, first, start, bytes } => {
                device.read(*address, engine.read_buffer(*first, *start, *bytes)).await
            }
            OpKind::Write { address, gather, durability } => {
                let mut slices = [&[][..]; Gather::FRAMES_MAX];
                let count = engine.write_slices(gather, &mut slices);
                device.write(*address, &slices[..count], *durability).await
            }
            OpKind::Flush => device.flush().await,
            OpKind::Erase { address, bytes } => device.erase(*address..*address + *bytes).await,
            OpKind::Grow { capacity } => device.grow(*capacity).await,
            OpKind::Shrink { capacity } => device.shrink(*capacity).await,
        }
    }

    pub(crate) fn translate(&mut self, error: Error) -> Error<D::Error> {
        match (error, self.last_error.take()) {
            (Error::Device(_), Some(last)) => Error::Device(last),
            (Error::Device(_), None) => Error::Poisoned,
            (error, last) => {
                self.last_error = last;
                no_device(error)
            }
        }
    }

    /// Lets the device have what is queued.
    pub(crate) async fn drain(&mut self) {
        while self.engine.has_work() && self.pump().await {}
    }

    /// Verifies every checksum of the store, after a sync; tells each damaged place to `report`.
    ///
    /// # Errors
    /// As for [`sync`](Self::sync), and `Device` where the device cannot be read at all.
    pub async fn check(
        &mut self,
        mut report: impl FnMut(Corruption),
    ) -> Result<CheckSummary, Error<D::Error>> {
        let mut superblocks = 0;
        for place in self.check_superblocks().await?.into_iter().flatten() {
            superblocks += 1;
            report(place);
        }
        if !self.engine.is_read_only() {
            self.sync().await?;
            self.drain().await;
        }
        self.engine.begin_check();
        loop {
            match drive!(self, self.engine.poll_check()) {
                CheckStep::Damage(place) => report(place),
                CheckStep::Done(mut summary) => {
                    summary.damages += superblocks;
                    return Ok(summary);
                }
            }
        }
    }

    /// Verifies the checksums of about `budget` bytes of the log, on the medium, where the last step ended. It ends early at a
    /// damaged place and at the end of a pass. Nothing is written; merges and writes may come between two steps.
    ///
    /// # Errors
    /// `Device`, `PoolExhausted`.
    pub async fn scrub_step(&mut self, budget: u64) -> Result<ScrubProgress, Error<D::Error>> {
        let mut progress = ScrubProgress::default();
        drive!(self, self.engine.poll_scrub(budget, &mut progress));
        Ok(progress)
    }

    /// Tells each damaged place that open met and went on behind, at most eight; returns how many there are.
    pub fn damages(&self, report: impl FnMut(Corruption)) -> u64 {
        self.engine.damages(report)
    }

    async fn check_superblocks(&mut self) -> Result<[Option<Corruption>; 2], Error<D::Error>> {
        let mut places = [None; 2];
        for (copy, place) in places.iter_mut().enumerate() {
            *place = drive!(self, self.engine.poll_check_superblock(copy as u8));
        }
        Ok(places)
    }

    /// Figures about the store.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The engine alone, for a driver that lets go of it during device operations. The store must be at rest: as after an
    /// open.
    #[must_use]
    pub fn into_engine(self) -> Engine<'m> {
        self.engine
    }

    /// Gives the device back as a crash would leave it: what is not synced may be lost.
    #[must_use]
    pub fn into_device(self) -> D {
        self.device
    }

    /// Makes everything durable, marks the log as closed and gives the device back.
    ///
    /// # Errors
    /// As for [`sync`](Self::sync); the device is dropped.
    pub async fn close(mut self) -> Result<D, Error<D::Error>> {
        drive!(self, self.engine.poll_close());
        Ok(self.device)
    }
}

/// An error without a device's error in it, for a device.
pub(crate) fn no_device<E>(error: Error) -> Error<E> {
    match error {
        // Only errors of operations name a device's error, and those are translated.
        Error::Device(_) => Error::Poisoned,
        error => error.map_device(|_| unreachable!("handled above")),
    }
}
