//! Many reads in flight from one thread: io_uring, where the kernel grants it.
//!
//! One read at a time leaves most of an SSD idle, and a thread for each costs more than the read.
//! What is promised here is speed alone: a read that the ring does not serve whole, for whatever
//! reason, is simply not told, and its owner reads it by a call of its own, whose errors are known.
//!
//! The kernel writes to the buffers while a call is under way. So no way leads out of
//! [`Rings::read`] before it is done with all of them: not an error of the ring, and not a panic of
//! the caller's.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::thread::yield_now;

use emberkv_core::ReadInto;
use io_uring::{IoUring, opcode, types};

/// Reads in flight at most, of one call.
pub(crate) const IN_FLIGHT_MAX: u32 = 128;
/// Rings that are kept for the next calls.
const KEPT_MAX: usize = 16;

/// The rings of one device: each call has one for itself.
pub(crate) struct Rings {
    idle: Mutex<Vec<IoUring>>,
    refused: AtomicBool,
}

impl fmt::Debug for Rings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rings").field("refused", &self.refused).finish_non_exhaustive()
    }
}

impl Rings {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { idle: Mutex::new(Vec::new()), refused: AtomicBool::new(false) }
    }

    fn take(&self) -> Option<IoUring> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if idle.is_some() || self.refused.load(Ordering::Relaxed) {
            return idle;
        }
        // Forbidden in many containers, and unknown to old kernels: asked for once.
        let made = IoUring::new(IN_FLIGHT_MAX).ok();
        self.refused.store(made.is_none(), Ordering::Relaxed);
        made
    }

    fn keep(&self, ring: IoUring) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT_MAX {
            idle.push(ring);
        }
    }

    /// Whether there is a ring to be had.
    pub(crate) fn are_granted(&self) -> bool {
        match self.take() {
            Some(ring) => {
                self.keep(ring);
                true
            }
            None => false,
        }
    }

    /// Reads into as many of the buffers as it can, and tells each that is full. What they ask for
    /// must suit the file.
    pub(crate) fn read(
        &self,
        file: BorrowedFd<'_>,
        reads: &mut [ReadInto<'_>],
        done: &mut dyn FnMut(usize, &[u8]),
    ) {
        let Some(mut ring) = self.take() else { return };
        let mut flight = Flight { ring: &mut ring, in_flight: 0, broken: false };
        let mut next = 0;
        loop {
            while next < reads.len() && flight.start(file, next, &mut reads[next]) {
                next += 1;
            }
            if flight.in_flight == 0 {
                break;
            }
            flight.wait();
            while let Some((index, bytes)) = flight.landed() {
                if usize::try_from(bytes) == Ok(reads[index].buffer.len()) {
                    done(index, reads[index].buffer);
                }
            }
        }
        let broken = flight.broken;
        drop(flight);
        if !broken {
            self.keep(ring);
        }
    }
}

/// Reads under way. Dropping it waits for them.
struct Flight<'r> {
    ring: &'r mut IoUring,
    in_flight: u32,
    /// The ring takes no more.
    broken: bool,
}

