//! What all threads of a [`Db`](crate::Db) share: the engine behind one lock, and the device, which
//! needs none.
//!
//! **The lock is never held during I/O.** A thread takes an operation out of the engine with a copy
//! of the bytes to be written, lets go, calls the device, and takes the lock again to report.
//! Whoever needs an operation's result executes it: [`Shared::drive`] is the loop, used by callers
//! and by the background threads alike, and the one place where the device is written to. A panic
//! under the lock poisons it: everybody gets [`Error::Panicked`] then.

use core::task::Poll;
use std::panic::{AssertUnwindSafe, catch_unwind};

use emberkv_core::engine::{DeviceOp, Engine, OpKind, Preparer};
use emberkv_core::{DeviceError, DeviceErrorKind, Error as EngineError};
use emberkv_file::{AlignedBuffer, FileError, Operation};
use self_cell::{MutBorrow, self_cell};

use crate::bounce::{keep_buffer, take_buffer};
use crate::builder::Durability;
use crate::counts::Counts;
use crate::device::Device;
use crate::error::Error;
use crate::handover::{Commits, Waiting};
use crate::lock::{Lock, WriteGuard};
use crate::signal::{Signal, Ticket};
use crate::sync::{
    Arc, AtomicBool, AtomicU32, Ordering, PoisonError, TryLockError, panicking, processors,
    spin_loop, yield_now,
};

/// Calls in a row that may wait for nothing: each takes the engine one stage on.
const IDLE_CALLS_MAX: u32 = 8;

/// Tries for the lock before a thread sleeps: some microseconds in all.
const TURNS: u32 = 40;

/// Everything that the lock guards.
pub(crate) struct State<'m> {
    pub(crate) engine: Engine<'m>,
    /// Operations that some thread executes now.
    pub(crate) in_flight: u32,
    pub(crate) last_error: Option<Arc<FileError>>,
    /// Something was staged since the writer looked last.
    pub(crate) dirty: bool,
    pub(crate) writer_sleeps: bool,
    pub(crate) commits: Commits,
    pub(crate) phase: Phase,
}

/// The life of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Calls are taken.
    Open,
    /// Only the thread that closes it may go on.
    Closing,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A user, or a background thread.
    Anyone,
    /// The one that closes the store.
    Closer,
}

self_cell!(
    /// The engine and the arena that it lives in.
    pub(crate) struct StateCell {
        owner: MutBorrow<AlignedBuffer>,
        #[not_covariant]
        dependent: State,
    }
);

/// What all threads share.
pub(crate) struct Shared {
    /// `None` once the store was closed.
    state: Lock<Option<StateCell>>,
    pub(crate) device: Box<dyn Device>,
    pub(crate) preparer: Preparer,
    /// Bytes of key and value that fit one record.
    pub(crate) record_bytes_max: usize,
    pub(crate) durability: Durability,
    /// An operation was completed.
    pub(crate) progress: Signal,
    /// For the writer.
    pub(crate) work: Signal,
    /// For the merger.
    pub(crate) merging: Signal,
    pub(crate) commit: Waiting,
    pub(crate) pace: crate::commit::Pace,
    pub(crate) counts: Counts,
    /// Background threads end.
    pub(crate) stop: AtomicBool,
    /// Threads that wait for the lock.
    contenders: AtomicU32,
    /// Times that a thread tries again before it sleeps.
    turns: u32,
    /// Bytes of the record that was read last, as a guess for the next one.
    pub(crate) record_guess: AtomicU32,
}

/// The lock, taken.
type Guard<'s> = WriteGuard<'s, Option<StateCell>>;

/// An operation taken out of the engine, with a buffer for its bytes.
pub(crate) struct Job {
    op: DeviceOp,
    buffer: Option<AlignedBuffer>,
}

/// A job that was executed.
pub(crate) struct Done {
    job: Job,
    result: Result<(), FileError>,
}

/// What comes next for a thread that drives a call.
enum Next<T> {
    Ready(T),
    Run(Job),
    Wait(Ticket),
    Idle,
}

impl Shared {
    pub(crate) fn new(cell: StateCell, device: Box<dyn Device>, durability: Durability) -> Self {
        let (preparer, record_bytes_max, durable) = cell.with_dependent(|_, state| {
            let engine = &state.engine;
            (engine.preparer(), engine.single_value_max(&[]), engine.durable_seq().0)
        });
        let parallelism = processors();
        Self {
            state: Lock::new(Some(cell)),
            device,
            preparer,
            record_bytes_max,
            durability,
            progress: Signal::default(),
            work: Signal::default(),
            merging: Signal::default(),
            commit: Waiting::from(durable),
            pace: crate::commit::Pace::default(),
            counts: Counts::default(),
            stop: AtomicBool::new(false),
            contenders: AtomicU32::new(0),
            turns: if parallelism > 1 { TURNS } else { 0 },
            record_guess: AtomicU32::new(0),
        }
    }

