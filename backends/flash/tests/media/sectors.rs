//! Media of sectors: `embedded-sdmmc`, `block-device-driver` and `embedded-io`, each in RAM.

use std::cell::RefCell;
use std::fmt;

use aligned::{A4, Aligned};
use block_device_driver::blocks_to_slice;
use embedded_sdmmc::{Block, BlockCount, BlockIdx};
use emberkv_core::{
    AsyncBlockDevice, BlockDevice, DeviceError, DeviceErrorKind, Durability, GeometryError,
};
use emberkv_flash::{BlockDriverDevice, FlashError, Refusal, SdmmcDevice, StreamDevice};

use crate::harness::{block_on, check, check_async, live, live_async, yield_once};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Outside,
    Removed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

impl embedded_io::Error for Fault {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self {
            Self::Outside => embedded_io::ErrorKind::InvalidInput,
            Self::Removed => embedded_io::ErrorKind::NotConnected,
        }
    }
}

/// A card: sectors, and how many commands it got.
#[derive(Default)]
struct Card {
    bytes: Vec<u8>,
    commands: usize,
    removed: bool,
}

impl Card {
    fn new(blocks: usize) -> Self {
        Self { bytes: vec![0xA7; blocks * 512], commands: 0, removed: false }
    }

    fn place(&mut self, block: u32, bytes: usize) -> Result<&mut [u8], Fault> {
        self.commands += 1;
        if self.removed {
            return Err(Fault::Removed);
        }
        let start = block as usize * 512;
        self.bytes.get_mut(start..start + bytes).ok_or(Fault::Outside)
    }
}

/// The card as `embedded-sdmmc` sees it.
struct Sd(RefCell<Card>);

impl embedded_sdmmc::BlockDevice for &Sd {
    type Error = Fault;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), Fault> {
        (**self).read(blocks, start)
    }
    fn write(&self, blocks: &[Block], start: BlockIdx) -> Result<(), Fault> {
        (**self).write(blocks, start)
    }
    fn num_blocks(&self) -> Result<BlockCount, Fault> {
        (**self).num_blocks()
    }
}

impl embedded_sdmmc::BlockDevice for Sd {
    type Error = Fault;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), Fault> {
        let mut card = self.0.borrow_mut();
        let bytes = card.place(start.0, blocks.len() * 512)?;
        for (block, bytes) in blocks.iter_mut().zip(bytes.chunks(512)) {
            block.contents.copy_from_slice(bytes);
        }
        Ok(())
    }
    fn write(&self, blocks: &[Block], start: BlockIdx) -> Result<(), Fault> {
        let mut card = self.0.borrow_mut();
        let bytes = card.place(start.0, blocks.len() * 512)?;
        for (block, bytes) in blocks.iter().zip(bytes.chunks_mut(512)) {
            bytes.copy_from_slice(&block.contents);
        }
        Ok(())
    }
    fn num_blocks(&self) -> Result<BlockCount, Fault> {
        Ok(BlockCount((self.0.borrow().bytes.len() / 512) as u32))
    }
}

/// The card as `block-device-driver` sees it.
struct Peripheral(Card);

impl block_device_driver::BlockDevice<512> for Peripheral {
    type Error = Fault;
    type Align = A4;

    async fn read(&mut self, block: u32, data: &mut [Aligned<A4, [u8; 512]>]) -> Result<(), Fault> {
        yield_once().await;
        let from = self.0.place(block, data.len() * 512)?;
        block_device_driver::blocks_to_slice_mut(data).copy_from_slice(from);
        Ok(())
    }
    async fn write(&mut self, block: u32, data: &[Aligned<A4, [u8; 512]>]) -> Result<(), Fault> {
        yield_once().await;
        self.0.place(block, data.len() * 512)?.copy_from_slice(blocks_to_slice(data));
        Ok(())
    }
    async fn size(&mut self) -> Result<u64, Fault> {
        Ok(self.0.bytes.len() as u64)
    }
}

/// The card as a stream that moves at most `most` bytes a call.
struct Stream {
    card: Card,
    position: u64,
    most: usize,
    flushes: usize,
}

impl embedded_io::ErrorType for Stream {
    type Error = Fault;
}

impl embedded_io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        if self.card.removed {
            return Err(Fault::Removed);
        }
        let rest = self.card.bytes.get(self.position as usize..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len()).min(self.most);
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl embedded_io::Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> Result<usize, Fault> {
        let at = self.position as usize;
        let count = (self.card.bytes.len() - at).min(buffer.len()).min(self.most);
        self.card.bytes[at..at + count].copy_from_slice(&buffer[..count]);
        self.position += count as u64;
        Ok(count)
    }
    fn flush(&mut self) -> Result<(), Fault> {
        self.flushes += 1;
        if self.card.removed { Err(Fault::Removed) } else { Ok(()) }
    }
}

