//! The chip's commands and their order: what the blocking and the asynchronous driver share.
//!
//! Every command that programs or erases goes: wait until idle, write-enable, check the latch, the
//! command, poll, check the latch is gone. `MaybeBusy` is set before the command is sent and taken
//! back by a poll that says idle, so an error or a dropped future in between never leads to a
//! command that a busy chip would ignore.

use core::ops::Range;

use embedded_hal::spi::Operation;
use emberkv_core::{Caps, Durability, Geometry, GeometryError};

use super::bus::Bus;
use super::layout::{Addressing, ChipLayout, JedecId};
use super::sfdp::{self, BASIC_BYTES, FOUR_BYTE_BYTES, HEADER_BYTES, Tables};
use super::{Options, SpiNorError, Wait};
use crate::area::{Area, NOR, TRANSFER_BYTES};
use crate::verify::{PIECE, Piece, Verify, Want};

mod command {
    pub(super) const WRITE_DISABLE: u8 = 0x04;
    pub(super) const READ_STATUS: u8 = 0x05;
    pub(super) const WRITE_ENABLE: u8 = 0x06;
    pub(super) const PROGRAM: u8 = 0x02;
    pub(super) const PROGRAM_FOUR: u8 = 0x12;
    pub(super) const READ: u8 = 0x0B;
    pub(super) const READ_FOUR: u8 = 0x0C;
    pub(super) const READ_TABLE: u8 = 0x5A;
    pub(super) const READ_ID: u8 = 0x9F;
    pub(super) const WAKE: u8 = 0xAB;
    pub(super) const ENTER_FOUR_BYTE_MODE: u8 = 0xB7;
}

/// The status register: busy, write-enabled, and the protection bits that all makers have.
const BUSY: u8 = 1 << 0;
const WRITE_ENABLED: u8 = 1 << 1;
const PROTECTED: u8 = 0b111 << 2;

/// The longest time that a chip takes to wake, as manuals have it, is 30 us.
const WAKE_US: u32 = 50;

/// Most pieces of slices that are joined into one page command.
const PARTS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// A command was sent that the chip may still work on.
    MaybeBusy,
}

/// A chip, found and ready.
#[derive(Debug)]
pub(super) struct Chip<B> {
    pub(super) bus: B,
    id: JedecId,
    layout: ChipLayout,
    area: Area,
    state: State,
    read_bytes_max: usize,
    verify: Verify,
    program_wait: Wait,
    erase_wait: Wait,
}

/// Room for a command, an address of four bytes and a dummy byte.
struct Frame {
    bytes: [u8; 6],
    len: usize,
}

impl Frame {
    fn new(command: u8, address: u64, address_bytes: usize) -> Self {
        // Addresses end below 4 GiB: the layout says so.
        let address = (address as u32).to_be_bytes();
        let mut bytes = [0; 6];
        bytes[0] = command;
        bytes[1..=address_bytes].copy_from_slice(&address[4 - address_bytes..]);
        Self { bytes, len: 1 + address_bytes }
    }

