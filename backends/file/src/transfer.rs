//! Transfers that the operating system serves in pieces.
//!
//! A call may move fewer bytes than asked for, or be interrupted. Both are continued here. The next
//! piece starts at a multiple of the unit again, as direct I/O demands: bytes of a unit that was
//! moved in part are moved once more, which changes nothing. Every loop is bounded: a call that
//! keeps moving nothing is an error.

use std::io::{IoSlice, IoSliceMut};

use rustix::io::Errno;

use crate::error::Reason;

/// Slices given to one call: far below the kernel's 1,024, and a small array on the stack.
const SLICES_MAX: usize = 64;

/// Calls in a row that may move nothing. More than one, because the call behind a short write names
/// the reason of that one: a full file system, for instance.
const IDLE_CALLS_MAX: u32 = 3;

/// Interruptions by a signal in a row. A signal handler that fires faster than a transfer ends is a
/// fault.
const INTERRUPTIONS_MAX: u32 = 1000;

/// Counts the progress of one transfer.
struct Progress {
    done: u64,
    unit: u64,
    idle: u32,
    interruptions: u32,
}

impl Progress {
    fn new(unit: u32) -> Self {
        Self { done: 0, unit: u64::from(unit), idle: 0, interruptions: 0 }
    }

    /// Takes the answer of one call that was asked for everything behind `done`.
    fn advance(&mut self, answer: Result<usize, Errno>, bytes: u64) -> Result<(), Reason> {
        match answer {
            Ok(moved) => {
                self.interruptions = 0;
                let reached = self.done + moved as u64;
                let whole = if reached == bytes { bytes } else { reached - reached % self.unit };
                self.idle = if whole > self.done { 0 } else { self.idle + 1 };
                self.done = whole;
                if self.idle == IDLE_CALLS_MAX { Err(Reason::NoProgress) } else { Ok(()) }
            }
            Err(Errno::INTR) if self.interruptions < INTERRUPTIONS_MAX => {
                self.interruptions += 1;
                Ok(())
            }
            Err(errno) => Err(Reason::Os(errno)),
        }
    }
}

/// Writes all of `slices` from `address` by calls of `write`.
pub(crate) fn write_all(
    address: u64,
    slices: &[&[u8]],
    unit: u32,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> Result<usize, Errno>,
) -> Result<(), Reason> {
    let bytes = slices.iter().map(|slice| slice.len() as u64).sum();
    let mut progress = Progress::new(unit);
    // Where the next call starts: a slice, and the address of that slice's first byte within the
    // transfer.
    let (mut first, mut first_at) = (0, 0);
    while progress.done < bytes {
        while first_at + slices[first].len() as u64 <= progress.done {
            first_at += slices[first].len() as u64;
            first += 1;
        }
        let skip = (progress.done - first_at) as usize;
        let mut vector = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (place, slice) in vector.iter_mut().zip(&slices[first..]) {
            *place = IoSlice::new(if count == 0 { &slice[skip..] } else { slice });
            count += 1;
        }
        progress.advance(write(&vector[..count], address + progress.done), bytes)?;
    }
    Ok(())
}

