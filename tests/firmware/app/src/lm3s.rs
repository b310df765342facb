//! The `lm3s6965evb` board: its first SSI port with the SD card. Written for QEMU, by the manual of
//! the chip.

use crate::registers::Registers;
use crate::sd::ByteBus;

mod system {
    pub(super) const BASE: usize = 0x400F_E000;
    /// Clocks of SSI 0 and of GPIO A and D.
    pub(super) const RCGC1: usize = 0x104;
    pub(super) const RCGC2: usize = 0x108;
    pub(super) const SSI0: u32 = 1 << 4;
    pub(super) const GPIO_A_AND_D: u32 = 1 << 0 | 1 << 3;
}

mod gpio {
    pub(super) const A: usize = 0x4000_4000;
    pub(super) const D: usize = 0x4000_7000;
    /// Address bits 2..=9 select which pins a write reaches: this is pin 0.
    pub(super) const DATA_PIN_0: usize = 1 << 2;
    pub(super) const DIRECTION: usize = 0x400;
    pub(super) const ALTERNATE: usize = 0x420;
    pub(super) const DIGITAL: usize = 0x51C;
    pub(super) const PIN_0: u32 = 1;
    /// Clock, receive and transmit of SSI 0 are pins 2, 4 and 5 of port A.
    pub(super) const SSI_PINS: u32 = 1 << 2 | 1 << 4 | 1 << 5;
}

mod ssi {
    pub(super) const BASE: usize = 0x4000_8000;
    pub(super) const CONTROL_0: usize = 0x00;
    pub(super) const CONTROL_1: usize = 0x04;
    pub(super) const DATA: usize = 0x08;
    pub(super) const STATUS: usize = 0x0C;
    pub(super) const PRESCALE: usize = 0x10;
    pub(super) const EIGHT_BITS: u32 = 7;
    pub(super) const ENABLE: u32 = 1 << 1;
    pub(super) const RECEIVED: u32 = 1 << 2;
}

/// The SD card's place on SSI 0: chip select is pin 0 of GPIO D.
#[derive(Debug)]
pub struct CardBus {
    ssi: Registers,
    select: Registers,
}

impl CardBus {
    /// Sets the port up: 8 bits, mode 0, slow enough for a card that is not identified yet.
    #[must_use]
    pub fn take() -> Self {
        // SAFETY: by the chip's manual these peripherals lie there, and none of them moves memory.
        let (mut system, mut pins, mut select, mut ssi) = unsafe {
            (
                Registers::new(system::BASE),
                Registers::new(gpio::A),
                Registers::new(gpio::D),
                Registers::new(ssi::BASE),
            )
        };
        system.set(system::RCGC1, system::SSI0);
        system.set(system::RCGC2, system::GPIO_A_AND_D);
        pins.set(gpio::ALTERNATE, gpio::SSI_PINS);
        pins.set(gpio::DIGITAL, gpio::SSI_PINS);
        select.set(gpio::DIRECTION, gpio::PIN_0);
        select.set(gpio::DIGITAL, gpio::PIN_0);
        select.write(gpio::DATA_PIN_0, gpio::PIN_0);
        ssi.write(ssi::CONTROL_1, 0);
        ssi.write(ssi::PRESCALE, 32);
        ssi.write(ssi::CONTROL_0, ssi::EIGHT_BITS);
        ssi.write(ssi::CONTROL_1, ssi::ENABLE);
        Self { ssi, select }
    }
}

impl ByteBus for CardBus {
    fn select(&mut self) {
        self.select.write(gpio::DATA_PIN_0, 0);
    }

    fn deselect(&mut self) {
        self.select.write(gpio::DATA_PIN_0, gpio::PIN_0);
    }

    fn exchange(&mut self, byte: u8) -> u8 {
        self.ssi.write(ssi::DATA, byte.into());
        // The port answers each byte that it was given; one bit time bounds this.
        while self.ssi.read(ssi::STATUS) & ssi::RECEIVED == 0 {}
        self.ssi.read(ssi::DATA) as u8
    }
}