impl Flight<'_> {
    /// Queues a read; `false` where there is no room now.
    #[expect(unsafe_code, reason = "the kernel is given a buffer for longer than a call")]
    fn start(&mut self, file: BorrowedFd<'_>, index: usize, read: &mut ReadInto<'_>) -> bool {
        let Ok(bytes) = u32::try_from(read.buffer.len()) else { return false };
        if self.broken || self.in_flight == IN_FLIGHT_MAX {
            return false;
        }
        let entry = opcode::Read::new(types::Fd(file.as_raw_fd()), read.buffer.as_mut_ptr(), bytes)
            .offset(read.address)
            .build()
            .user_data(index as u64);
        // SAFETY: the buffer is borrowed, exclusively, by the caller of `Rings::read`, and the file
        // is open for as long; that call touches a buffer only once its read has landed, and ends,
        // by a panic too (`Drop`), only when nothing is in flight.
        let queued = unsafe { self.ring.submission().push(&entry) }.is_ok();
        self.in_flight += u32::from(queued);
        queued
    }

    /// Hands over what is queued and waits until one has landed.
    fn wait(&mut self) {
        if self.broken {
            // Reads land without being asked for.
            yield_now();
            return;
        }
        let Err(error) = self.ring.submit_and_wait(1) else { return };
        match error.kind() {
            ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::ResourceBusy => yield_now(),
            _ => {
                self.broken = true;
                // The kernel never saw these, and will not: the ring is given up.
                self.in_flight -= self.ring.submission().len() as u32;
            }
        }
    }

    /// One that has landed: its index and its result.
    fn landed(&mut self) -> Option<(usize, i32)> {
        let entry = self.ring.completion().next()?;
        self.in_flight -= 1;
        Some((entry.user_data() as usize, entry.result()))
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        while self.in_flight > 0 {
            self.wait();
            while self.landed().is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use emberkv_core::ReadInto;

    use super::{IN_FLIGHT_MAX, Rings};

    const BYTES: usize = 512;

    fn file_of(count: usize) -> File {
        let file = tempfile::tempfile().expect("a file without a name");
        for index in 0..count {
            let bytes = [index as u8; BYTES];
            file.write_all_at(&bytes, (index * BYTES) as u64).expect("it is written");
        }
        file
    }

    fn reads(buffer: &mut [u8]) -> Vec<ReadInto<'_>> {
        let address = |index| (index * BYTES) as u64;
        let pieces = buffer.chunks_mut(BYTES).enumerate();
        pieces.map(|(index, buffer)| ReadInto { address: address(index), buffer }).collect()
    }

    #[test]
    fn more_reads_than_fit_the_ring_are_all_told_once_and_what_is_short_is_not() {
        let count = 3 * IN_FLIGHT_MAX as usize + 5;
        // The last two lie behind the end.
        let file = file_of(count - 2);
        let rings = Rings::new();
        if !rings.are_granted() {
            return;
        }
        for _ in 0..3 {
            let mut buffer = vec![0xee; count * BYTES];
            let mut told = vec![0; count];
            rings.read(file.as_fd(), &mut reads(&mut buffer), &mut |index, bytes| {
                assert_eq!(bytes, [index as u8; BYTES]);
                told[index] += 1;
            });
            assert!(told[..count - 2].iter().all(|times| *times == 1));
            assert_eq!(told[count - 2..], [0, 0]);
        }
    }

    #[test]
    fn a_panic_between_reads_waits_for_those_in_flight() {
        let count = 100;
        let file = file_of(count);
        let rings = Rings::new();
        if !rings.are_granted() {
            return;
        }
        let mut buffer = vec![0xee; count * BYTES];
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            rings.read(file.as_fd(), &mut reads(&mut buffer), &mut |_, _| panic!("the caller's"));
        }));
        assert!(panicked.is_err());
        let before = buffer.clone();
        // Nothing arrives behind the call, and the rings go on.
        buffer.fill(0x55);
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(buffer.iter().all(|byte| *byte == 0x55));
        for (index, piece) in before.chunks(BYTES).enumerate() {
            assert!(piece == [index as u8; BYTES], "read {index} was in flight and is complete");
        }
        assert!(rings.are_granted());
    }

    #[test]
    fn where_it_is_refused_nothing_is_told() {
        let rings = Rings::new();
        rings.refused.store(true, super::Ordering::Relaxed);
        assert!(!rings.are_granted());
        let (file, mut buffer) = (file_of(2), vec![0; 2 * BYTES]);
        rings.read(file.as_fd(), &mut reads(&mut buffer), &mut |_, _| panic!("no ring"));
        assert!(buffer.iter().all(|byte| *byte == 0));
    }
}
