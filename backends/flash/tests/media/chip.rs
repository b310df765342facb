//! A SPI NOR chip that keeps the rules of the real ones, behind a bus of `embedded-hal`.
//!
//! It ignores what a real chip ignores (commands while busy, asleep or without write-enable, blocks
//! that are protected), programs only from 1 to 0, and wraps around inside a page. What a driver
//! must never do is written down in [`Chip::sins`]; suites that expect none assert that.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use embedded_hal::delay::DelayNs;
use embedded_hal::spi::{Error, ErrorKind, ErrorType, Operation, SpiDevice};

use crate::harness::yield_once;

/// A command with an address, and what it does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Read,
    Program,
    Erase(u32),
}

/// How many address bytes the chip takes when a command does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Three,
    Four,
}

/// What the chip does with a command for protected blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ignores {
    /// Ignores it and keeps write-enable, as most do.
    KeepingTheLatch,
    /// Ignores it and takes write-enable back: only reading back shows it.
    ClearingTheLatch,
}

/// Something that a driver must never do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sin {
    CommandWhileBusy(u8),
    CommandWhileAsleep(u8),
    WithoutWriteEnable(u8),
    ProgrammedTwice(usize),
    WrappedAround(usize),
    UnknownCommand(u8),
}

/// Random numbers for what a power cut leaves behind (xorshift).
fn scramble(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}

/// The chip. Its cells start neither erased nor programmed by anyone.
#[derive(Clone, Debug)]
pub(crate) struct Chip {
    pub(crate) cells: Vec<u8>,
    pub(crate) id: [u8; 3],
    /// The table of parameters; empty if the chip has none.
    pub(crate) table: Vec<u8>,
    pub(crate) page: usize,
    pub(crate) mode: Mode,
    pub(crate) asleep: bool,
    /// Polls of the status that see the chip busy after a program, and ten times as many after an
    /// erase; `u32::MAX` is for ever.
    pub(crate) busy_polls: u32,
    pub(crate) busy_left: u32,
    /// A range that is not programmed nor erased, and what the status register says about it.
    pub(crate) protected: Range<usize>,
    pub(crate) protection_bits: u8,
    pub(crate) ignores: Ignores,
    /// Write-enable is not heard (the WP# pin of some chips).
    pub(crate) locked: bool,
    /// Answers success there and does nothing.
    pub(crate) worn: Range<usize>,
    /// The transaction with this number fails.
    pub(crate) bus_fault: Option<usize>,
    /// The power fails during the transaction with this number: what it changes is left half done,
    /// and the chip is silent from then on.
    pub(crate) cut_at: Option<usize>,
    pub(crate) write_enabled: bool,
    /// Cells programmed since their erase.
    pub(crate) programmed: Vec<bool>,
    pub(crate) transactions: usize,
    pub(crate) sins: Vec<Sin>,
    /// Commands that were executed, by their byte.
    pub(crate) executed: Vec<u8>,
    pub(crate) bytes_read_most: usize,
}

impl Chip {
    /// A chip without a table of parameters.
    pub(crate) fn new(bytes: usize, id: [u8; 3]) -> Self {
        Self {
            cells: vec![0x6D; bytes],
            id,
            table: Vec::new(),
            page: 256,
            mode: Mode::Three,
            asleep: false,
            busy_polls: 3,
            busy_left: 0,
            protected: 0..0,
            protection_bits: 0,
            ignores: Ignores::KeepingTheLatch,
            locked: false,
            worn: 0..0,
            bus_fault: None,
            cut_at: None,
            write_enabled: false,
            programmed: vec![true; bytes],
            transactions: 0,
            sins: Vec::new(),
            executed: Vec::new(),
            bytes_read_most: 0,
        }
    }

