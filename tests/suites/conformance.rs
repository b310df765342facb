//! Every backend keeps the device contract, and the conformance function sees it when one does not.
//!
//! The memory device is checked under the rules of several media, the file device on the file
//! system of the build directory and, where there is one, on a tmpfs, which refuses direct I/O.
//! Then a wrapper breaks one rule at a time: each must be caught, by the check that is named after
//! it.

#![expect(clippy::print_stdout, reason = "says which mode was tested")]

use std::future::Future;
use std::ops::Range;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use emberkv_core::conformance::{self, Check, Problem, Report, Violation};
use emberkv_core::{BlockDevice, Caps, DeviceErrorKind, Durability, Geometry};
use emberkv_file::{Access, AlignedBuffer, FileDevice, IoMode, Options};
use emberkv_memory::{MemoryDevice, MemoryError, Rules};

const KIB: u64 = 1 << 10;

fn memory(rules: Rules, kib: u64) -> MemoryDevice<Vec<u8>> {
    MemoryDevice::blank(vec![0; (kib * KIB) as usize], rules).expect("the rules are valid")
}

fn nor(write_unit: u32) -> Rules {
    Rules::Nor { write_unit, erase_unit: 4096 }
}

fn check_fully<D: BlockDevice>(device: &mut D) -> Report {
    let geometry = device.geometry();
    let bytes = geometry.max_transfer as usize;
    let mut scratch = AlignedBuffer::new(bytes.max(conformance::scratch_bytes(&geometry)), 4096);
    conformance::check(device, scratch.as_mut_slice())
        .unwrap_or_else(|violation| panic!("{violation}"))
}

#[test]
fn memory_with_block_rules_conforms() {
    for sector in [1, 16, 512, 4096, 65536] {
        let mut device = memory(Rules::block(sector), 8192);
        let report = check_fully(&mut device);
        assert_eq!(report.transfer_max, 1 << 20);
        assert_eq!(report.slices_max, 3);
        assert!(!report.durable_write && !report.erase && report.grown.is_none());
    }
}

#[test]
fn memory_with_durable_writes_conforms() {
    let mut device = memory(Rules::block_with_durable_writes(512), 1024);
    assert!(check_fully(&mut device).durable_write);
    assert!(device.counters().durable_writes >= 3);
}

#[test]
fn memory_with_nor_rules_conforms_for_every_write_unit() {
    for write_unit in [1, 4, 16, 256, 4096] {
        let report = check_fully(&mut memory(nor(write_unit), 8192));
        assert!(report.erase);
        assert_eq!(report.slices_max, 3);
    }
}

#[test]
fn memory_that_grows_conforms() {
    for rules in [Rules::block(512), nor(16)] {
        let bytes = vec![0xFF; 256 << 10];
        let mut device =
            MemoryDevice::growable(bytes, rules, 64 * KIB).expect("the rules are valid");
        let erase_unit = u64::from(device_geometry(&device).erase_unit);
        assert_eq!(check_fully(&mut device).grown, Some(64 * KIB + erase_unit));
    }
}

fn device_geometry<D: BlockDevice>(device: &D) -> Geometry {
    device.geometry()
}

#[test]
fn the_smallest_device_the_least_scratch_and_the_smallest_transfer_suffice() {
    for rules in [Rules::block(512), Rules::block(4096), nor(1), nor(256)] {
        let unit = match rules {
            Rules::Block { sector, .. } => sector,
            Rules::Nor { write_unit, .. } => write_unit,
        };
        let erase_unit = device_geometry(&memory(rules, 64)).erase_unit;
        let bytes = vec![0xFF; 3 * erase_unit as usize];
        let mut device = MemoryDevice::new(bytes, rules).expect("the rules are valid");
        assert!(check_fully(&mut device).transfer_max >= unit);
        let mut device = device.with_max_transfer(unit).expect("one unit is enough");
        let mut scratch = vec![0; conformance::scratch_bytes(&device_geometry(&device))];
        let report = conformance::check(&mut device, &mut scratch).expect("it conforms");
        assert_eq!((report.transfer_max, report.slices_max), (unit, 1));
        let violation =
            conformance::check(&mut device, &mut scratch[1..]).expect_err("one byte is missing");
        assert!(matches!(violation.problem, Problem::Scratch { .. }));
    }
}