/// Fills `buffer` from `address` by calls of `read`.
///
/// # Errors
/// [`Reason::Shrunk`] at the end of the file: the caller asks for bytes that were there when it was
/// opened.
pub(crate) fn read_all(
    address: u64,
    buffer: &mut [u8],
    unit: u32,
    mut read: impl FnMut(&mut [IoSliceMut<'_>], u64) -> Result<usize, Errno>,
) -> Result<(), Reason> {
    let bytes = buffer.len() as u64;
    let mut progress = Progress::new(unit);
    while progress.done < bytes {
        let rest = &mut buffer[progress.done as usize..];
        let answer = read(&mut [IoSliceMut::new(rest)], address + progress.done);
        if answer == Ok(0) {
            return Err(Reason::Shrunk);
        }
        // Less than a unit, again and again, is the end of a file that was cut inside a unit.
        progress.advance(answer, bytes).map_err(|reason| match reason {
            Reason::NoProgress => Reason::Shrunk,
            other => other,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: u32 = 4;

    /// A medium that answers each call as a script says, then everything at once.
    fn written(
        slices: &[&[u8]],
        script: &[Result<usize, Errno>],
    ) -> (Result<(), Reason>, Vec<u8>, usize) {
        let mut medium = Vec::new();
        let mut calls = 0;
        let result = write_all(100, slices, UNIT, |vector, address| {
            assert_eq!(address % u64::from(UNIT), 0, "every call starts at a unit");
            let bytes: Vec<u8> = vector.iter().flat_map(|slice| slice.iter().copied()).collect();
            let answer = script.get(calls).copied().unwrap_or(Ok(bytes.len()));
            calls += 1;
            let moved = answer?.min(bytes.len());
            medium.resize((address - 100) as usize, 0);
            medium.extend_from_slice(&bytes[..moved]);
            Ok(moved)
        });
        (result, medium, calls)
    }

    #[test]
    fn short_writes_are_continued_at_a_unit() {
        let all: Vec<u8> = (0..24).collect();
        let slices: [&[u8]; 4] = [&all[..8], &[], &all[8..12], &all[12..]];
        for short in 1..24 {
            let (result, medium, calls) = written(&slices, &[Ok(short), Ok(5)]);
            assert_eq!((result, medium), (Ok(()), all.clone()));
            assert!(calls >= 2);
        }
    }

    #[test]
    fn interrupted_writes_are_repeated_but_not_for_ever() {
        let (result, medium, calls) =
            written(&[&[7; 8]], &[Err(Errno::INTR), Ok(4), Err(Errno::INTR)]);
        assert_eq!((result, medium, calls), (Ok(()), vec![7; 8], 4));
        let (result, _, calls) = written(&[&[7; 8]], &[Err(Errno::INTR); 2000]);
        assert_eq!((result, calls), (Err(Reason::Os(Errno::INTR)), 1001));
    }

    #[test]
    fn writes_without_progress_end_in_an_error() {
        let (result, _, calls) = written(&[&[7; 8]], &[Ok(0); 10]);
        assert_eq!((result, calls), (Err(Reason::NoProgress), 3));
        let (result, _, calls) = written(&[&[7; 8]], &[Ok(3); 10]);
        assert_eq!((result, calls), (Err(Reason::NoProgress), 3));
    }

    #[test]
    fn the_reason_of_a_short_write_is_told() {
        let (result, medium, _) = written(&[&[7; 8]], &[Ok(4), Ok(1), Err(Errno::NOSPC)]);
        assert_eq!((result, medium.len()), (Err(Reason::Os(Errno::NOSPC)), 5));
    }

    #[test]
    fn more_slices_than_one_call_takes_are_written_in_several() {
        let all: Vec<u8> = (0..200).collect();
        let slices: Vec<&[u8]> = all.chunks(1).collect();
        let mut medium = Vec::new();
        let result = write_all(0, &slices, 1, |vector, address| {
            assert_eq!(address, medium.len() as u64);
            assert!(vector.len() <= SLICES_MAX);
            medium.extend(vector.iter().flat_map(|slice| slice.iter().copied()));
            Ok(vector.len())
        });
        assert_eq!((result, medium), (Ok(()), all));
    }

    #[test]
    fn short_reads_are_continued_and_the_end_of_the_file_is_an_error() {
        let medium: Vec<u8> = (0..24).collect();
        for short in UNIT as usize..24 {
            let mut buffer = [0; 16];
            let result = read_all(4, &mut buffer, UNIT, |vector, address| {
                let from = &medium[address as usize..];
                let moved = short.min(vector[0].len()).min(from.len());
                vector[0][..moved].copy_from_slice(&from[..moved]);
                Ok(moved)
            });
            assert_eq!((result, &buffer[..]), (Ok(()), &medium[4..20]));
        }
        let result =
            read_all(0, &mut [0; 16], UNIT, |_, address| Ok(if address < 8 { 8 } else { 0 }));
        assert_eq!(result, Err(Reason::Shrunk));
        let result =
            read_all(0, &mut [0; 16], UNIT, |_, address| Ok(10 - address.min(10) as usize));
        assert_eq!(result, Err(Reason::Shrunk), "cut inside a unit");
        let result = read_all(0, &mut [0; 16], UNIT, |_, _| Err(Errno::IO));
        assert_eq!(result, Err(Reason::Os(Errno::IO)));
    }
}