    pub(crate) fn shared(self) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(self))
    }

    /// The cells as an erased chip has them.
    pub(crate) fn blank(mut self) -> Self {
        self.cells.fill(0xFF);
        self.programmed.fill(false);
        self
    }

    /// What the chip is after its supply came back.
    pub(crate) fn power_up(&mut self) {
        self.cut_at = None;
        self.busy_left = 0;
        self.write_enabled = false;
        self.mode = Mode::Three;
    }

    /// The change that a power cut interrupts: cells that were to change hold anything between the
    /// old and the new content; those of an erase hold anything.
    fn leave_half_done(&mut self, before: &[u8]) {
        let mut state = 0x9E37_79B9_7F4A_7C15 ^ self.transactions as u64;
        for (cell, old) in self.cells.iter_mut().zip(before) {
            let noise = scramble(&mut state);
            *cell = if *cell & old == *cell { *cell | (old & noise) } else { noise };
        }
    }

    fn action(&self, command: u8) -> Option<(Action, usize)> {
        let by_mode = match self.mode {
            Mode::Three => 3,
            Mode::Four => 4,
        };
        Some(match command {
            0x0B => (Action::Read, by_mode),
            0x0C => (Action::Read, 4),
            0x02 => (Action::Program, by_mode),
            0x12 => (Action::Program, 4),
            0x20 => (Action::Erase(4 << 10), by_mode),
            0x21 => (Action::Erase(4 << 10), 4),
            0x52 => (Action::Erase(32 << 10), by_mode),
            0xD8 => (Action::Erase(64 << 10), by_mode),
            0xDC => (Action::Erase(64 << 10), 4),
            _ => return None,
        })
    }

    fn status(&mut self) -> u8 {
        let busy = self.busy_left > 0;
        if busy && self.busy_left != u32::MAX {
            self.busy_left -= 1;
            if self.busy_left == 0 {
                self.write_enabled = false;
            }
        }
        u8::from(busy) | u8::from(self.write_enabled || busy) << 1 | self.protection_bits
    }

    /// The bytes that the chip drives behind these that it was sent.
    fn answer(&mut self, sent: &[u8], buffer: &mut [u8]) {
        buffer.fill(0xFF);
        let Some(&command) = sent.first() else { return };
        if self.asleep {
            return;
        }
        if command == 0x05 {
            for byte in buffer {
                *byte = self.status();
            }
            return;
        }
        if self.busy_left > 0 {
            return;
        }
        self.bytes_read_most = self.bytes_read_most.max(buffer.len());
        match (command, self.action(command)) {
            (0x9F, _) => {
                for (byte, id) in buffer.iter_mut().zip(self.id) {
                    *byte = id;
                }
            }
            (0x5A, _) if sent.len() == 5 => copy(&self.table, address(&sent[1..4]), buffer),
            (_, Some((Action::Read, bytes))) if sent.len() == bytes + 2 => {
                copy(&self.cells, address(&sent[1..=bytes]), buffer);
            }
            _ => {}
        }
    }

    /// What the chip does when its select is released.
    fn execute(&mut self, sent: &[u8]) {
        let Some((&command, rest)) = sent.split_first() else { return };
        if command == 0xAB {
            self.asleep = false;
            return;
        }
        if self.asleep {
            self.sins.push(Sin::CommandWhileAsleep(command));
            return;
        }
        if self.busy_left > 0 {
            if command != 0x05 {
                self.sins.push(Sin::CommandWhileBusy(command));
            }
            return;
        }
        self.executed.push(command);
        match command {
            0x06 => self.write_enabled = !self.locked,
            0x04 => self.write_enabled = false,
            0xB7 => self.mode = Mode::Four,
            0x05 | 0x9F | 0x5A => {}
            _ => match self.action(command) {
                None => self.sins.push(Sin::UnknownCommand(command)),
                Some((Action::Read, _)) => {}
                Some((action, bytes)) => self.change(command, action, bytes, rest),
            },
        }
    }

    fn change(&mut self, command: u8, action: Action, address_bytes: usize, rest: &[u8]) {
        if !self.write_enabled {
            self.sins.push(Sin::WithoutWriteEnable(command));
            return;
        }
        let Some((place, data)) = rest.split_at_checked(address_bytes) else { return };
        let place = address(place) % self.cells.len();
        let range = match action {
            Action::Erase(bytes) => {
                let start = place / bytes as usize * bytes as usize;
                start..start + bytes as usize
            }
            _ => place..place + data.len(),
        };
        if range.start < self.protected.end && self.protected.start < range.end {
            self.write_enabled = self.ignores == Ignores::KeepingTheLatch;
            return;
        }
        let worn = range.start < self.worn.end && self.worn.start < range.end;
        match action {
            _ if worn => {}
            Action::Program => self.program(place, data),
            _ => {
                self.cells[range.clone()].fill(0xFF);
                self.programmed[range].fill(false);
            }
        }
        let factor = if action == Action::Program { 1 } else { 10 };
        self.busy_left = self.busy_polls.saturating_mul(factor);
        // A chip that is never seen busy has taken write-enable back at once.
        self.write_enabled = self.busy_left > 0;
    }

    fn program(&mut self, place: usize, data: &[u8]) {
        let page = place / self.page * self.page;
        if place % self.page + data.len() > self.page {
            self.sins.push(Sin::WrappedAround(place));
        }
        for (index, byte) in data.iter().enumerate() {
            let at = page + (place - page + index) % self.page;
            if std::mem::replace(&mut self.programmed[at], true) {
                self.sins.push(Sin::ProgrammedTwice(at));
            }
            self.cells[at] &= byte;
        }
    }

    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        self.transactions += 1;
        let dead = self.cut_at.is_some_and(|cut| cut < self.transactions);
        if dead || self.bus_fault == Some(self.transactions) {
            return Err(BusError);
        }
        let mut sent = Vec::new();
        for operation in operations {
            match operation {
                Operation::Write(bytes) => sent.extend_from_slice(bytes),
                Operation::Read(buffer) => self.answer(&sent, buffer),
                Operation::DelayNs(_) => {}
                _ => panic!("a transfer in both directions is no command of such a chip"),
            }
        }
        if self.cut_at == Some(self.transactions) {
            let before = self.cells.clone();
            self.execute(&sent);
            self.leave_half_done(&before);
        } else {
            self.execute(&sent);
        }
        Ok(())
    }
}

