//! Counts instructions: SysTick, under an emulator whose clock advances by a fixed time for each
//! instruction (`-icount`).
//!
//! So the count depends on nothing but the code. How many ticks an instruction takes is measured by
//! a loop whose instructions are known.

use core::arch::asm;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

const MASK: u32 = 0x00FF_FFFF;

/// The clock.
#[derive(Debug)]
pub struct Clock {
    /// Ticks of [`CALIBRATION`] instructions.
    ticks: u32,
    /// Ticks of measuring nothing.
    idle: u32,
}

/// Instructions of the loop that is measured: 4,000 rounds of two.
const CALIBRATION: u32 = 8_000;

impl Clock {
    /// Starts SysTick and measures it.
    #[must_use]
    pub fn start(mut systick: SYST) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(MASK);
        systick.clear_current();
        systick.enable_counter();
        let idle = ticks(|| ());
        let spent = ticks(|| {
            // SAFETY: counts a register down; touches nothing else.
            unsafe {
                asm!(
                    "2:",
                    "subs {count}, {count}, #1",
                    "bne 2b",
                    count = inout(reg) CALIBRATION / 2 => _,
                );
            }
        });
        Self { ticks: spent - idle, idle }
    }

    /// Instructions that `what` takes, to a few; at most about 900,000.
    pub fn instructions(&self, what: impl FnOnce()) -> u32 {
        let spent = u64::from(ticks(what).saturating_sub(self.idle));
        (spent * u64::from(CALIBRATION) / u64::from(self.ticks)) as u32
    }
}

fn ticks(what: impl FnOnce()) -> u32 {
    let begin = SYST::get_current();
    what();
    // It counts down, and around.
    begin.wrapping_sub(SYST::get_current()) & MASK
}
