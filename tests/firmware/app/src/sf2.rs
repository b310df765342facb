//! The `emcraft-sf2` board: the SPI port of its SmartFusion2 with the NOR chip, as a bus of
//! `embedded-hal` and of its asynchronous twin.
//!
//! The port holds chip select for as many bytes as it was told beforehand, so a transaction is
//! counted before it begins.
//!
//! The emulated chip keeps its write latch after a program or an erase, which the driver takes for
//! a command that was ignored, as on a real chip it would be. So each of those is followed by
//! write-disable here.

use core::convert::Infallible;
use core::future::poll_fn;
use core::task::Poll;

use embedded_hal::spi::Operation;
use emberkv_flash::spi_nor::{Addressing, ChipLayout, Erase, JedecId, Options};

use crate::registers::Registers;
use crate::supply::Supply;

mod port {
    pub(super) const BASE: usize = 0x4000_1000;
    pub(super) const CONTROL: usize = 0x00;
    pub(super) const FRAME_BITS: usize = 0x04;
    pub(super) const STATUS: usize = 0x08;
    pub(super) const RECEIVE: usize = 0x10;
    pub(super) const TRANSMIT: usize = 0x14;
    pub(super) const CLOCK: usize = 0x18;
    pub(super) const SELECT: usize = 0x1C;
    /// Enabled, master, chip select held, deep queues.
    pub(super) const RUN: u32 = 1 << 0 | 1 << 1 | 1 << 26 | 1 << 29;
    pub(super) const COUNT_SHIFT: u32 = 8;
    pub(super) const COUNT_MAX: usize = 0xFFFF;
    pub(super) const RECEIVE_EMPTY: u32 = 1 << 6;
}

mod command {
    pub(super) const PROGRAM: u8 = 0x02;
    pub(super) const WRITE_DISABLE: u8 = 0x04;
    pub(super) const ERASE_4_KIB: u8 = 0x20;
    pub(super) const ERASE_64_KIB: u8 = 0xD8;
}

/// An erase draws this much from the supply, whatever it erases.
const ERASE_DRAWS: usize = 256;
/// Bytes between two looks at other tasks: about 30 us at 10 MHz.
const BURST: usize = 32;

/// The NOR chip's place on SPI 0.
#[derive(Debug)]
pub struct Nor {
    port: Registers,
    supply: Supply,
    /// Bytes since other tasks had a turn.
    burst: usize,
}

/// What a transaction is, as far as it matters here.
#[derive(Clone, Copy)]
enum Kind {
    Other,
    /// Four bytes of command and address come first.
    Program {
        address: u64,
    },
    Erase {
        address: u64,
        bytes: usize,
    },
}

const HEADER: usize = 4;

