//! The SPI NOR driver over the imitated chip: finding it, the contract, stores, addresses of three
//! and four bytes. No run here may make the chip write down a sin.

use std::cell::RefCell;
use std::rc::Rc;

use emberkv_core::{AsyncBlockDevice, BlockDevice, Durability};
use emberkv_flash::spi_nor::{Addressing, ChipLayout, Erase, JedecId, Options};
use emberkv_flash::{AsyncSpiNor, SpiNor, Verify};

use crate::chip::{Chip, FakeDelay, FakeSpi, Mode, Parameters};
use crate::harness::{block_on, check, check_async, live, live_async};

const MIB: usize = 1 << 20;

type Shared = Rc<RefCell<Chip>>;

fn open(chip: &Shared, options: &Options) -> SpiNor<FakeSpi, FakeDelay> {
    let device = SpiNor::open(FakeSpi(chip.clone()), FakeDelay, options);
    device.unwrap_or_else(|error| panic!("{error}"))
}

fn open_async(chip: &Shared, options: &Options) -> AsyncSpiNor<FakeSpi, FakeDelay> {
    let (device, waits) = block_on(AsyncSpiNor::open(FakeSpi(chip.clone()), FakeDelay, options));
    assert!(waits > 3);
    device.unwrap_or_else(|error| panic!("{error}"))
}

fn assert_without_sin(chip: &Shared) {
    assert_eq!(chip.borrow().sins, []);
}

/// A megabyte without a table of parameters.
fn plain() -> Chip {
    Chip::new(MIB, [0xEF, 0x40, 0x14])
}

#[test]
fn a_chip_without_tables_conforms_blocking_and_asynchronous() {
    let chip = plain().shared();
    let mut device = open(&chip, &Options::default());
    assert_eq!(device.id(), JedecId { maker: 0xEF, family: 0x40, capacity_code: 0x14 });
    assert_eq!(*device.layout(), ChipLayout::usual(MIB as u64));
    let geometry = device.geometry();
    assert_eq!((geometry.write_unit, geometry.erase_unit, geometry.capacity), (16, 4096, 1 << 20));
    assert!(check(&mut device).erase);
    assert_without_sin(&chip);
    let mut device = open_async(&chip, &Options::default());
    assert_eq!(device.geometry(), geometry);
    assert!(check_async(&mut device).erase);
    assert_without_sin(&chip);
}

#[test]
fn every_write_unit_up_to_a_page_conforms() {
    for write_unit in [1, 4, 256] {
        let chip = plain().shared();
        let tear_unit = write_unit.max(64);
        let options = Options { write_unit, tear_unit, ..Options::default() };
        let mut device = open(&chip, &options);
        assert_eq!(device.geometry().commit_unit(), tear_unit);
        check(&mut device);
        assert_without_sin(&chip);
    }
}

#[test]
fn a_store_lives_on_a_partition_of_the_chip() {
    let chip = plain().shared();
    let (start, end) = (64 << 10, 320 << 10);
    let options = Options { partition: Some(start as u64..end as u64), ..Options::default() };
    live(open(&chip, &options));
    assert_without_sin(&chip);
    let chip = chip.borrow();
    let untouched = |cells: &[u8]| cells.iter().all(|cell| *cell == 0x6D);
    assert!(untouched(&chip.cells[..start]) && untouched(&chip.cells[end..]));
    let programs = chip.executed.iter().filter(|command| **command == 0x02).count();
    assert!(programs * 256 > (end - start) / 5, "{programs} page programs");
}

#[test]
fn a_store_lives_on_the_asynchronous_face_and_waits_without_blocking() {
    let chip = plain().shared();
    let options = Options { partition: Some(0..256 << 10), ..Options::default() };
    let (_, waits) = live_async(open_async(&chip, &options));
    assert_without_sin(&chip);
    assert!(waits > 2_000, "{waits} waits");
}

#[test]
fn a_store_lives_without_reading_back() {
    let chip = plain().shared();
    let options = Options { verify: Verify::Trust, ..Options::default() };
    live(open(&chip, &options));
    assert_without_sin(&chip);
}

#[test]
fn slices_are_joined_into_page_commands_and_split_at_pages() {
    let chip = plain().blank().shared();
    let options = Options { verify: Verify::Trust, ..Options::default() };
    let mut device = open(&chip, &options);
    chip.borrow_mut().executed.clear();
    let data: Vec<u8> = (0..=255).cycle().take(640).collect();
    // 16 + 48 + 512 + 64 bytes from 160: pages end at 256, 512 and 768.
    let slices = [&data[..16], &data[16..64], &[], &data[64..576], &data[576..]];
    device.write(160, &slices, Durability::Buffered).expect("it writes");
    assert_eq!(chip.borrow().cells[160..800], data);
    let programs =
        |chip: &Shared| chip.borrow().executed.iter().filter(|command| **command == 0x02).count();
    assert_eq!(programs(&chip), 4);
    // More slices than one command joins.
    let slices: Vec<&[u8]> = data[..256].chunks(16).collect();
    device.write(4096, &slices, Durability::Buffered).expect("it writes");
    assert_eq!(chip.borrow().cells[4096..4352], data[..256]);
    assert_eq!(programs(&chip), 6);
    assert_without_sin(&chip);
}

