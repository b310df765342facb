//! Which kind of medium a [`MemoryDevice`](crate::MemoryDevice) imitates.

use emberkv_core::{Caps, Geometry, GeometryError};

use crate::ERASED;

/// The rules of a medium. All units are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// A disk: whole sectors, overwritten at will.
    Block {
        /// Bytes of a sector: every unit of the geometry.
        sector: u32,
        /// Whether the device offers writes that are durable on return.
        durable_write: bool,
    },
    /// A NOR flash: erased bytes read `0xFF`, each write unit is programmed once per erase, in
    /// order.
    Nor {
        /// The smallest piece that is programmed, in bytes.
        write_unit: u32,
        /// The smallest piece that is erased, in bytes.
        erase_unit: u32,
    },
}

impl Rules {
    /// A disk with this sector and no durable writes.
    #[must_use]
    pub const fn block(sector: u32) -> Self {
        Self::Block { sector, durable_write: false }
    }

    /// A disk with this sector that offers durable writes (FUA).
    #[must_use]
    pub const fn block_with_durable_writes(sector: u32) -> Self {
        Self::Block { sector, durable_write: true }
    }

    pub(crate) const fn is_nor(self) -> bool {
        matches!(self, Self::Nor { .. })
    }

    pub(crate) const fn caps(self) -> Caps {
        match self {
            Self::Block { durable_write, .. } => Caps {
                needs_erase: false,
                erased: None,
                ordered: false,
                discard: false,
                durable_write,
            },
            Self::Nor { .. } => Caps {
                needs_erase: true,
                erased: Some(ERASED),
                ordered: true,
                discard: false,
                durable_write: false,
            },
        }
    }

    /// The geometry of a device with these rules; capacities are rounded down to whole erase units.
    pub(crate) fn geometry(
        self,
        capacity: u64,
        capacity_max: u64,
        transfer: u32,
    ) -> Result<Geometry, GeometryError> {
        let (read_unit, write_unit, erase_unit) = match self {
            Self::Block { sector, .. } => (sector, sector, sector),
            Self::Nor { write_unit, erase_unit } => (1, write_unit, erase_unit),
        };
        // A unit of zero is refused by `validate`; until then it must not divide by it.
        let whole = |bytes: u64| bytes - bytes % u64::from(erase_unit.max(1));
        let geometry = Geometry {
            capacity: whole(capacity),
            capacity_max: whole(capacity_max),
            read_unit,
            write_unit,
            erase_unit,
            tear_unit: write_unit,
            buffer_align: 1,
            max_transfer: transfer.max(write_unit),
        };
        geometry.validate()?;
        Ok(geometry)
    }
}
