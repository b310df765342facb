//! The chip's own table of parameters: JESD216, "serial flash discoverable parameters".
//!
//! Pure decoding; `chip` reads the bytes. Nothing here is trusted further than that a wrong value
//! gives a typed error or a layout that [`ChipLayout::validate`] refuses.
//!
//! ```text
//! 0   "SFDP", minor, major, last header's index, -     the header
//! 8   id low, minor, major, words, pointer 3, id high  one header for each table, 8 bytes each
//! ```

use super::layout::{Addressing, ChipLayout, Erase};

/// Bytes of the first header and of each table's header.
pub(super) const HEADER_BYTES: usize = 8;
/// Most tables that are looked at.
pub(super) const TABLES_MAX: u8 = 16;
/// Bytes of the basic table that are used: 16 words.
pub(super) const BASIC_BYTES: usize = 64;
/// Bytes of the table of four-byte commands.
pub(super) const FOUR_BYTE_BYTES: usize = 8;

const BASIC: u16 = 0xFF00;
const FOUR_BYTE: u16 = 0xFF84;
const SECTOR_MAP: u16 = 0xFF81;

/// How many tables there are; `None` if the chip has no tables.
pub(super) fn table_count(header: &[u8; HEADER_BYTES]) -> Option<u8> {
    header.starts_with(b"SFDP").then(|| header[6].saturating_add(1).min(TABLES_MAX))
}

/// Where a table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) pointer: u32,
    pub(super) bytes: usize,
}

/// The tables that matter. Later ones of a kind replace earlier ones, as the standard has it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tables {
    pub(super) basic: Option<Table>,
    pub(super) four_byte: Option<Table>,
    has_sector_map: Option<Table>,
}

impl Tables {
    pub(super) fn add(&mut self, header: &[u8; HEADER_BYTES]) {
        let [low, _, _, words, first, second, third, high] = *header;
        let table = Table {
            pointer: u32::from_le_bytes([first, second, third, 0]),
            bytes: usize::from(words) * 4,
        };
        match u16::from_le_bytes([low, high]) {
            BASIC => self.basic = Some(table),
            FOUR_BYTE => self.four_byte = Some(table),
            SECTOR_MAP => self.has_sector_map = Some(table),
            _ => {}
        }
    }

    /// The layout that the tables describe. Words that a table lacks are zeros.
    pub(super) fn layout(
        &self,
        basic: &[u8; BASIC_BYTES],
        four_byte: &[u8; FOUR_BYTE_BYTES],
    ) -> Result<ChipLayout, &'static str> {
        if self.has_sector_map.is_some() {
            return Err("its blocks have several sizes");
        }
        let basic_bytes = self.basic.ok_or("the basic table is missing")?.bytes;
        if basic_bytes < 9 * 4 {
            return Err("the basic table is too short");
        }
        let density = word(basic, 2);
        let bits = match density >> 31 {
            0 => u64::from(density) + 1,
            // A shift that a chip of this kind has: more than 2^35 bits need more than four bytes.
            _ => 1_u64.checked_shl(density & 0x7FFF_FFFF).unwrap_or(u64::MAX),
        };
        let capacity = bits / 8;
        let page_bytes = match word(basic, 11) >> 4 & 0xF {
            0 => 256,
            shift => 1 << shift,
        };
        let mut layout = ChipLayout {
            capacity,
            page_bytes,
            erases: erases(basic),
            addressing: Addressing::ThreeBytes,
        };
        if capacity > 1 << 24 || address_bytes(basic) == AddressBytes::Four {
            let commands = self.four_byte.is_some();
            address_four_bytes(&mut layout, basic, commands.then_some(four_byte))?;
        }
        if layout.erases().next().is_none() {
            return Err("no erase command can be used");
        }
        Ok(layout)
    }
}

/// A word of a table, counted from 1 as in the standard.
fn word(table: &[u8], index: usize) -> u32 {
    let at = (index - 1) * 4;
    match table.get(at..at + 4) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// The four erase types: size as a power of two, then the command.
fn erases(basic: &[u8; BASIC_BYTES]) -> [Option<Erase>; 4] {
    let words = [word(basic, 8), word(basic, 9)];
    core::array::from_fn(|index| {
        let [size_a, command_a, size_b, command_b] = words[index / 2].to_le_bytes();
        let (shift, command) =
            if index % 2 == 0 { (size_a, command_a) } else { (size_b, command_b) };
        (1..32).contains(&shift).then(|| Erase { bytes: 1 << shift, command })
    })
}

#[derive(PartialEq, Eq)]
enum AddressBytes {
    Three,
    Four,
}

fn address_bytes(basic: &[u8; BASIC_BYTES]) -> AddressBytes {
    match word(basic, 1) >> 17 & 0b11 {
        0b10 => AddressBytes::Four,
        _ => AddressBytes::Three,
    }
}

/// How a chip beyond 16 MiB is reached, best way first.
fn address_four_bytes(
    layout: &mut ChipLayout,
    basic: &[u8; BASIC_BYTES],
    commands: Option<&[u8; FOUR_BYTE_BYTES]>,
) -> Result<(), &'static str> {
    if address_bytes(basic) == AddressBytes::Four {
        layout.addressing = Addressing::FourBytesAlways;
        return Ok(());
    }
    // Fast read (bit 1) and page program (bit 6); erase types from bit 9 on.
    const READ_AND_PROGRAM: u32 = 1 << 1 | 1 << 6;
    if let Some(table) = commands
        && word(table, 1) & READ_AND_PROGRAM == READ_AND_PROGRAM
    {
        let (support, erase_commands) = (word(table, 1) >> 9, word(table, 2).to_le_bytes());
        let mut erases = layout.erases;
        for (index, erase) in erases.iter_mut().enumerate() {
            *erase = erase
                .filter(|_| support >> index & 1 == 1)
                .map(|erase| Erase { command: erase_commands[index], ..erase });
        }
        if erases.iter().any(Option::is_some) {
            layout.erases = erases;
            layout.addressing = Addressing::FourByteCommands;
            return Ok(());
        }
    }
    // Ways to enter the mode: bits 24 (a command) and 25 (the same behind write-enable). A table of
    // the standard's first edition does not tell, and chips of that time have the command.
    let ways = word(basic, 16) >> 24;
    if ways & 0b11 != 0 || ways == 0 {
        layout.addressing = Addressing::FourByteMode;
        return Ok(());
    }
    if ways & 1 << 6 != 0 {
        layout.addressing = Addressing::FourBytesAlways;
        return Ok(());
    }
    Err("no known way to address more than 16 MiB")
}