#[test]
fn the_asynchronous_twin_conforms() {
    let mut device = memory(nor(4), 256);
    let mut scratch = vec![0; 64 << 10];
    let future = pin!(conformance::check_async(&mut device, &mut scratch));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => assert!(result.expect("it conforms").erase),
        Poll::Pending => panic!("memory is always ready"),
    }
}

#[test]
fn memory_refuses_to_program_twice_but_not_after_an_erase() {
    let mut device = memory(nor(16), 64);
    let write = |device: &mut MemoryDevice<Vec<u8>>, address| {
        BlockDevice::write(device, address, &[&[0xA5; 16], &[0x5A; 16]], Durability::Buffered)
    };
    assert_eq!(write(&mut device, 512), Ok(()));
    assert_eq!(write(&mut device, 496), Err(MemoryError::ProgrammedTwice { address: 512 }));
    // Refused as a whole: the first unit would have been free.
    assert!(device.as_bytes()[496..512].iter().all(|&byte| byte == 0xFF));
    assert_eq!(BlockDevice::erase(&mut device, 0..4096), Ok(()));
    assert_eq!(write(&mut device, 496), Ok(()));
}

#[test]
fn memory_refuses_what_it_does_not_offer() {
    let mut device = memory(Rules::block(512), 64).with_max_transfer(1024).expect("two sectors");
    let write = |device: &mut MemoryDevice<Vec<u8>>, bytes: usize, how| {
        BlockDevice::write(device, 0, &[&vec![0; bytes]], how)
    };
    assert_eq!(
        write(&mut device, 512, Durability::Durable),
        Err(MemoryError::NotDurable { address: 0 })
    );
    assert_eq!(
        write(&mut device, 1536, Durability::Buffered),
        Err(MemoryError::TransferTooLong { address: 0, bytes: 1536, max: 1024 })
    );
    assert_eq!(write(&mut device, 1024, Durability::Buffered), Ok(()));
}

#[test]
fn memory_counts_operations_and_bytes() {
    let mut device = memory(nor(1), 64);
    let mut buffer = [0; 100];
    BlockDevice::write(&mut device, 0, &[&[1; 30], &[2; 12]], Durability::Buffered)
        .expect("erased");
    BlockDevice::read(&mut device, 0, &mut buffer).expect("inside");
    BlockDevice::read(&mut device, 65536, &mut buffer).expect_err("outside: not counted");
    BlockDevice::erase(&mut device, 0..8192).expect("aligned");
    BlockDevice::flush(&mut device).expect("memory");
    let counters = device.counters();
    assert_eq!((counters.writes, counters.bytes_written, counters.durable_writes), (1, 42, 0));
    assert_eq!((counters.reads, counters.bytes_read), (1, 100));
    assert_eq!((counters.erases, counters.flushes), (2, 1));
    device.reset_counters();
    assert_eq!(device.counters(), Default::default());
}

#[test]
fn memory_refuses_rules_that_do_not_fit() {
    for rules in [
        Rules::block(0),
        Rules::block(768),
        Rules::Nor { write_unit: 8192, erase_unit: 4096 },
        Rules::Nor { write_unit: 1, erase_unit: 0 },
    ] {
        let error = MemoryDevice::new([0; 65536], rules).expect_err("the units do not fit");
        assert!(matches!(error, MemoryError::Geometry(_)), "{error}");
    }
    let error = MemoryDevice::growable([0; 4096], Rules::block(512), 8192).expect_err("too large");
    assert!(matches!(error, MemoryError::Geometry(error) if error.field == "capacity_max"));
}

/// A file of a few transfers that can grow.
fn check_file_in(directory: &Path, io: IoMode) -> (IoMode, Report) {
    let path = directory.join("store");
    let options = Options { capacity: 8 << 20, capacity_max: 16 << 20, io };
    let mut device = FileDevice::create(&path, &options).expect("a new file");
    let report = check_fully(&mut device);
    assert!(report.durable_write && !report.erase);
    assert_eq!((report.transfer_max, report.slices_max), (1 << 20, 3));
    assert_eq!(report.grown, Some((8 << 20) + 4096));
    let mode = device.mode();
    drop(device);
    let device = FileDevice::open(&path, Access::ReadWrite).expect("it exists");
    assert_eq!(Some(device.geometry().capacity), report.grown);
    (mode, report)
}