    /// With the byte that a fast read waits for.
    fn with_dummy(mut self) -> Self {
        self.len += 1;
        self
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

type Outcome<T, B> = Result<T, SpiNorError<<B as Bus>::Error>>;

fn bus_failed<E>(address: u64) -> impl FnOnce(E) -> SpiNorError<E> {
    move |error| SpiNorError::Bus { address, error }
}

impl<B: Bus> Chip<B> {
    /// Finds the chip. On the way out nothing on it has changed.
    pub(super) async fn open(mut bus: B, options: &Options) -> Outcome<Self, B> {
        bus.transaction(&mut [Operation::Write(&[command::WAKE])]).await.map_err(bus_failed(0))?;
        bus.wait_us(WAKE_US).await;
        // An earlier boot may have left an erase running, and a busy chip does not tell its
        // identity. All ones is no status of a chip: nobody drives the line.
        if read_status(&mut bus, 0).await? != 0xFF {
            wait_idle(&mut bus, options.erase_wait, 0).await?;
        }
        let id = read_id(&mut bus).await?;
        if let Some(want) = options.expect.filter(|want| *want != id) {
            return Err(SpiNorError::WrongChip { want, found: id });
        }
        let layout = match options.layout {
            Some(layout) => layout,
            None => match read_tables(&mut bus, id).await? {
                Some(layout) => layout,
                None => ChipLayout::from_id(id).ok_or(SpiNorError::UnknownChip { found: id })?,
            },
        };
        layout.validate()?;
        let area = area(&layout, options)?;
        if layout.addressing == Addressing::FourByteMode {
            // Some chips want write-enable before, and some keep it after.
            for byte in
                [command::WRITE_ENABLE, command::ENTER_FOUR_BYTE_MODE, command::WRITE_DISABLE]
            {
                bus.transaction(&mut [Operation::Write(&[byte])]).await.map_err(bus_failed(0))?;
            }
        }
        Ok(Self {
            bus,
            id,
            layout,
            area,
            state: State::Idle,
            read_bytes_max: options.read_bytes_max,
            verify: options.verify,
            program_wait: options.program_wait,
            erase_wait: options.erase_wait,
        })
    }

    pub(super) const fn id(&self) -> JedecId {
        self.id
    }

    pub(super) const fn layout(&self) -> &ChipLayout {
        &self.layout
    }

    pub(super) const fn geometry(&self) -> Geometry {
        self.area.geometry()
    }

    pub(super) const fn caps(&self) -> Caps {
        self.area.caps()
    }

    pub(super) async fn read(&mut self, address: u64, buffer: &mut [u8]) -> Outcome<(), B> {
        let at = self.area.read(address, buffer)?;
        self.idle(at).await?;
        self.read_at(at, buffer).await
    }

    pub(super) async fn write(
        &mut self,
        address: u64,
        slices: &[&[u8]],
        durability: Durability,
    ) -> Outcome<(), B> {
        let mut start = self.area.write(address, slices, durability)?;
        let page = u64::from(self.layout.page_bytes);
        let mut parts: [&[u8]; PARTS] = [&[]; PARTS];
        let (mut count, mut at) = (0, start);
        for slice in slices {
            let mut rest = *slice;
            // Every round takes a byte at least.
            while !rest.is_empty() {
                let room = (page - at % page).min(rest.len() as u64);
                let (part, after) = rest.split_at(room as usize);
                parts[count] = part;
                (count, rest) = (count + 1, after);
                at += room;
                if at.is_multiple_of(page) || count == PARTS {
                    self.program(start, &parts[..count]).await?;
                    (start, count) = (at, 0);
                }
            }
        }
        if count > 0 { self.program(start, &parts[..count]).await } else { Ok(()) }
    }

    pub(super) async fn erase(&mut self, range: Range<u64>) -> Outcome<(), B> {
        let Range { start: mut at, end } = self.area.erase(&range)?;
        // Every round erases a unit at least: both ends are multiples of the smallest one.
        while at < end {
            let Some(erase) = self.layout.erase_for(at, end) else {
                return Err(
                    GeometryError { field: "erases", value: at, want: "one that fits" }.into()
                );
            };
            let status = self.enable_write(at).await?;
            self.state = State::MaybeBusy;
            let frame = Frame::new(erase.command, at, self.layout.address_bytes());
            self.send(at, &mut [Operation::Write(frame.as_slice())]).await?;
            self.executed(at, self.erase_wait).await?;
            let bytes = u64::from(erase.bytes);
            self.check(at, Want::Erased(0xFF, bytes), status).await?;
            at += bytes;
        }
        Ok(())
    }

    /// One page command: the parts lie behind one another, inside one page.
    async fn program(&mut self, at: u64, parts: &[&[u8]]) -> Outcome<(), B> {
        let status = self.enable_write(at).await?;
        self.state = State::MaybeBusy;
        let command = match self.layout.addressing {
            Addressing::FourByteCommands => command::PROGRAM_FOUR,
            _ => command::PROGRAM,
        };
        let frame = Frame::new(command, at, self.layout.address_bytes());
        let mut operations: [Operation<'_, u8>; PARTS + 1] =
            core::array::from_fn(|index| match index.checked_sub(1) {
                None => Operation::Write(frame.as_slice()),
                Some(part) => Operation::Write(parts.get(part).copied().unwrap_or(&[])),
            });
        self.send(at, &mut operations[..=parts.len()]).await?;
        self.executed(at, self.program_wait).await?;
        let mut place = at;
        for part in parts {
            self.check(place, Want::Bytes(part), status).await?;
            place += part.len() as u64;
        }
        Ok(())
    }

    /// Waits until the chip is idle and lets it take one command that writes. The answer is the
    /// status register.
    async fn enable_write(&mut self, at: u64) -> Outcome<u8, B> {
        self.idle(at).await?;
        self.send(at, &mut [Operation::Write(&[command::WRITE_ENABLE])]).await?;
        let status = read_status(&mut self.bus, at).await?;
        if status & (WRITE_ENABLED | BUSY) == WRITE_ENABLED {
            Ok(status)
        } else {
            Err(SpiNorError::WriteDisabled { address: at, status })
        }
    }

    /// Waits until the chip has done a command that writes. A chip that ignores one keeps the
    /// latch.
    async fn executed(&mut self, at: u64, wait: Wait) -> Outcome<(), B> {
        let status = wait_idle(&mut self.bus, wait, at).await?;
        self.state = State::Idle;
        match (status & WRITE_ENABLED, status & PROTECTED) {
            (0, _) => Ok(()),
            (_, 0) => Err(SpiNorError::NotExecuted { address: at, status }),
            _ => Err(SpiNorError::Protected { address: at, status }),
        }
    }

    /// Waits for what an earlier operation may have left running.
    async fn idle(&mut self, at: u64) -> Outcome<(), B> {
        if self.state == State::MaybeBusy {
            wait_idle(&mut self.bus, self.erase_wait, at).await?;
            self.state = State::Idle;
        }
        Ok(())
    }

    async fn send(&mut self, at: u64, operations: &mut [Operation<'_, u8>]) -> Outcome<(), B> {
        self.bus.transaction(operations).await.map_err(bus_failed(at))
    }

    /// Reads, in transactions of what the bus takes.
    async fn read_at(&mut self, start: u64, buffer: &mut [u8]) -> Outcome<(), B> {
        let command = match self.layout.addressing {
            Addressing::FourByteCommands => command::READ_FOUR,
            _ => command::READ,
        };
        let mut at = start;
        for part in buffer.chunks_mut(self.read_bytes_max) {
            let bytes = part.len() as u64;
            let frame = Frame::new(command, at, self.layout.address_bytes()).with_dummy();
            let mut operations = [Operation::Write(frame.as_slice()), Operation::Read(part)];
            self.send(at, &mut operations).await?;
            at += bytes;
        }
        Ok(())
    }

    /// Reads back, if this chip is not trusted, or protects some of its blocks: a chip may ignore a
    /// command for those without a word.
    async fn check(&mut self, start: u64, want: Want<'_>, status: u8) -> Outcome<(), B> {
        if self.verify == Verify::Trust && status & PROTECTED == 0 {
            return Ok(());
        }
        let mut piece = Piece([0; PIECE]);
        let mut offset = 0;
        while offset < want.len() {
            let bytes = (want.len() - offset).min(PIECE as u64);
            let found = &mut piece.0[..bytes as usize];
            self.read_at(start + offset, found).await?;
            if let Some(index) = want.differs(offset, found) {
                let address = start + offset + index as u64;
                return Err(match status & PROTECTED {
                    0 => SpiNorError::Mismatch { address },
                    _ => SpiNorError::Protected { address, status },
                });
            }
            offset += bytes;
        }
        Ok(())
    }
}

/// The geometry of the partition on this chip.
fn area(layout: &ChipLayout, options: &Options) -> Result<Area, GeometryError> {
    let fail = |field, value, want| Err(GeometryError { field, value, want });
    if options.read_bytes_max == 0 {
        return fail("read_bytes_max", 0, "at least 1");
    }
    if options.write_unit > layout.page_bytes {
        return fail("write_unit", options.write_unit.into(), "at most a page");
    }
    let geometry = Geometry {
        // The partition's, which `Area` puts in.
        capacity: 0,
        capacity_max: 0,
        read_unit: 1,
        write_unit: options.write_unit,
        erase_unit: layout.erase_unit(),
        tear_unit: options.tear_unit,
        buffer_align: 1,
        max_transfer: TRANSFER_BYTES,
    };
    let partition = options.partition.clone().unwrap_or(0..layout.capacity);
    Area::new(partition, layout.capacity, geometry, NOR)
}

async fn read_status<B: Bus>(bus: &mut B, at: u64) -> Outcome<u8, B> {
    let mut status = [0];
    let mut operations = [Operation::Write(&[command::READ_STATUS]), Operation::Read(&mut status)];
    bus.transaction(&mut operations).await.map_err(bus_failed(at))?;
    Ok(status[0])
}

/// Polls until the chip is idle; the answer is the status register then.
async fn wait_idle<B: Bus>(bus: &mut B, wait: Wait, at: u64) -> Outcome<u8, B> {
    for _ in 0..wait.polls {
        let status = read_status(bus, at).await?;
        if status & BUSY == 0 {
            return Ok(status);
        }
        bus.wait_us(wait.interval_us).await;
    }
    Err(SpiNorError::Busy { address: at })
}

async fn read_id<B: Bus>(bus: &mut B) -> Outcome<JedecId, B> {
    let mut id = [0; 3];
    let mut operations = [Operation::Write(&[command::READ_ID]), Operation::Read(&mut id)];
    bus.transaction(&mut operations).await.map_err(bus_failed(0))?;
    match id {
        [0, 0, 0] | [0xFF, 0xFF, 0xFF] => Err(SpiNorError::NoChip),
        [maker, family, capacity_code] => Ok(JedecId { maker, family, capacity_code }),
    }
}

async fn read_table<B: Bus>(bus: &mut B, pointer: u32, buffer: &mut [u8]) -> Outcome<(), B> {
    let frame = Frame::new(command::READ_TABLE, pointer.into(), 3).with_dummy();
    let mut operations = [Operation::Write(frame.as_slice()), Operation::Read(buffer)];
    bus.transaction(&mut operations).await.map_err(bus_failed(pointer.into()))
}

/// The layout that the chip's tables tell, if it has tables.
async fn read_tables<B: Bus>(bus: &mut B, id: JedecId) -> Outcome<Option<ChipLayout>, B> {
    let mut header = [0; HEADER_BYTES];
    read_table(bus, 0, &mut header).await?;
    let Some(count) = sfdp::table_count(&header) else { return Ok(None) };
    let mut tables = Tables::default();
    for index in 1..=u32::from(count) {
        read_table(bus, index * HEADER_BYTES as u32, &mut header).await?;
        tables.add(&header);
    }
    let (mut basic, mut four_byte) = ([0; BASIC_BYTES], [0; FOUR_BYTE_BYTES]);
    if let Some(table) = tables.basic {
        let bytes = table.bytes.min(BASIC_BYTES);
        read_table(bus, table.pointer, &mut basic[..bytes]).await?;
    }
    if let Some(table) = tables.four_byte {
        let bytes = table.bytes.min(FOUR_BYTE_BYTES);
        read_table(bus, table.pointer, &mut four_byte[..bytes]).await?;
    }
    let layout = tables.layout(&basic, &four_byte);
    layout.map(Some).map_err(|what| SpiNorError::Table { found: id, what })
}
