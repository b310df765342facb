//! What can be wrong with a SPI NOR chip: each thing has its own error, which names the place and
//! has a class that the engine decides by.

use std::cell::RefCell;
use std::rc::Rc;

use emberkv_core::{BlockDevice, DeviceError, DeviceErrorKind, Durability, GeometryError, Store};
use emberkv_core::{Error, required_bytes};
use emberkv_flash::spi_nor::{Addressing, ChipLayout, Erase, JedecId, Options, SpiNorError, Wait};
use emberkv_flash::{SpiNor, Verify};

use crate::chip::{BusError, Chip, FakeDelay, FakeSpi, Ignores, Parameters};
use crate::harness::{check, config};

type Device = SpiNor<FakeSpi, FakeDelay>;
type Failure = SpiNorError<BusError>;

const ID: [u8; 3] = [0xEF, 0x40, 0x14];
const FOUND: JedecId = JedecId { maker: 0xEF, family: 0x40, capacity_code: 0x14 };

fn plain() -> Chip {
    Chip::new(1 << 20, ID)
}

fn try_open(chip: Chip, options: &Options) -> (Rc<RefCell<Chip>>, Result<Device, Failure>) {
    let chip = chip.shared();
    let device = SpiNor::open(FakeSpi(chip.clone()), FakeDelay, options);
    (chip, device)
}

fn open_error(chip: Chip, options: &Options) -> Failure {
    let (chip, device) = try_open(chip, options);
    // Whatever is wrong: nothing was written to find out.
    assert!(!chip.borrow().executed.iter().any(|command| matches!(command, 0x06 | 0x02 | 0x20)));
    device.map(|_| ()).expect_err("it must be refused")
}

#[test]
fn no_chip_a_wrong_chip_and_an_unknown_chip_are_told_apart() {
    let default = Options::default();
    for nothing in [[0xFF; 3], [0; 3]] {
        let error = open_error(Chip { id: nothing, ..plain() }, &default);
        assert_eq!((error, error.kind()), (SpiNorError::NoChip, DeviceErrorKind::Gone));
    }
    let want = JedecId { maker: 0xC2, ..FOUND };
    let error = open_error(plain(), &Options { expect: Some(want), ..default.clone() });
    assert_eq!(error, SpiNorError::WrongChip { want, found: FOUND });
    assert_eq!(error.to_string(), "the chip is ef 40 14, must be c2 40 14");
    let options = Options { expect: Some(FOUND), ..default.clone() };
    assert!(try_open(plain(), &options).1.is_ok());
    let odd = Chip { id: [0x1F, 0x86, 0x01], ..plain() };
    let found = JedecId { maker: 0x1F, family: 0x86, capacity_code: 0x01 };
    assert_eq!(open_error(odd, &default), SpiNorError::UnknownChip { found });
}

#[test]
fn a_chip_that_cannot_tell_its_layout_works_with_a_given_one() {
    let layout = ChipLayout { page_bytes: 128, ..ChipLayout::usual(1 << 20) };
    let odd = Chip { id: [0x1F, 0x86, 0x01], page: 128, ..plain() };
    let options = Options { layout: Some(layout), ..Options::default() };
    let (chip, device) = try_open(odd, &options);
    check(&mut device.expect("the layout is given"));
    assert_eq!(chip.borrow().sins, []);
}

#[test]
fn tables_that_cannot_be_used_say_why() {
    let usual = || Parameters::usual(20);
    let of = |table: Vec<u8>| open_error(Chip { table, ..plain() }, &Options::default());
    let what = |error: Failure| match error {
        SpiNorError::Table { found: FOUND, what } => what,
        other => panic!("{other}"),
    };
    let map = Parameters { sector_map: Some(()), ..usual() };
    assert_eq!(what(of(map.encode())), "its blocks have several sizes");
    let none = Parameters { erases: [(0, 0); 4], ..usual() };
    assert_eq!(what(of(none.encode())), "no erase command can be used");
    let no_way = Parameters { ways: 0x08, ..Parameters::usual(25) };
    assert_eq!(what(of(no_way.encode())), "no known way to address more than 16 MiB");
    let mut short = usual().encode();
    short[8 + 3] = 8;
    assert_eq!(what(of(short)), "the basic table is too short");
    let mut other = usual().encode();
    other[8] = 0x55;
    assert_eq!(what(of(other)), "the basic table is missing");
    let huge = of(Parameters::usual(40).encode());
    assert!(matches!(huge, SpiNorError::Geometry(error) if error.field == "capacity"), "{huge}");
}