#[test]
fn a_file_in_the_build_directory_conforms_in_both_modes() {
    for io in [IoMode::Direct, IoMode::Buffered] {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let (mode, report) = check_file_in(directory.path(), io);
        println!("asked for {io:?}: {mode:?}, {report:?}");
        assert!(io == IoMode::Direct || mode == IoMode::Buffered);
    }
}

#[test]
fn a_file_on_tmpfs_conforms_whatever_its_mode() {
    let shared_memory = Path::new("/dev/shm");
    if !shared_memory.is_dir() {
        println!("SKIPPED: no tmpfs at /dev/shm");
        return;
    }
    let directory = tempfile::tempdir_in(shared_memory).expect("a directory");
    println!("{:?}", check_file_in(directory.path(), IoMode::Direct));
}

/// What a [`Broken`] device does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    WritesTheByteBehind,
    WritesTheByteBefore,
    WritesElsewhere,
    LosesTheLastSlice,
    SwapsSlices,
    LosesDurableWrites,
    ReadsShort,
    ReadsTheNeighbour,
    RoundsAddressesDown,
    RoundsSliceLengthsDown,
    IgnoresOutOfBounds,
    WrapsAround,
    WritesTheInsideOfAStraddlingWrite,
    ErasesTooWide,
    ErasesNothing,
    ErasesMisaligned,
    AnswersTheWrongKind,
    FlushFails,
    FlushForgets,
    DiscardsTooWide,
    GrowsNot,
    GrowsBeyondTheMaximum,
    GrowsAndForgets,
    ChangesItsCaps,
    HasABadGeometry,
    AcceptsFinerReadsThanItSays,
    /// Not a fault: erased bytes cannot be read, as in a NAND flash with error correction.
    CannotReadErased,
}

/// A conforming device behind a layer that breaks one rule.
struct Broken {
    inner: MemoryDevice<Vec<u8>>,
    fault: Fault,
    flushed: bool,
}

impl Broken {
    fn new(inner: MemoryDevice<Vec<u8>>, fault: Fault) -> Self {
        Self { inner, fault, flushed: false }
    }

    fn damage(&mut self, address: u64) {
        if let Some(byte) = self.inner.as_mut_bytes().get_mut(address as usize) {
            *byte ^= 0x10;
        }
    }
}

impl BlockDevice for Broken {
    type Error = MemoryError;

    fn geometry(&self) -> Geometry {
        let geometry = BlockDevice::geometry(&self.inner);
        match self.fault {
            Fault::HasABadGeometry => Geometry { tear_unit: 1 << 20, ..geometry },
            Fault::AcceptsFinerReadsThanItSays => Geometry { read_unit: 64, ..geometry },
            _ => geometry,
        }
    }