impl embedded_io::Seek for Stream {
    fn seek(&mut self, to: embedded_io::SeekFrom) -> Result<u64, Fault> {
        let bytes = self.card.bytes.len() as i64;
        let position = match to {
            embedded_io::SeekFrom::Start(at) => at as i64,
            embedded_io::SeekFrom::End(by) => bytes + by,
            embedded_io::SeekFrom::Current(by) => self.position as i64 + by,
        };
        self.position = u64::try_from(position).map_err(|_| Fault::Outside)?;
        Ok(self.position)
    }
}

fn stream(blocks: usize, most: usize) -> Stream {
    Stream { card: Card::new(blocks), position: 0, most, flushes: 0 }
}

#[test]
fn an_sd_card_conforms_with_one_bounce_block_and_with_several() {
    let device = SdmmcDevice::new(Sd(RefCell::new(Card::new(1024))), 64..1000);
    let mut device = device.expect("it fits");
    assert_eq!(device.geometry().capacity, 936 * 512);
    assert_eq!(check(&mut device).slices_max, 3);
    let card = device.into_inner();
    let one = card.0.borrow().commands;
    card.0.borrow_mut().commands = 0;
    let mut bounce = vec![Block::new(); 16];
    let mut device = SdmmcDevice::with_bounce(card, 64..1000, &mut bounce[..]).expect("it fits");
    check(&mut device);
    let card = device.into_inner().0.into_inner();
    assert!(card.commands * 4 < one, "{} commands, and {one} with one block", card.commands);
    let outside = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0xA7);
    assert!(outside(&card.bytes[..64 * 512]) && outside(&card.bytes[1000 * 512..]));
}

#[test]
fn a_flush_asks_the_card_once_for_what_was_written_last() {
    let card = Sd(RefCell::new(Card::new(64)));
    let mut device = SdmmcDevice::new(card, 8..64).expect("it fits");
    assert_eq!(device.flush(), Ok(()));
    assert_eq!(device.write(1024, &[&[1; 512], &[2; 512]], Durability::Buffered), Ok(()));
    assert_eq!((device.flush(), device.flush()), (Ok(()), Ok(())));
    let card = device.into_inner();
    // Two blocks written, one read.
    assert_eq!(card.0.borrow().commands, 3);
    let mut device = SdmmcDevice::new(&card, 8..64).expect("it fits");
    assert_eq!(device.write(1024, &[&[1; 1024]], Durability::Buffered), Ok(()));
    card.0.borrow_mut().removed = true;
    let error = device.flush().expect_err("the card is gone");
    assert!(matches!(error, FlashError::Medium { address: 5632, error: Fault::Removed, .. }));
}

#[test]
fn a_store_lives_on_an_sd_card() {
    let device = SdmmcDevice::new(Sd(RefCell::new(Card::new(1024))), 8..1024).expect("it fits");
    live(device);
    let bounce = [const { Block { contents: [0; 512] } }; 4];
    let device = SdmmcDevice::with_bounce(Sd(RefCell::new(Card::new(1024))), 0..1024, bounce);
    let device = device.expect("it fits").with_tear_unit(4096).expect("it fits");
    assert_eq!(device.geometry().commit_unit(), 4096);
    live(device);
}

/// A bus without a card.
struct DeadBus;

impl embedded_hal::spi::ErrorType for DeadBus {
    type Error = embedded_hal::spi::ErrorKind;
}

