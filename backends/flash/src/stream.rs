//! Anything of `embedded-io` that reads, writes and seeks, as a device: the last resort, for media
//! that have no better trait.
//!
//! **Its flush is no barrier.** `embedded_io::Write::flush` promises that buffers of the *writer*
//! were passed on, not that the medium holds the bytes when the power fails. Here `flush` calls
//! that, and no more: a store on such a device survives a restart of the program, and a power cut
//! only as far as the stream's own documentation goes.
//!
//! The medium must have its full length already: a stream that grows while it is written is
//! refused by `new`.

use core::ops::Range;

use embedded_io::{ErrorKind, Read, Seek, SeekFrom, Write};
use emberkv_core::{BlockDevice, Caps, DeviceErrorKind, Durability, Geometry};

use crate::area::{Area, SECTORS, TRANSFER_BYTES};
use crate::error::FlashError;

/// A partition of a stream.
#[derive(Debug)]
pub struct StreamDevice<T> {
    stream: T,
    area: Area,
}

/// The class of a stream's error.
fn classify(kind: ErrorKind) -> DeviceErrorKind {
    match kind {
        ErrorKind::Interrupted | ErrorKind::TimedOut => DeviceErrorKind::Transient,
        ErrorKind::PermissionDenied => DeviceErrorKind::ReadOnly,
        ErrorKind::WriteZero => DeviceErrorKind::Full,
        ErrorKind::NotFound
        | ErrorKind::NotConnected
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => DeviceErrorKind::Gone,
        _ => DeviceErrorKind::Other,
    }
}

fn failed<E: embedded_io::Error>(address: u64, error: E) -> FlashError<E> {
    FlashError::Medium { address, kind: classify(error.kind()), error }
}

impl<T: Read + Write + Seek> StreamDevice<T> {
    /// A device over `partition`, in bytes from the stream's start. `unit`, a power of two, is the
    /// unit of everything: the medium's sector, or what a power cut may destroy.
    ///
    /// # Errors
    /// `Geometry` if the partition does not fit the stream's length, `Medium` if that cannot be
    /// had.
    pub fn new(
        mut stream: T,
        partition: Range<u64>,
        unit: u32,
    ) -> Result<Self, FlashError<T::Error>> {
        let bytes = stream.seek(SeekFrom::End(0)).map_err(|error| failed(0, error))?;
        let geometry = Geometry {
            capacity: 0,
            capacity_max: 0,
            read_unit: unit,
            write_unit: unit,
            erase_unit: unit,
            tear_unit: unit,
            buffer_align: 1,
            max_transfer: TRANSFER_BYTES.max(unit),
        };
        let area = Area::new(partition, bytes, geometry, SECTORS)?;
        Ok(Self { stream, area })
    }

    /// Gives the stream back, at an unspecified position.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.stream
    }

    fn seek(&mut self, at: u64) -> Result<(), FlashError<T::Error>> {
        match self.stream.seek(SeekFrom::Start(at)) {
            Ok(found) if found == at => Ok(()),
            Ok(found) => Err(FlashError::Ended { address: found }),
            Err(error) => Err(failed(at, error)),
        }
    }
}

impl<T: Read + Write + Seek> BlockDevice for StreamDevice<T> {
    type Error = FlashError<T::Error>;

    fn geometry(&self) -> Geometry {
        self.area.geometry()
    }
    fn caps(&self) -> Caps {
        self.area.caps()
    }

    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let mut at = self.area.read(address, buffer)?;
        self.seek(at)?;
        let mut rest = buffer;
        // Every round takes a byte at least, or ends.
        while !rest.is_empty() {
            let count = match self.stream.read(rest) {
                Ok(0) => return Err(FlashError::Ended { address: at }),
                Ok(count) => count.min(rest.len()),
                Err(error) => return Err(failed(at, error)),
            };
            rest = &mut rest[count..];
            at += count as u64;
        }
        Ok(())
    }

    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Result<(), Self::Error> {
        let mut at = self.area.write(address, slices, durability)?;
        self.seek(at)?;
        for slice in slices {
            let mut rest = *slice;
            // Every round gives a byte at least, or ends.
            while !rest.is_empty() {
                let count = match self.stream.write(rest) {
                    Ok(0) => return Err(FlashError::Ended { address: at }),
                    Ok(count) => count.min(rest.len()),
                    Err(error) => return Err(failed(at, error)),
                };
                rest = &rest[count..];
                at += count as u64;
            }
        }
        Ok(())
    }

    /// Nothing to do: bytes are overwritten as they are.
    fn erase(&mut self, range: Range<u64>) -> Result<(), Self::Error> {
        self.area.erase(&range)?;
        Ok(())
    }

    /// The stream's own flush, which is no barrier: see the module's text.
    fn flush(&mut self) -> Result<(), Self::Error> {
        let at = self.area.start();
        self.stream.flush().map_err(|error| failed(at, error))
    }
}
