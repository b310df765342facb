//! Memory for a store, known when a program is built: for microcontrollers, where it lies in a static.
//!
//! ```
//! use emberkv_core::{Arena, Config, Geometry, arena, arena_bytes};
//!
//! const CONFIG: Config = Config::mcu(*b"from a generator of random bytes", 4096, 200);
//! const FLASH: Geometry = Geometry {
//!     capacity: 64 << 10,
//!     capacity_max: 64 << 10,
//!     read_unit: 1,
//!     write_unit: 4,
//!     erase_unit: 4096,
//!     tear_unit: 4,
//!     buffer_align: 4,
//!     max_transfer: 4096,
//! };
//! // In firmware `static ARENA: StaticCell<..> = StaticCell::new();`, or `cortex_m::singleton!`.
//! let mut arena = arena!(CONFIG, FLASH);
//! assert_eq!(arena.bytes_mut().len(), arena_bytes(&CONFIG, &FLASH));
//! ```

/// So many bytes, aligned for every device.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Arena<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Arena<BYTES> {
    /// Zeros, so that a static of it takes no flash.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; BYTES])
    }

    /// What `Store::open` takes.
    pub const fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl<const BYTES: usize> Default for Arena<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// An [`Arena`](crate::Arena) for a configuration and a geometry, both constants.
#[macro_export]
macro_rules! arena {
    ($config:expr, $geometry:expr) => {
        $crate::Arena::<{ $crate::arena_bytes(&$config, &$geometry) }>::new()
    };
}