fn kind(operations: &[Operation<'_, u8>]) -> Kind {
    let Some(Operation::Write(first)) = operations.first() else { return Kind::Other };
    let [command, a, b, c, ..] = *first else { return Kind::Other };
    let address = u64::from(u32::from_be_bytes([0, *a, *b, *c]));
    match *command {
        command::PROGRAM => Kind::Program { address },
        command::ERASE_4_KIB => Kind::Erase { address, bytes: 4 << 10 },
        command::ERASE_64_KIB => Kind::Erase { address, bytes: 64 << 10 },
        _ => Kind::Other,
    }
}

fn length(operation: &Operation<'_, u8>) -> usize {
    match operation {
        Operation::Write(bytes) => bytes.len(),
        Operation::Read(bytes) => bytes.len(),
        Operation::Transfer(read, write) => read.len().max(write.len()),
        Operation::TransferInPlace(bytes) => bytes.len(),
        Operation::DelayNs(_) => 0,
    }
}

impl Nor {
    /// Sets the port up: 8 bits, mode 0. `supply` ends the chip's power at a byte that is
    /// programmed.
    #[must_use]
    pub fn take(supply: Supply) -> Self {
        // SAFETY: by the chip's manual the port lies there, and it does not move memory.
        let mut port = unsafe { Registers::new(port::BASE) };
        port.write(port::CONTROL, 0);
        port.write(port::FRAME_BITS, 8);
        port.write(port::CLOCK, 7);
        port.write(port::SELECT, 1);
        Self { port, supply, burst: 0 }
    }

    /// Selects the chip for the next `count` bytes.
    fn begin(&mut self, count: usize) {
        assert!(
            count <= port::COUNT_MAX,
            "transactions are shorter: reads by the driver's options"
        );
        self.port.write(port::CONTROL, port::RUN | (count as u32) << port::COUNT_SHIFT);
    }

    fn exchange(&mut self, byte: u8) -> u8 {
        self.burst += 1;
        self.port.write(port::TRANSMIT, byte.into());
        // The port answers each byte that it was given; eight bit times bound this.
        while self.port.read(port::STATUS) & port::RECEIVE_EMPTY != 0 {}
        self.port.read(port::RECEIVE) as u8
    }

    /// Counts the transaction and selects the chip. Does not return if the power fails in it.
    fn start(&mut self, operations: &[Operation<'_, u8>]) -> Kind {
        let kind = kind(operations);
        let total = operations.iter().map(length).sum::<usize>();
        match kind {
            Kind::Program { address } => {
                let bytes = total - HEADER;
                let landed = self.supply.draw(bytes);
                if landed < bytes {
                    self.torn_program(operations, address, landed, bytes);
                }
                self.begin(total);
            }
            Kind::Erase { address, bytes } => {
                if self.supply.draw(ERASE_DRAWS) < ERASE_DRAWS {
                    Supply::fail("erase", address, 0, bytes);
                }
                self.begin(total);
            }
            Kind::Other => self.begin(total),
        }
        kind
    }

    /// Programs the first `landed` bytes, then the power fails.
    fn torn_program(
        &mut self,
        operations: &[Operation<'_, u8>],
        address: u64,
        landed: usize,
        bytes: usize,
    ) -> ! {
        self.begin(HEADER + landed);
        let parts = operations.iter().map(|operation| match operation {
            Operation::Write(bytes) => *bytes,
            _ => &[],
        });
        for byte in parts.flatten().take(HEADER + landed) {
            self.exchange(*byte);
        }
        Supply::fail("program", address, landed, bytes)
    }

    /// One operation, from byte `done` on, as far as a burst goes; whether it is finished.
    fn run(&mut self, operation: &mut Operation<'_, u8>, done: &mut usize) -> bool {
        let end = length(operation).min(*done + BURST);
        for index in *done..end {
            let out = match operation {
                Operation::Write(bytes) => bytes[index],
                Operation::Transfer(_, bytes) => bytes.get(index).copied().unwrap_or(0),
                Operation::TransferInPlace(bytes) => bytes[index],
                Operation::Read(_) | Operation::DelayNs(_) => 0,
            };
            let found = self.exchange(out);
            match operation {
                Operation::Read(bytes) | Operation::TransferInPlace(bytes) => bytes[index] = found,
                Operation::Transfer(bytes, _) => {
                    if let Some(byte) = bytes.get_mut(index) {
                        *byte = found;
                    }
                }
                Operation::Write(_) | Operation::DelayNs(_) => {}
            }
        }
        *done = end;
        end == length(operation)
    }

    /// Clears the latch that the emulated chip keeps.
    fn finish(&mut self, kind: Kind) {
        if matches!(kind, Kind::Program { .. } | Kind::Erase { .. }) {
            self.begin(1);
            self.exchange(command::WRITE_DISABLE);
        }
    }
}

impl embedded_hal::spi::ErrorType for Nor {
    type Error = Infallible;
}

impl embedded_hal::spi::SpiDevice for Nor {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), Infallible> {
        let kind = self.start(operations);
        for operation in operations {
            let mut done = 0;
            while !self.run(operation, &mut done) {}
        }
        self.finish(kind);
        Ok(())
    }
}

/// Gives other tasks a turn.
pub async fn turn() {
    let mut waited = false;
    poll_fn(|context| {
        if core::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl embedded_hal_async::spi::SpiDevice for Nor {
    async fn transaction(
        &mut self,
        operations: &mut [Operation<'_, u8>],
    ) -> Result<(), Infallible> {
        let kind = self.start(operations);
        for operation in operations {
            let mut done = 0;
            while !self.run(operation, &mut done) {
                if self.burst >= BURST {
                    self.burst = 0;
                    turn().await;
                }
            }
        }
        self.finish(kind);
        Ok(())
    }
}

/// Waits by counting, or by giving other tasks turns.
#[derive(Clone, Copy, Debug)]
pub struct Delay;

/// Clocks of a microsecond at the chip's 142 MHz.
const CLOCKS_PER_US: u32 = 142;

impl embedded_hal::delay::DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        cortex_m::asm::delay(ns.div_ceil(1000).saturating_mul(CLOCKS_PER_US));
    }
}

impl embedded_hal_async::delay::DelayNs for Delay {
    async fn delay_ns(&mut self, _ns: u32) {
        // The emulated chip is never busy; a board would ask its timer here.
        turn().await;
    }
}

/// What the store takes of the chip, from its start: 31 segments and the superblocks.
const NOR_BYTES: u64 = 512 << 10;
/// Bytes of a segment there.
pub const NOR_SEGMENT_BYTES: u32 = 16 << 10;

/// Spansion S25FL128P, 16 MiB, without a table of parameters. The emulated chip erases 4 KiB too,
/// which that part does not.
#[must_use]
pub fn nor_options() -> Options {
    Options {
        partition: Some(0..NOR_BYTES),
        expect: Some(JedecId { maker: 0x01, family: 0x20, capacity_code: 0x18 }),
        layout: Some(ChipLayout {
            capacity: 16 << 20,
            page_bytes: 256,
            erases: [
                Some(Erase { bytes: 4 << 10, command: 0x20 }),
                Some(Erase { bytes: 64 << 10, command: 0xD8 }),
                None,
                None,
            ],
            addressing: Addressing::ThreeBytes,
        }),
        // Sectors of a host, so that its tools read an image of the chip.
        tear_unit: 512,
        ..Options::default()
    }
}