impl embedded_hal::spi::SpiDevice for DeadBus {
    fn transaction(
        &mut self,
        _: &mut [embedded_hal::spi::Operation<'_, u8>],
    ) -> Result<(), embedded_hal::spi::ErrorKind> {
        Err(embedded_hal::spi::ErrorKind::Other)
    }
}

#[test]
fn the_card_driver_of_embedded_sdmmc_fits_and_its_error_is_passed_on() {
    let card = embedded_sdmmc::SdCard::new(DeadBus, crate::chip::FakeDelay);
    let error = SdmmcDevice::new(card, 0..8).map(|_| ()).expect_err("there is no card");
    let FlashError::Medium { address: 0, kind: DeviceErrorKind::Other, error } = error else {
        panic!("{error}");
    };
    assert!(matches!(error, embedded_sdmmc::SdCardError::Transport));
}

#[test]
fn a_card_that_is_too_small_or_removed_is_a_typed_error() {
    let result = SdmmcDevice::new(Sd(RefCell::new(Card::new(64))), 0..65);
    let Err(FlashError::Geometry(GeometryError { field, value, .. })) = result else {
        panic!("it must be refused");
    };
    assert_eq!((field, value), ("partition.end", 65 * 512));
    let none: [Block; 0] = [];
    let result = SdmmcDevice::with_bounce(Sd(RefCell::new(Card::new(64))), 0..64, none);
    assert!(matches!(result, Err(FlashError::Geometry(error)) if error.field == "bounce"));
    let device = SdmmcDevice::new(Sd(RefCell::new(Card::new(64))), 8..64).expect("it fits");
    assert!(device.with_tear_unit(100).is_err());

    let card = Sd(RefCell::new(Card::new(64)));
    let device = SdmmcDevice::new(card, 8..64).expect("it fits");
    let mut device = device.with_classifier(|error| match error {
        Fault::Removed => DeviceErrorKind::Gone,
        Fault::Outside => DeviceErrorKind::Other,
    });
    assert_eq!(device.write(512, &[&[1; 512]], Durability::Buffered), Ok(()));
    let card = device.into_inner();
    card.0.borrow_mut().removed = true;
    let mut device = SdmmcDevice::new(card, 8..64).expect("its size is known");
    let error = device.read(512, &mut [0; 1024]).expect_err("the card is gone");
    let want = FlashError::Medium {
        address: 9 * 512,
        kind: DeviceErrorKind::Other,
        error: Fault::Removed,
    };
    assert_eq!(error, want);
}

#[test]
fn an_asynchronous_card_conforms_and_carries_a_store() {
    let (device, _) = block_on(BlockDriverDevice::new(Peripheral(Card::new(1024)), 16..1024));
    let mut device = device.expect("it fits");
    assert_eq!(device.geometry().buffer_align, 4);
    assert_eq!(check_async(&mut device).slices_max, 3);
    let (device, waits) = live_async(device);
    assert!(waits > 100);
    let card = device.into_inner().0;
    assert!(card.bytes[..16 * 512].iter().all(|byte| *byte == 0xA7));
}

#[test]
fn an_asynchronous_card_refuses_buffers_that_its_driver_cannot_take() {
    let (device, _) = block_on(BlockDriverDevice::new(Peripheral(Card::new(64)), 0..64));
    let mut device = device.expect("it fits");
    let mut buffer: Aligned<A4, [u8; 516]> = Aligned([0; 516]);
    let want = FlashError::Refused(Refusal::BufferMisaligned { address: 512, align: 4 });
    assert_eq!(block_on(device.read(512, &mut buffer[1..513])).0, Err(want));
    let slices: [&[u8]; 2] = [&buffer[..512], &buffer[2..514]];
    let result = block_on(device.write(512, &slices, Durability::Buffered)).0;
    assert_eq!(result, Err(want));
    // The first slice, which could be taken, was not written either.
    assert_eq!(device.into_inner().0.commands, 0);
}

#[test]
fn a_stream_conforms_and_carries_a_store_even_in_small_steps() {
    for (most, unit) in [(usize::MAX, 512), (100, 512), (7, 4096)] {
        let device = StreamDevice::new(stream(1024, most), 4096..512 << 10, unit);
        let mut device = device.expect("it fits");
        assert_eq!(check(&mut device).slices_max, 3);
        let stream = live(device).into_inner();
        assert!(stream.card.bytes[..4096].iter().all(|byte| *byte == 0xA7));
        assert!(stream.flushes > 10);
    }
}

#[test]
fn a_stream_that_ends_or_fails_is_a_typed_error() {
    let result = StreamDevice::new(stream(8, 512), 0..8192, 512);
    assert!(matches!(result, Err(FlashError::Geometry(error)) if error.value == 8192));
    let mut device = StreamDevice::new(stream(16, 512), 512..8192, 512).expect("it fits");
    assert_eq!(device.write(0, &[&[1; 1024]], Durability::Buffered), Ok(()));
    let mut stream = device.into_inner();
    stream.most = 0;
    let mut device = StreamDevice::new(stream, 512..8192, 512).expect("it fits");
    let error = device.write(0, &[&[1; 512]], Durability::Buffered).expect_err("it takes nothing");
    assert_eq!((error, error.kind()), (FlashError::Ended { address: 512 }, DeviceErrorKind::Full));
    assert_eq!(device.read(512, &mut [0; 512]), Err(FlashError::Ended { address: 1024 }));
    let mut stream = device.into_inner();
    stream.card.removed = true;
    let mut device = StreamDevice::new(stream, 512..8192, 512).expect("it fits");
    assert_eq!(device.read(0, &mut [0; 512]).map_err(|e| e.kind()), Err(DeviceErrorKind::Gone));
    assert_eq!(device.flush().map_err(|e| e.kind()), Err(DeviceErrorKind::Gone));
}
