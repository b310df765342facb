//! Memory-mapped registers: the one place that touches them.

/// The registers of a peripheral.
#[derive(Debug)]
pub struct Registers {
    base: usize,
}

impl Registers {
    /// The registers from `base` on.
    ///
    /// # Safety
    /// A peripheral's registers lie there, aligned to four bytes, and reading or writing them
    /// changes no memory of this program.
    #[must_use]
    pub const unsafe fn new(base: usize) -> Self {
        Self { base }
    }

    /// Reads the register `offset` bytes behind the base.
    #[must_use]
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: `new`'s caller promised that registers lie there.
        unsafe { ((self.base + offset) as *const u32).read_volatile() }
    }

    /// Writes the register `offset` bytes behind the base.
    pub fn write(&mut self, offset: usize, value: u32) {
        // SAFETY: as for `read`; writing changes the peripheral only.
        unsafe { ((self.base + offset) as *mut u32).write_volatile(value) }
    }

    /// Sets bits of a register.
    pub fn set(&mut self, offset: usize, bits: u32) {
        self.write(offset, self.read(offset) | bits);
    }
}