    /// Runs `work` with the engine for itself, also while the store is being closed. No I/O in
    /// there.
    fn lock<T>(&self, work: impl FnOnce(&mut State<'_>) -> T) -> Result<T, Error> {
        // Dropped behind the guard.
        let alarm = Alarm(self);
        let mut guard = self.exclusive()?;
        let cell = guard.as_mut().ok_or(Error::Closed)?;
        let result = cell.with_dependent_mut(|_, state| work(state));
        drop(guard);
        drop(alarm);
        Ok(result)
    }

    /// The lock is held for less time than it takes to fall asleep: who finds it taken turns round
    /// for a moment first.
    fn exclusive(&self) -> Result<Guard<'_>, Error> {
        for turn in 0..=self.turns {
            match self.state.try_write() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(_)) => return Err(self.panicked()),
                Err(TryLockError::WouldBlock) if turn < self.turns / 2 => {
                    (0..turn.min(16)).for_each(|_| spin_loop());
                }
                // Who holds it may have lost its processor.
                Err(TryLockError::WouldBlock) => yield_now(),
            }
        }
        self.blocking()
    }

    fn blocking(&self) -> Result<Guard<'_>, Error> {
        self.contenders.fetch_add(1, Ordering::Relaxed);
        let guard = self.state.write();
        self.contenders.fetch_sub(1, Ordering::Relaxed);
        guard.map_err(|_| self.panicked())
    }

    /// Runs `work` with the engine for itself. No I/O in there.
    pub(crate) fn write<T>(
        &self,
        caller: Caller,
        work: impl FnOnce(&mut State<'_>) -> T,
    ) -> Result<T, Error> {
        self.lock(|state| state.admits(caller).map(|()| work(state)))?
    }

    /// Nobody will report what others wait for.
    fn panicked(&self) -> Error {
        self.wake_all();
        Error::Panicked
    }

    /// Lets everybody look again.
    pub(crate) fn wake_all(&self) {
        self.progress.notify_all();
        self.work.notify_all();
        self.merging.notify_all();
        self.commit.wake_all();
    }

    /// As [`write`](Self::write), unless somebody else has the lock.
    pub(crate) fn try_write<T>(&self, work: impl FnOnce(&mut State<'_>) -> T) -> Option<T> {
        let mut guard = self.state.try_write().ok()?;
        guard.as_mut().map(|cell| cell.with_dependent_mut(|_, state| work(state)))
    }

    /// Runs `work` with the engine, beside other readers. No I/O in there.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&State<'_>) -> T) -> Result<T, Error> {
        let guard = self.state.read().map_err(|_| Error::Panicked)?;
        let cell = guard.as_ref().ok_or(Error::Closed)?;
        cell.with_dependent(|_, state| match state.phase {
            Phase::Open => Ok(work(state)),
            Phase::Closing => Err(Error::Closed),
        })
    }

    /// For a background thread that takes the lock again and again: lets those in that wait for it.
    pub(crate) fn give_way(&self) {
        // A waiter needs a few microseconds to wake; so long, but no longer.
        for _ in 0..64 {
            if self.contenders.load(Ordering::Relaxed) == 0 {
                return;
            }
            yield_now();
        }
    }

    /// Takes the engine out, for good; `None` where that was done before.
    pub(crate) fn take(&self) -> Option<StateCell> {
        self.state.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Drives a call of the engine until it is ready, executing device operations or waiting for
    /// those of others.
    pub(crate) fn drive<T>(
        &self,
        caller: Caller,
        mut call: impl FnMut(&mut State<'_>) -> Result<Poll<T>, EngineError>,
    ) -> Result<T, Error> {
        let mut done = None;
        let mut idle = 0;
        loop {
            let finished = done.take();
            let next = self.lock(|state| {
                // What was executed is told whatever comes of the call.
                self.finish(state, finished);
                state.admits(caller)?;
                match call(state) {
                    Ok(Poll::Ready(value)) => {
                        // Who leads a commit takes the operations itself, and at once.
                        if !state.commits.is_led() {
                            self.wake_writer(state);
                        }
                        Ok(Next::Ready(value))
                    }
                    Ok(Poll::Pending) => Ok(self.next(state)),
                    Err(error) => Err(state.translate(error)),
                }
            })??;
            match next {
                Next::Ready(value) => return Ok(value),
                Next::Run(job) => {
                    idle = 0;
                    done = Some(self.run(job));
                }
                Next::Wait(ticket) => {
                    idle = 0;
                    self.progress.wait(ticket, None);
                }
                Next::Idle => {
                    idle += 1;
                    if idle > IDLE_CALLS_MAX {
                        return Err(Error::Engine(EngineError::PoolExhausted));
                    }
                }
            }
        }
    }

    /// Reports a job, if there is one, and runs `work`, also while the store is being closed.
    pub(crate) fn step<T>(
        &self,
        done: Option<Done>,
        work: impl FnOnce(&mut State<'_>) -> T,
    ) -> Result<T, Error> {
        self.lock(|state| {
            self.finish(state, done);
            work(state)
        })
    }

    fn next<T>(&self, state: &mut State<'_>) -> Next<T> {
        match Self::take_job(state) {
            Some(job) => Next::Run(job),
            None if state.in_flight > 0 => Next::Wait(self.progress.ticket()),
            None => Next::Idle,
        }
    }

    /// Takes the next operation, with a copy of what it writes: at most 64 KiB with pages of 4 KiB,
    /// some microseconds.
    pub(crate) fn take_job(state: &mut State<'_>) -> Option<Job> {
        let op = state.engine.next_op()?;
        state.in_flight += 1;
        let buffer = match &op.kind {
            OpKind::Write { gather, .. } => {
                let bytes = gather.bytes as usize;
                let mut buffer = take_buffer(bytes);
                state.engine.copy_write(gather, &mut buffer[..bytes]);
                Some(buffer)
            }
            OpKind::Read { bytes, .. } => Some(take_buffer(*bytes as usize)),
            _ => None,
        };
        Some(Job { op, buffer })
    }

    /// Calls the device. A panic in there is an error of a device that is gone: nobody knows what
    /// it did.
    pub(crate) fn run(&self, mut job: Job) -> Done {
        let called = catch_unwind(AssertUnwindSafe(|| self.perform(&job.op, job.buffer.as_mut())));
        let result = called.unwrap_or_else(|_| {
            let path = std::path::Path::new("device");
            Err(FileError::new(Operation::Write, Arc::from(path), rustix::io::Errno::NODEV))
        });
        Done { job, result }
    }

    fn perform(&self, op: &DeviceOp, buffer: Option<&mut AlignedBuffer>) -> Result<(), FileError> {
        let (device, counts) = (&*self.device, &self.counts);
        match (&op.kind, buffer) {
            (OpKind::Read { address, bytes, .. }, Some(buffer)) => {
                counts.read(u64::from(*bytes));
                device.read(*address, &mut buffer[..*bytes as usize])
            }
            (OpKind::Write { address, gather, durability }, Some(buffer)) => {
                counts.write(u64::from(gather.bytes), *durability);
                device.write(*address, &[&buffer[..gather.bytes as usize]], *durability)
            }
            (OpKind::Flush, _) => {
                counts.flush();
                device.flush()
            }
            (OpKind::Erase { address, bytes }, _) => device.erase(*address..*address + *bytes),
            (OpKind::Grow { capacity }, _) => device.grow(*capacity),
            (OpKind::Shrink { capacity }, _) => device.shrink(*capacity),
            (OpKind::Read { .. } | OpKind::Write { .. }, None) => {
                unreachable!("take_job gives transfers a buffer")
            }
        }
    }

    /// Reports a job to the engine.
    fn finish(&self, state: &mut State<'_>, done: Option<Done>) {
        let Some(Done { job: Job { op, buffer }, result }) = done else { return };
        state.in_flight -= 1;
        if let (OpKind::Read { first, start, bytes, .. }, Some(buffer), Ok(())) =
            (&op.kind, &buffer, &result)
        {
            state.engine.fill_read(*first, *start, &buffer[..*bytes as usize]);
        }
        if let Some(buffer) = buffer {
            keep_buffer(buffer);
        }
        let result: Result<(), DeviceErrorKind> = result.map_err(|error| {
            let kind = error.kind();
            state.last_error = Some(Arc::new(error));
            kind
        });
        state.engine.complete(op.id, result);
        self.progress.notify_all();
    }

    /// After something was staged or queued: has the writer work to do?
    pub(crate) fn wake_writer(&self, state: &mut State<'_>) {
        if state.writer_sleeps && state.engine.can_start_op() {
            state.writer_sleeps = false;
            self.work.notify_all();
        }
    }

    /// After a put: the writer's clock runs from the first one on.
    pub(crate) fn staged(&self, state: &mut State<'_>) {
        if !state.dirty {
            state.dirty = true;
            if state.writer_sleeps && matches!(self.durability, Durability::Interval(_)) {
                state.writer_sleeps = false;
                self.work.notify_all();
            }
        }
    }
}

/// Wakes everybody if its thread panics: what they wait for may never come.
struct Alarm<'s>(&'s Shared);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if panicking() {
            self.0.wake_all();
        }
    }
}

impl State<'_> {
    fn admits(&self, caller: Caller) -> Result<(), Error> {
        match (self.phase, caller) {
            (Phase::Open, _) | (_, Caller::Closer) => Ok(()),
            (Phase::Closing, Caller::Anyone) => Err(Error::Closed),
        }
    }

    pub(crate) fn translate(&self, error: EngineError) -> Error {
        match error {
            EngineError::Full => {
                let stats = self.engine.stats();
                Error::Full { capacity: stats.capacity, capacity_max: stats.capacity_max }
            }
            error => Error::from_engine(error, self.last_error.clone()),
        }
    }
}