fn address(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

fn copy(from: &[u8], start: usize, buffer: &mut [u8]) {
    for (index, byte) in buffer.iter_mut().enumerate() {
        *byte = from.get(start + index).copied().unwrap_or(0xFF);
    }
}

/// The bus's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BusError;

impl Error for BusError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// The chip on a bus, blocking and asynchronous.
#[derive(Clone, Debug)]
pub(crate) struct FakeSpi(pub(crate) Rc<RefCell<Chip>>);

impl ErrorType for FakeSpi {
    type Error = BusError;
}

impl SpiDevice for FakeSpi {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        self.0.borrow_mut().transaction(operations)
    }
}

impl embedded_hal_async::spi::SpiDevice for FakeSpi {
    async fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        yield_once().await;
        self.0.borrow_mut().transaction(operations)
    }
}

/// Time that passes at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FakeDelay;

impl DelayNs for FakeDelay {
    fn delay_ns(&mut self, _: u32) {}
}

impl embedded_hal_async::delay::DelayNs for FakeDelay {
    async fn delay_ns(&mut self, _: u32) {
        yield_once().await;
    }
}

/// A table of parameters as JESD216B has it, for a chip of 2^`shift` bytes.
pub(crate) struct Parameters {
    pub(crate) shift: u32,
    pub(crate) page_shift: u32,
    /// Size as a power of two, and command.
    pub(crate) erases: [(u8, u8); 4],
    /// Bits of word 16: ways to enter the four-byte mode.
    pub(crate) ways: u8,
    /// The table of four-byte commands: support bits, and the erase commands.
    pub(crate) four_byte: Option<(u32, [u8; 4])>,
    /// A sector map, which says that blocks differ.
    pub(crate) sector_map: Option<()>,
}

impl Parameters {
    pub(crate) fn usual(shift: u32) -> Self {
        let erases = [(12, 0x20), (15, 0x52), (16, 0xD8), (0, 0)];
        Self { shift, page_shift: 8, erases, ways: 0x01, four_byte: None, sector_map: None }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut words = [0_u32; 16];
        words[1] = 1 << 31 | (self.shift + 3);
        for (index, (size, command)) in self.erases.into_iter().enumerate() {
            let pair = u32::from(size) | u32::from(command) << 8;
            words[7 + index / 2] |= pair << (16 * (index % 2));
        }
        words[10] = self.page_shift << 4;
        words[15] = u32::from(self.ways) << 24;
        let mut tables = vec![(0xFF00_u16, words.to_vec())];
        if let Some((support, commands)) = self.four_byte {
            tables.push((0xFF84, vec![support, u32::from_le_bytes(commands)]));
        }
        if self.sector_map.is_some() {
            tables.push((0xFF81, vec![0]));
        }
        let mut bytes = b"SFDP\x06\x01".to_vec();
        bytes.extend([tables.len() as u8 - 1, 0xFF]);
        let mut pointer = 0x80_u32;
        for (id, words) in &tables {
            let [low, high] = id.to_le_bytes();
            let place = pointer.to_le_bytes();
            bytes.extend([low, 6, 1, words.len() as u8, place[0], place[1], place[2], high]);
            pointer += 4 * words.len() as u32;
        }
        bytes.resize(0x80, 0xFF);
        bytes
            .extend(tables.iter().flat_map(|(_, words)| words).flat_map(|word| word.to_le_bytes()));
        bytes
    }
}
