//! A driver of SD cards on SPI, as small as a logger needs it: a block device of `embedded-sdmmc`,
//! so that `SdmmcDevice` drives it.
//!
//! Why not the driver of `embedded-sdmmc`: it takes an answer of 0x01 to command 58 for an error,
//! and the emulated card answers so. Commands and data carry their checksums, which the card is
//! told to check. Every wait is bounded.
//!
//! Tearing: a card that loses its power in the middle of a block keeps the old block, the new one
//! or neither; blocks before it in the same command are written.

use core::cell::RefCell;
use core::fmt;

use crc::{CRC_7_MMC, CRC_16_XMODEM, Crc, NoTable};
use embedded_sdmmc_types::{Block, BlockCount, BlockDevice, BlockIdx};

use crate::supply::Supply;

const COMMAND_CHECK: Crc<u8, NoTable> = Crc::<u8, NoTable>::new(&CRC_7_MMC);
const DATA_CHECK: Crc<u16, NoTable> = Crc::<u16, NoTable>::new(&CRC_16_XMODEM);

/// A bus that moves one byte each way.
pub trait ByteBus {
    /// Selects the card.
    fn select(&mut self);
    /// Selects no card.
    fn deselect(&mut self);
    /// Sends a byte and receives one.
    fn exchange(&mut self, byte: u8) -> u8;
}

mod command {
    pub(super) const GO_IDLE: u8 = 0;
    pub(super) const INTERFACE_CONDITION: u8 = 8;
    pub(super) const SEND_CSD: u8 = 9;
    pub(super) const STOP: u8 = 12;
    pub(super) const BLOCK_LENGTH: u8 = 16;
    pub(super) const READ: u8 = 17;
    pub(super) const READ_MANY: u8 = 18;
    pub(super) const WRITE: u8 = 24;
    pub(super) const WRITE_MANY: u8 = 25;
    pub(super) const START: u8 = 41;
    pub(super) const APPLICATION: u8 = 55;
    pub(super) const READ_OCR: u8 = 58;
    pub(super) const CHECK_ON: u8 = 59;
}

const IDLE: u8 = 0x01;
const ILLEGAL: u8 = 0x04;
const TOKEN: u8 = 0xFE;
const TOKEN_MANY: u8 = 0xFC;
const TOKEN_STOP: u8 = 0xFD;
const ACCEPTED: u8 = 0x05;

/// Most bytes between a command and its answer.
const ANSWER_BYTES_MAX: u32 = 16;
/// Most bytes until data come or programming ends: 250 ms and more at 10 MHz, what the standard
/// gives a card.
const WAIT_BYTES_MAX: u32 = 500_000;
/// Most times that a card is asked whether it has started.
const STARTS_MAX: u32 = 10_000;

/// What a card did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardError {
    /// No card answers.
    NoCard,
    /// It answered a command with this.
    Refused {
        /// The command.
        command: u8,
        /// Its answer.
        answer: u8,
    },
    /// It took too long.
    Timeout {
        /// The command.
        command: u8,
    },
    /// Data came with a wrong checksum.
    Checksum,
    /// It did not take a block: its answer.
    NotWritten(u8),
    /// Its description is of no known kind.
    UnknownLayout,
}

impl fmt::Display for CardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCard => f.write_str("no card answers"),
            Self::Refused { command, answer } => {
                write!(f, "the card answers command {command} with {answer:#x}")
            }
            Self::Timeout { command } => write!(f, "the card takes too long for command {command}"),
            Self::Checksum => f.write_str("data of the card came with a wrong checksum"),
            Self::NotWritten(answer) => write!(f, "the card did not take a block: {answer:#x}"),
            Self::UnknownLayout => f.write_str("the card describes itself in an unknown way"),
        }
    }
}

impl core::error::Error for CardError {}

/// How blocks are addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressing {
    Bytes,
    Blocks,
}

/// A card that was found and started.
#[derive(Debug)]
pub struct SdCard<B> {
    // The trait's methods share the card: they borrow it for one command.
    inner: RefCell<Inner<B>>,
}

#[derive(Debug)]
struct Inner<B> {
    bus: B,
    addressing: Addressing,
    blocks: u32,
    supply: Supply,
}

impl<B: ByteBus> SdCard<B> {
    /// Finds and starts the card. `supply` ends its power at a byte that is written.
    ///
    /// # Errors
    /// There is none, or it is none that this driver knows.
    pub fn start(bus: B, supply: Supply) -> Result<Self, CardError> {
        let mut inner = Inner { bus, addressing: Addressing::Bytes, blocks: 0, supply };
        inner.start()?;
        Ok(Self { inner: RefCell::new(inner) })
    }
}