    fn caps(&self) -> Caps {
        let caps = BlockDevice::caps(&self.inner);
        let changed = self.fault == Fault::ChangesItsCaps && self.flushed;
        let discard = self.fault == Fault::DiscardsTooWide;
        let erased = caps.erased.filter(|_| self.fault != Fault::CannotReadErased);
        Caps { ordered: caps.ordered ^ changed, discard, erased, ..caps }
    }

    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let Geometry { capacity, read_unit, .. } = self.geometry();
        let end = address.checked_add(buffer.len() as u64);
        let unit = u64::from(read_unit);
        let half = buffer.len() / 2;
        match self.fault {
            Fault::ReadsShort if buffer.len() >= 1024 => {
                BlockDevice::read(&mut self.inner, address, &mut buffer[..half])
            }
            Fault::ReadsTheNeighbour
                if address >= unit && end.is_some_and(|end| end <= capacity) =>
            {
                BlockDevice::read(&mut self.inner, address - unit, buffer)
            }
            Fault::RoundsAddressesDown => {
                BlockDevice::read(&mut self.inner, address / unit * unit, buffer)
            }
            Fault::IgnoresOutOfBounds if end.is_none_or(|end| end > capacity) => Ok(()),
            Fault::WrapsAround => BlockDevice::read(&mut self.inner, address % capacity, buffer),
            Fault::AnswersTheWrongKind if end.is_none_or(|end| end > capacity) => {
                Err(MemoryError::NotDurable { address })
            }
            Fault::CannotReadErased => {
                BlockDevice::read(&mut self.inner, address, buffer)?;
                let erased = |unit: &[u8]| unit.iter().all(|&byte| byte == 0xFF);
                match buffer.chunks(16).position(erased) {
                    Some(_) => Err(MemoryError::NotDurable { address }),
                    None => Ok(()),
                }
            }
            _ => BlockDevice::read(&mut self.inner, address, buffer),
        }
    }

    fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        how: Durability,
    ) -> Result<(), MemoryError> {
        let Geometry { capacity, write_unit, .. } = self.geometry();
        let bytes = slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        let end = address.checked_add(bytes);
        let unit = u64::from(write_unit);
        let filled: Vec<&[u8]> = slices.iter().copied().filter(|slice| !slice.is_empty()).collect();
        let (target, slices) = match self.fault {
            Fault::LosesTheLastSlice if filled.len() > 1 => (address, &filled[..filled.len() - 1]),
            Fault::SwapsSlices => {
                let swapped: Vec<&[u8]> = filled.iter().rev().copied().collect();
                return BlockDevice::write(&mut self.inner, address, &swapped, how);
            }
            Fault::LosesDurableWrites if how == Durability::Durable => return Ok(()),
            Fault::WritesElsewhere if address >= 2 * unit => (address - unit, slices),
            Fault::RoundsAddressesDown => (address / unit * unit, slices),
            Fault::RoundsSliceLengthsDown => {
                let round = |slice: &&[u8]| slice.len().is_multiple_of(unit as usize);
                let whole: Vec<&[u8]> = slices.iter().copied().filter(round).collect();
                return BlockDevice::write(&mut self.inner, address, &whole, how);
            }
            Fault::IgnoresOutOfBounds if end.is_none_or(|end| end > capacity) => return Ok(()),
            Fault::WrapsAround => (address % capacity, slices),
            _ => (address, slices),
        };
        let result = BlockDevice::write(&mut self.inner, target, slices, how);
        match self.fault {
            Fault::WritesTheByteBehind if result.is_ok() => self.damage(address + bytes),
            Fault::WritesTheByteBefore if result.is_ok() && address > 0 => self.damage(address - 1),
            Fault::WritesTheInsideOfAStraddlingWrite
                if address < capacity && end.is_some_and(|end| end > capacity) =>
            {
                self.damage(capacity - 1);
            }
            _ => {}
        }
        result
    }

    fn erase(&mut self, range: Range<u64>) -> Result<(), MemoryError> {
        let Geometry { capacity, erase_unit, .. } = self.geometry();
        let unit = u64::from(erase_unit);
        match self.fault {
            Fault::ErasesNothing => Ok(()),
            Fault::ErasesTooWide if range.end < capacity => {
                BlockDevice::erase(&mut self.inner, range.start..range.end + unit)
            }
            Fault::ErasesMisaligned => BlockDevice::erase(
                &mut self.inner,
                range.start / unit * unit..range.end.next_multiple_of(unit),
            ),
            _ => BlockDevice::erase(&mut self.inner, range),
        }
    }

    fn discard(&mut self, range: Range<u64>) -> Result<(), MemoryError> {
        self.damage(range.end);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), MemoryError> {
        self.flushed = true;
        match self.fault {
            Fault::FlushFails => Err(MemoryError::NotDurable { address: 0 }),
            Fault::FlushForgets => {
                self.inner.as_mut_bytes().fill(0);
                Ok(())
            }
            _ => BlockDevice::flush(&mut self.inner),
        }
    }

    fn grow(&mut self, capacity: u64) -> Result<(), MemoryError> {
        match self.fault {
            Fault::GrowsNot => Ok(()),
            Fault::GrowsBeyondTheMaximum => {
                let max = self.geometry().capacity_max;
                BlockDevice::grow(&mut self.inner, capacity.min(max))
            }
            Fault::GrowsAndForgets => {
                let old = self.geometry().capacity;
                BlockDevice::grow(&mut self.inner, capacity)?;
                // Not at every call: a second damage would repair the first.
                if capacity > old {
                    self.damage(old - 1);
                }
                Ok(())
            }
            _ => BlockDevice::grow(&mut self.inner, capacity),
        }
    }
}