#[test]
fn no_table_of_parameters_makes_the_driver_panic() {
    // Every byte of a good table, wrong in every bit and in all of them.
    let good = Parameters { four_byte: Some((0xFFFF_FFFF, [1, 2, 3, 4])), ..Parameters::usual(25) };
    let good = good.encode();
    let (mut opened, mut refused) = (0, 0);
    for at in 0..good.len() {
        for mask in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            let mut table = good.clone();
            table[at] ^= mask;
            match try_open(Chip { table, ..Chip::new(4096, ID) }, &Options::default()).1 {
                Ok(device) => {
                    device.geometry().validate().expect("an open device has a valid geometry");
                    opened += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(opened > 100 && refused > 50, "{opened} opened, {refused} refused");
}

#[test]
fn options_that_do_not_fit_the_chip_are_refused_by_name() {
    let field = |options: &Options| match open_error(plain(), options) {
        SpiNorError::Geometry(GeometryError { field, .. }) => field,
        other => panic!("{other}"),
    };
    let usual = Options::default;
    assert_eq!(field(&Options { partition: Some(0..2 << 20), ..usual() }), "partition.end");
    assert_eq!(field(&Options { partition: Some(16..4112), ..usual() }), "partition.start");
    assert_eq!(field(&Options { write_unit: 3, ..usual() }), "write_unit");
    assert_eq!(field(&Options { write_unit: 512, tear_unit: 512, ..usual() }), "write_unit");
    assert_eq!(field(&Options { tear_unit: 8, ..usual() }), "tear_unit");
    assert_eq!(field(&Options { read_bytes_max: 0, ..usual() }), "read_bytes_max");
    let layout = |layout| Options { layout: Some(layout), ..usual() };
    let base = ChipLayout::usual(1 << 20);
    assert_eq!(field(&layout(ChipLayout { erases: [None; 4], ..base })), "erases");
    let odd = [Some(Erase { bytes: 5000, command: 0x20 }), None, None, None];
    assert_eq!(field(&layout(ChipLayout { erases: odd, ..base })), "erases.bytes");
    assert_eq!(field(&layout(ChipLayout { page_bytes: 0, ..base })), "page_bytes");
    let three = ChipLayout { capacity: 32 << 20, addressing: Addressing::ThreeBytes, ..base };
    assert_eq!(field(&layout(three)), "capacity");
}

#[test]
fn a_chip_that_stays_busy_is_given_up_after_the_last_poll_and_waited_for_again() {
    let wait = Wait { interval_us: 1, polls: 50 };
    let options = Options { program_wait: wait, erase_wait: wait, ..Options::default() };
    let error = open_error(Chip { busy_left: u32::MAX, ..plain() }, &options);
    assert_eq!(
        (error, error.kind()),
        (SpiNorError::Busy { address: 0 }, DeviceErrorKind::Transient)
    );

    let (chip, device) = try_open(plain().blank(), &options);
    let mut device = device.expect("it opens");
    chip.borrow_mut().busy_polls = u32::MAX;
    let before = chip.borrow().transactions;
    let result = device.write(8192, &[&[0; 16]], Durability::Buffered);
    assert_eq!(result, Err(SpiNorError::Busy { address: 8192 }));
    // Write-enable, its check, the command, and the polls.
    assert_eq!(chip.borrow().transactions - before, 3 + 50);
    assert_eq!(device.read(0, &mut [0; 4]), Err(SpiNorError::Busy { address: 0 }));
    assert_eq!(device.erase(0..4096), Err(SpiNorError::Busy { address: 0 }));
    chip.borrow_mut().busy_left = 10;
    assert_eq!(device.read(0, &mut [0; 4]), Ok(()));
    // Nothing but the status was asked while the chip was busy.
    assert_eq!(chip.borrow().sins, []);
}

#[test]
fn a_chip_that_ignores_write_enable_is_an_error_before_the_command() {
    let (chip, device) = try_open(Chip { locked: true, ..plain() }, &Options::default());
    let mut device = device.expect("it opens");
    let error = device.erase(4096..8192).expect_err("it is locked");
    assert_eq!(error, SpiNorError::WriteDisabled { address: 4096, status: 0 });
    assert_eq!(error.kind(), DeviceErrorKind::ReadOnly);
    let result = device.write(4096, &[&[0; 16]], Durability::Buffered);
    assert_eq!(result, Err(SpiNorError::WriteDisabled { address: 4096, status: 0 }));
    assert_eq!(chip.borrow().sins, []);
}

#[test]
fn protected_blocks_are_an_error_however_the_chip_ignores_commands() {
    let protected = 256 << 10..512 << 10;
    for verify in [Verify::ReadBack, Verify::Trust] {
        for ignores in [Ignores::KeepingTheLatch, Ignores::ClearingTheLatch] {
            let protection_bits = 0b100 << 2;
            let chip = Chip { protected: protected.clone(), protection_bits, ignores, ..plain() };
            let (chip, device) = try_open(chip, &Options { verify, ..Options::default() });
            let mut device = device.expect("it opens");
            assert_eq!(device.erase(0..128 << 10), Ok(()));
            assert_eq!(device.write(0, &[&[1; 64]], Durability::Buffered), Ok(()));
            let error = device.erase(192 << 10..320 << 10).expect_err("it is protected");
            let SpiNorError::Protected { address, status } = error else { panic!("{error}") };
            assert_eq!((address, status & 0b11100), (256 << 10, protection_bits));
            assert_eq!(error.kind(), DeviceErrorKind::ReadOnly);
            let result = device.write(300 << 10, &[&[1; 64]], Durability::Buffered);
            let Err(SpiNorError::Protected { address, .. }) = result else { panic!("{result:?}") };
            assert_eq!(address, 300 << 10);
            assert!(chip.borrow().cells[protected.clone()].iter().all(|cell| *cell == 0x6D));
        }
    }
    // Locked by other means than the status register: the latch that stays shows it.
    let options = Options { verify: Verify::Trust, ..Options::default() };
    let (_, device) = try_open(Chip { protected, ..plain() }, &options);
    let error = device.expect("it opens").erase(256 << 10..260 << 10).expect_err("it is locked");
    assert_eq!(error, SpiNorError::NotExecuted { address: 256 << 10, status: 0b10 });
}

#[test]
fn a_worn_block_is_found_by_reading_back() {
    let (chip, device) = try_open(plain(), &Options::default());
    let mut device = device.expect("it opens");
    device.erase(0..8192).expect("it erases");
    chip.borrow_mut().worn = 4096..8192;
    let slices: [&[u8]; 2] = [&[0xFF; 16], &[0x0F; 16]];
    let error = device.write(4096, &slices, Durability::Buffered).expect_err("it is worn");
    assert_eq!(error, SpiNorError::Mismatch { address: 4112 });
    assert_eq!(error.kind(), DeviceErrorKind::Media);
    chip.borrow_mut().cells[6000] = 0x7F;
    assert_eq!(device.erase(4096..8192), Err(SpiNorError::Mismatch { address: 6000 }));
}

#[test]
fn a_bus_error_at_any_transaction_is_typed_and_leaves_the_driver_usable() {
    let (chip, _) = try_open(plain(), &Options::default());
    let transactions = chip.borrow().transactions;
    for fault in 1..=transactions {
        let error = open_error(Chip { bus_fault: Some(fault), ..plain() }, &Options::default());
        assert_eq!(error.kind(), DeviceErrorKind::Transient);
        assert!(matches!(error, SpiNorError::Bus { error: BusError, .. }));
    }
    let mut faults = 0;
    for fault in 1..400 {
        let (chip, device) = try_open(plain(), &Options::default());
        let mut device = device.expect("it opens");
        let first = chip.borrow().transactions;
        chip.borrow_mut().bus_fault = Some(first + fault);
        let data = [0xA5; 300 / 16 * 16];
        let mut all = || {
            device.erase(4096..8192)?;
            device.write(4096, &[&data], Durability::Buffered)?;
            device.read(4096, &mut [0; 300])
        };
        match all() {
            Ok(()) => break,
            Err(SpiNorError::Bus { address, error: BusError }) => {
                assert!((4096..8192).contains(&address));
                faults += 1;
            }
            Err(other) => panic!("{other}"),
        }
        // Erased again, as the engine does before it writes such a range again.
        all().expect("it goes on");
        assert_eq!(chip.borrow().sins, []);
    }
    assert!(faults > 30, "{faults}");
}

#[test]
fn a_store_on_a_protected_chip_says_so_and_keeps_serving_what_it_has() {
    let (chip, device) = try_open(plain(), &Options::default());
    let device = device.expect("it opens");
    let config = config(&device.geometry());
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, &config).expect("it formats");
    store.put(b"key", b"value").expect("it writes");
    store.sync().expect("it syncs");
    {
        let mut chip = chip.borrow_mut();
        (chip.protected, chip.protection_bits) = (0..1 << 20, 0b111 << 2);
    }
    let error =
        store.put(b"key", b"other").and_then(|()| store.sync()).expect_err("it is protected");
    assert!(matches!(error, Error::Device(_) | Error::Poisoned), "{error}");
    drop(store);
    {
        let mut chip = chip.borrow_mut();
        (chip.protected, chip.protection_bits) = (0..0, 0);
    }
    let device = SpiNor::open(FakeSpi(chip), FakeDelay, &Options::default()).expect("it opens");
    let mut store = Store::open(device, &mut arena, &config).expect("it opens");
    let mut buffer = [0; 16];
    let found = store.get(b"key", &mut buffer).expect("it reads");
    assert_eq!(found, Some(&b"value"[..]));
}