impl<B: ByteBus> Inner<B> {
    fn start(&mut self) -> Result<(), CardError> {
        // A card wants 74 clocks before it listens.
        self.bus.deselect();
        for _ in 0..10 {
            self.bus.exchange(0xFF);
        }
        let idle = (0..100).any(|_| matches!(self.simple(command::GO_IDLE, 0), Ok(IDLE)));
        if !idle {
            return Err(CardError::NoCard);
        }
        const CHECK_PATTERN: u32 = 0x1AA;
        let mut echo = [0; 4];
        let answer = self.with_trailer(command::INTERFACE_CONDITION, CHECK_PATTERN, &mut echo)?;
        let modern = answer & ILLEGAL == 0;
        if modern && u32::from_be_bytes(echo) & 0xFFF != CHECK_PATTERN {
            return Err(CardError::Refused { command: command::INTERFACE_CONDITION, answer });
        }
        self.accepted(command::CHECK_ON, 1)?;
        const HIGH_CAPACITY: u32 = 1 << 30;
        let wish = if modern { HIGH_CAPACITY } else { 0 };
        let mut started = false;
        for _ in 0..STARTS_MAX {
            self.accepted(command::APPLICATION, 0)?;
            if self.accepted(command::START, wish)? & IDLE == 0 {
                started = true;
                break;
            }
        }
        if !started {
            return Err(CardError::Timeout { command: command::START });
        }
        let mut ocr = [0; 4];
        self.with_trailer(command::READ_OCR, 0, &mut ocr)?;
        if u32::from_be_bytes(ocr) & HIGH_CAPACITY != 0 {
            self.addressing = Addressing::Blocks;
        } else {
            self.accepted(command::BLOCK_LENGTH, Block::LEN_U32)?;
        }
        self.blocks = self.read_capacity()?;
        Ok(())
    }

    /// Sends a command to the selected card; its answer's first byte.
    fn send(&mut self, command: u8, argument: u32) -> Result<u8, CardError> {
        let [a, b, c, d] = argument.to_be_bytes();
        let frame = [0x40 | command, a, b, c, d];
        let check = COMMAND_CHECK.checksum(&frame) << 1 | 1;
        // The card needs a byte between two commands.
        self.bus.exchange(0xFF);
        for byte in frame.into_iter().chain([check]) {
            self.bus.exchange(byte);
        }
        if command == command::STOP {
            // One stuffing byte comes before the answer.
            self.bus.exchange(0xFF);
        }
        for _ in 0..ANSWER_BYTES_MAX {
            let answer = self.bus.exchange(0xFF);
            if answer & 0x80 == 0 {
                return Ok(answer);
            }
        }
        Err(CardError::Timeout { command })
    }

    /// As `send`, for a command that must not be refused.
    fn send_checked(&mut self, command: u8, argument: u32) -> Result<u8, CardError> {
        match self.send(command, argument)? {
            answer if answer & !IDLE == 0 => Ok(answer),
            answer => Err(CardError::Refused { command, answer }),
        }
    }

    /// Does something with the card selected.
    fn selected<T>(
        &mut self,
        what: impl FnOnce(&mut Self) -> Result<T, CardError>,
    ) -> Result<T, CardError> {
        self.bus.select();
        let result = what(self);
        self.bus.deselect();
        // A card lets the line go one byte later.
        self.bus.exchange(0xFF);
        result
    }

    fn simple(&mut self, command: u8, argument: u32) -> Result<u8, CardError> {
        self.selected(|card| card.send(command, argument))
    }

    fn accepted(&mut self, command: u8, argument: u32) -> Result<u8, CardError> {
        self.selected(|card| card.send_checked(command, argument))
    }

    fn with_trailer(
        &mut self,
        command: u8,
        argument: u32,
        trailer: &mut [u8; 4],
    ) -> Result<u8, CardError> {
        self.selected(|card| {
            let answer = card.send(command, argument)?;
            if answer & ILLEGAL == 0 {
                trailer.fill_with(|| card.bus.exchange(0xFF));
            }
            Ok(answer)
        })
    }

    fn read_capacity(&mut self) -> Result<u32, CardError> {
        let mut csd = [0; 16];
        self.selected(|card| {
            card.send_checked(command::SEND_CSD, 0)?;
            card.receive(command::SEND_CSD, &mut csd)
        })?;
        let bits = u128::from_be_bytes(csd);
        let field = |from: u32, count: u32| (bits >> from) as u32 & ((1 << count) - 1);
        match field(126, 2) {
            // Blocks of 2^READ_BL_LEN bytes, (C_SIZE + 1) * 2^(C_SIZE_MULT + 2) of them.
            0 => {
                let shift = (field(47, 3) + 2 + field(80, 4)).checked_sub(9);
                Ok((field(62, 12) + 1) << shift.ok_or(CardError::UnknownLayout)?)
            }
            // Units of 512 KiB.
            1 => Ok((field(48, 22) + 1) << 10),
            _ => Err(CardError::UnknownLayout),
        }
    }

