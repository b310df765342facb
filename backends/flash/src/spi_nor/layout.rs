//! What the driver must know about a chip: its size, its pages, its erase commands, and how it is
//! addressed. From the chip's own table, from its identity, or from the caller.

use core::fmt;

use emberkv_core::GeometryError;

/// Bytes that three address bytes reach.
const THREE_BYTES: u64 = 1 << 24;

/// A chip's identity, as command 0x9F answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JedecId {
    /// Its maker, by JEDEC's list.
    pub maker: u8,
    /// The family, by the maker's choice.
    pub family: u8,
    /// The capacity, by the maker's choice; usually a power of two.
    pub capacity_code: u8,
}

impl fmt::Display for JedecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x} {:02x} {:02x}", self.maker, self.family, self.capacity_code)
    }
}

/// How addresses are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// Three bytes: up to 16 MiB.
    ThreeBytes,
    /// Four bytes, with commands that always take four. Survives a reset of the chip.
    FourByteCommands,
    /// Four bytes, in a mode that the driver enters when it opens the chip. A chip that loses its
    /// supply alone leaves it, and must be opened again.
    FourByteMode,
    /// Four bytes, which the chip knows no other way.
    FourBytesAlways,
}

/// An erase command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erase {
    /// Bytes that it erases; a power of two.
    pub bytes: u32,
    /// The command.
    pub command: u8,
}

/// What the driver must know about a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipLayout {
    /// Bytes of the chip.
    pub capacity: u64,
    /// Bytes that one program command takes at most, from one aligned page; a power of two.
    pub page_bytes: u32,
    /// The erase commands, in any order.
    pub erases: [Option<Erase>; 4],
    /// How addresses are sent.
    pub addressing: Addressing,
}

impl ChipLayout {
    /// The usual chip of this capacity: 256-byte pages, erases of 4 KiB and 64 KiB.
    #[must_use]
    pub const fn usual(capacity: u64) -> Self {
        Self {
            capacity,
            page_bytes: 256,
            erases: [
                Some(Erase { bytes: 4096, command: 0x20 }),
                Some(Erase { bytes: 64 << 10, command: 0xD8 }),
                None,
                None,
            ],
            addressing: if capacity <= THREE_BYTES {
                Addressing::ThreeBytes
            } else {
                Addressing::FourByteMode
            },
        }
    }

    /// The usual chip of the capacity that an identity tells, if it is one of the codes that all
    /// makers use alike: 0x10 (64 KiB) to 0x1C, of which some go on at 0x20 instead of 0x1A.
    pub(super) fn from_id(id: JedecId) -> Option<Self> {
        match id.capacity_code {
            code @ 0x10..=0x1C => Some(Self::usual(1 << code)),
            code @ 0x20..=0x22 => Some(Self::usual(1 << (code - 6))),
            _ => None,
        }
    }

    /// The erase commands that there are.
    pub(super) fn erases(&self) -> impl Iterator<Item = Erase> + '_ {
        self.erases.iter().flatten().copied()
    }

    /// Bytes of the smallest erase.
    pub(super) fn erase_unit(&self) -> u32 {
        self.erases().map(|erase| erase.bytes).min().unwrap_or(0)
    }

    /// The largest erase that begins at `at` and ends at `end` at most.
    pub(super) fn erase_for(&self, at: u64, end: u64) -> Option<Erase> {
        let fits = |erase: &Erase| {
            at.is_multiple_of(erase.bytes.into()) && at + u64::from(erase.bytes) <= end
        };
        self.erases().filter(fits).max_by_key(|erase| erase.bytes)
    }

    /// Bytes of an address.
    pub(super) const fn address_bytes(&self) -> usize {
        match self.addressing {
            Addressing::ThreeBytes => 3,
            _ => 4,
        }
    }

    /// Checks what the engine's geometry does not.
    pub(super) fn validate(&self) -> Result<(), GeometryError> {
        let fail = |field, value, want| Err(GeometryError { field, value, want });
        if !self.page_bytes.is_power_of_two() {
            return fail("page_bytes", self.page_bytes.into(), "a power of two");
        }
        if let Some(erase) = self.erases().find(|erase| !erase.bytes.is_power_of_two()) {
            return fail("erases.bytes", erase.bytes.into(), "a power of two");
        }
        if self.erases().next().is_none() {
            return fail("erases", 0, "at least one");
        }
        let (most, want) = match self.addressing {
            Addressing::ThreeBytes => (THREE_BYTES, "at most 16 MiB with three address bytes"),
            _ => (1 << 32, "at most 4 GiB"),
        };
        if self.capacity > most {
            return fail("capacity", self.capacity, want);
        }
        Ok(())
    }
}