#[test]
fn erases_are_as_large_as_fits() {
    let chip = Chip { table: Parameters::usual(20).encode(), ..plain() }.shared();
    let mut device = open(&chip, &Options::default());
    chip.borrow_mut().executed.clear();
    device.erase(60 << 10..196 << 10).expect("it erases");
    let commands = chip.borrow().executed.clone();
    let erases: Vec<u8> =
        commands.into_iter().filter(|command| matches!(command, 0x20 | 0x52 | 0xD8)).collect();
    assert_eq!(erases, [0x20, 0xD8, 0xD8, 0x20]);
    let cells = &chip.borrow().cells;
    assert!(cells[60 << 10..196 << 10].iter().all(|cell| *cell == 0xFF));
    assert_eq!((cells[(60 << 10) - 1], cells[196 << 10]), (0x6D, 0x6D));
    assert_without_sin(&chip);
}

#[test]
fn reads_are_split_to_what_the_bus_takes() {
    let chip = plain().shared();
    let mut device = open(&chip, &Options { read_bytes_max: 100, ..Options::default() });
    chip.borrow_mut().cells[5000..6000].fill(0x11);
    let mut buffer = vec![0; 1200];
    device.read(4900, &mut buffer).expect("it reads");
    assert_eq!(buffer, chip.borrow().cells[4900..6100]);
    assert_eq!(chip.borrow().bytes_read_most, 100);
}

#[test]
fn a_table_of_parameters_is_believed_over_the_identity() {
    // The identity says 64 KiB, the table one megabyte with 512-byte pages and no 4-KiB erase.
    let erases = [(15, 0x52), (16, 0xD8), (0, 0), (0, 0)];
    let table = Parameters { page_shift: 9, erases, ..Parameters::usual(20) }.encode();
    let chip = Chip { table, page: 512, ..Chip::new(MIB, [0xBF, 0x25, 0x10]) }.shared();
    let mut device = open(&chip, &Options::default());
    let layout = *device.layout();
    assert_eq!((layout.capacity, layout.page_bytes), (1 << 20, 512));
    assert_eq!(layout.erases[0], Some(Erase { bytes: 32 << 10, command: 0x52 }));
    assert_eq!(device.geometry().erase_unit, 32 << 10);
    check(&mut device);
    assert_without_sin(&chip);
}

#[test]
fn chips_beyond_16_mib_are_addressed_with_four_bytes_in_each_way() {
    let usual = || Parameters { ways: 0x21, ..Parameters::usual(25) };
    let commands = Some((1 << 1 | 1 << 6 | 0b101 << 9, [0x21, 0x5C, 0xDC, 0xFF]));
    for (table, mode, want) in [
        (usual().encode(), Mode::Three, Addressing::FourByteMode),
        (Vec::new(), Mode::Three, Addressing::FourByteMode),
        (
            Parameters { four_byte: commands, ..usual() }.encode(),
            Mode::Three,
            Addressing::FourByteCommands,
        ),
        (Parameters { ways: 0x40, ..usual() }.encode(), Mode::Four, Addressing::FourBytesAlways),
    ] {
        let chip = Chip { table, mode, ..Chip::new(32 * MIB, [0x20, 0xBA, 0x19]) }.shared();
        // Across the end of what three bytes reach.
        let partition = Some((16 * MIB - (128 << 10)) as u64..(16 * MIB + (128 << 10)) as u64);
        let mut device = open(&chip, &Options { partition, ..Options::default() });
        assert_eq!(device.layout().addressing, want);
        check(&mut device);
        live(device);
        assert_without_sin(&chip);
        let chip = chip.borrow();
        assert_eq!(chip.cells[..128 << 10], vec![0x6D; 128 << 10]);
        // Commands of four bytes leave the chip in the mode in which it was.
        assert_eq!(chip.mode == Mode::Three, want == Addressing::FourByteCommands);
    }
}

#[test]
fn a_chip_asleep_or_busy_from_an_earlier_boot_is_found() {
    let chip = Chip { asleep: true, busy_left: 2000, ..plain() }.shared();
    let mut device = open(&chip, &Options::default());
    device.erase(0..4096).expect("it erases");
    assert_without_sin(&chip);
}

#[test]
fn a_dropped_future_is_waited_out_by_the_next_operation() {
    use std::pin::pin;
    use std::task::{Context, Waker};

    let chip = Chip { busy_polls: 40, ..plain() }.shared();
    let mut device = open_async(&chip, &Options::default());
    block_on(device.erase(0..8192)).0.expect("it erases");
    let data = [0x5A; 512];
    for polls in 1..200 {
        {
            let mut work = pin!(async {
                device.erase(4096..8192).await?;
                device.write(4096, &[&data], Durability::Buffered).await
            });
            // Dropped behind the last one, wherever the work is then.
            for _ in 0..polls {
                if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    panic!("{polls} polls are too many for this test");
                }
            }
        }
        go_on(&mut device, &chip);
    }
    assert_without_sin(&chip);
}

/// What follows a dropped operation: the range is erased again, and what was beside it is read.
fn go_on(device: &mut AsyncSpiNor<FakeSpi, FakeDelay>, chip: &Shared) {
    let mut byte = [0; 1];
    block_on(device.read(0, &mut byte)).0.expect("it reads");
    assert_eq!(byte, [0xFF]);
    block_on(device.erase(4096..8192)).0.expect("it erases");
    assert!(chip.borrow().cells[4096..8192].iter().all(|cell| *cell == 0xFF));
}