    /// Takes a block of data that the card was asked for.
    fn receive(&mut self, command: u8, bytes: &mut [u8]) -> Result<(), CardError> {
        let token = self.wait(command, |byte| byte != 0xFF)?;
        if token != TOKEN {
            return Err(CardError::Refused { command, answer: token });
        }
        bytes.fill_with(|| self.bus.exchange(0xFF));
        let check = [self.bus.exchange(0xFF), self.bus.exchange(0xFF)];
        if u16::from_be_bytes(check) == DATA_CHECK.checksum(bytes) {
            Ok(())
        } else {
            Err(CardError::Checksum)
        }
    }

    /// The first byte that is `good`.
    fn wait(&mut self, command: u8, good: impl Fn(u8) -> bool) -> Result<u8, CardError> {
        (0..WAIT_BYTES_MAX)
            .map(|_| self.bus.exchange(0xFF))
            .find(|byte| good(*byte))
            .ok_or(CardError::Timeout { command })
    }

    /// Waits until the card has programmed what it was given: it holds the line low.
    fn settle(&mut self, command: u8) -> Result<(), CardError> {
        self.wait(command, |byte| byte == 0xFF)?;
        Ok(())
    }

    fn give(&mut self, command: u8, token: u8, at: u32, block: &Block) -> Result<(), CardError> {
        // A byte of clock before the token: the emulated card takes it for the end of its answer.
        self.bus.exchange(0xFF);
        self.bus.exchange(token);
        let landed = self.supply.draw(Block::LEN);
        for byte in &block.contents[..landed] {
            self.bus.exchange(*byte);
        }
        if landed < Block::LEN {
            Supply::fail("sd", u64::from(at) * Block::LEN as u64, landed, Block::LEN);
        }
        for byte in DATA_CHECK.checksum(&block.contents).to_be_bytes() {
            self.bus.exchange(byte);
        }
        let answer = self.wait(command, |byte| byte & 0x11 == 0x01)?;
        if answer & 0x1F != ACCEPTED {
            return Err(CardError::NotWritten(answer));
        }
        self.settle(command)
    }

    fn place(&self, start: BlockIdx) -> u32 {
        match self.addressing {
            Addressing::Bytes => start.0 * Block::LEN_U32,
            Addressing::Blocks => start.0,
        }
    }

    fn read(&mut self, blocks: &mut [Block], start: BlockIdx) -> Result<(), CardError> {
        let place = self.place(start);
        self.selected(|card| {
            if let [block] = blocks {
                card.send_checked(command::READ, place)?;
                return card.receive(command::READ, &mut block.contents);
            }
            card.send_checked(command::READ_MANY, place)?;
            let mut result = Ok(());
            for block in blocks {
                result = card.receive(command::READ_MANY, &mut block.contents);
                if result.is_err() {
                    break;
                }
            }
            // The card is stopped whatever came; it may be busy for a moment.
            card.send(command::STOP, 0)?;
            card.settle(command::STOP)?;
            result
        })
    }

    fn write(&mut self, blocks: &[Block], start: BlockIdx) -> Result<(), CardError> {
        let place = self.place(start);
        self.selected(|card| {
            if let [block] = blocks {
                card.send_checked(command::WRITE, place)?;
                return card.give(command::WRITE, TOKEN, start.0, block);
            }
            card.send_checked(command::WRITE_MANY, place)?;
            for (block, at) in blocks.iter().zip(start.0..) {
                card.give(command::WRITE_MANY, TOKEN_MANY, at, block)?;
            }
            card.bus.exchange(0xFF);
            card.bus.exchange(TOKEN_STOP);
            card.bus.exchange(0xFF);
            card.settle(command::WRITE_MANY)
        })
    }
}

impl<B: ByteBus> BlockDevice for SdCard<B> {
    type Error = CardError;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), CardError> {
        self.inner.borrow_mut().read(blocks, start)
    }

    fn write(&self, blocks: &[Block], start: BlockIdx) -> Result<(), CardError> {
        self.inner.borrow_mut().write(blocks, start)
    }

    fn num_blocks(&self) -> Result<BlockCount, CardError> {
        Ok(BlockCount(self.inner.borrow().blocks))
    }
}