fn check_broken(rules: Rules, fault: Fault) -> Result<Report, Violation<MemoryError>> {
    let bytes = vec![0xFF; 256 << 10];
    let inner = MemoryDevice::growable(bytes, rules, 128 * KIB).expect("the rules are valid");
    let mut scratch = vec![0; 16 << 10];
    conformance::check(&mut Broken::new(inner, fault), &mut scratch)
}

#[test]
fn the_wrapper_without_a_fault_conforms() {
    for rules in [Rules::block_with_durable_writes(512), nor(16)] {
        let report = check_broken(rules, Fault::None).expect("nothing is broken");
        assert!(report.grown.is_some());
    }
}

#[test]
fn a_flash_whose_erased_bytes_cannot_be_read_conforms() {
    let report = check_broken(nor(16), Fault::CannotReadErased).expect("nothing is broken");
    assert!(report.erase && report.grown.is_some());
}

#[test]
fn every_broken_device_is_caught() {
    use Check::{Alignment, Bounds, DurableWrite, Erase, Flush, ReadAfterWrite, Slices};
    let disk = Rules::block_with_durable_writes(512);
    let flash = nor(16);
    for (rules, fault, check) in [
        (disk, Fault::WritesTheByteBehind, ReadAfterWrite),
        (disk, Fault::WritesTheByteBefore, ReadAfterWrite),
        (flash, Fault::WritesTheByteBehind, ReadAfterWrite),
        (flash, Fault::WritesTheByteBefore, ReadAfterWrite),
        (disk, Fault::WritesElsewhere, ReadAfterWrite),
        (disk, Fault::ReadsShort, ReadAfterWrite),
        (flash, Fault::ReadsShort, ReadAfterWrite),
        (disk, Fault::ReadsTheNeighbour, ReadAfterWrite),
        (disk, Fault::LosesTheLastSlice, Slices),
        (disk, Fault::SwapsSlices, Slices),
        (flash, Fault::SwapsSlices, Slices),
        (disk, Fault::LosesDurableWrites, DurableWrite),
        (disk, Fault::RoundsAddressesDown, Alignment),
        (disk, Fault::RoundsSliceLengthsDown, Alignment),
        (disk, Fault::IgnoresOutOfBounds, Bounds),
        (disk, Fault::WrapsAround, Bounds),
        (flash, Fault::WrapsAround, Bounds),
        (disk, Fault::AnswersTheWrongKind, Bounds),
        (disk, Fault::WritesTheInsideOfAStraddlingWrite, Bounds),
        (flash, Fault::ErasesTooWide, Erase),
        (flash, Fault::ErasesMisaligned, Alignment),
        (flash, Fault::AcceptsFinerReadsThanItSays, Alignment),
        // Its bytes are erased to begin with, so the second use of a window finds it.
        (flash, Fault::ErasesNothing, Slices),
        (disk, Fault::FlushFails, Flush),
        (disk, Fault::FlushForgets, Flush),
        (disk, Fault::DiscardsTooWide, Check::Discard),
        (disk, Fault::GrowsNot, Check::Grow),
        (disk, Fault::GrowsBeyondTheMaximum, Check::Grow),
        (disk, Fault::GrowsAndForgets, Check::Grow),
        (disk, Fault::ChangesItsCaps, Check::Geometry),
        (disk, Fault::HasABadGeometry, Check::Geometry),
    ] {
        match check_broken(rules, fault) {
            Ok(report) => panic!("{fault:?} was not seen under {rules:?}: {report:?}"),
            Err(violation) => {
                assert_eq!(violation.check, check, "{fault:?} under {rules:?}: {violation}");
            }
        }
    }
}

#[test]
fn a_violation_names_the_place_and_what_is_there() {
    let violation =
        check_broken(Rules::block(512), Fault::WritesTheByteBehind).expect_err("broken");
    assert_eq!(violation.address, 512);
    assert!(matches!(violation.problem, Problem::Content { want, found } if want ^ found == 0x10));
    assert!(
        violation.to_string().starts_with("device contract, read after write, at 512: must be ")
    );
    let violation =
        check_broken(Rules::block(512), Fault::AnswersTheWrongKind).expect_err("broken");
    assert_eq!(violation.address, 128 * KIB);
    let want = DeviceErrorKind::OutOfBounds;
    assert!(matches!(violation.problem, Problem::Kind { want: kind, .. } if kind == want));
}
