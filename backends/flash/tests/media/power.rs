//! The power fails at every single transaction of the bus, while a store writes over the SPI NOR
//! driver: what was synced is there after the chip is found again, and writing goes on.

use std::cell::RefCell;
use std::rc::Rc;

use emberkv_core::{BlockDevice, Config, Store, required_bytes};
use emberkv_flash::SpiNor;
use emberkv_flash::spi_nor::Options;

use crate::chip::{Chip, FakeDelay, FakeSpi};
use crate::harness::config;

type Device = SpiNor<FakeSpi, FakeDelay>;

fn open(chip: &Rc<RefCell<Chip>>, options: &Options) -> Device {
    SpiNor::open(FakeSpi(chip.clone()), FakeDelay, options).expect("the chip is found")
}

const KEYS: u8 = 8;

/// Round 1 is synced before the cut, round 2 is what the cut may hit.
fn value(round: u8, key: u8) -> Vec<u8> {
    vec![round * 16 + key; 100 + usize::from(key)]
}

fn put_round<D: BlockDevice>(store: &mut Store<'_, D>, round: u8) -> Result<(), ()> {
    for key in 0..KEYS {
        store.put(&[key], &value(round, key)).map_err(|_| ())?;
    }
    store.sync().map_err(|_| ())
}

/// After the cut: every key has its old or its new value, and the new ones are those put first.
fn assert_recovered(chip: &Rc<RefCell<Chip>>, options: &Options, config: &Config, cut: usize) {
    let device = open(chip, options);
    let mut arena = vec![0; required_bytes(config, &device.geometry())];
    let mut store = Store::open(device, &mut arena, config).expect("it opens after a power cut");
    let mut buffer = [0; 256];
    let mut old_seen = false;
    for key in 0..KEYS {
        let found = store.get(&[key], &mut buffer).expect("it reads").expect("it was synced");
        let (old, new) = (found == value(1, key), found == value(2, key));
        assert!(old || (new && !old_seen), "cut {cut}, key {key}");
        old_seen |= old;
    }
    put_round(&mut store, 3).expect("writing goes on");
    let device = store.into_device();
    let mut store = Store::open(device, &mut arena, config).expect("it opens again");
    for key in 0..KEYS {
        let found = store.get(&[key], &mut buffer).expect("it reads");
        assert_eq!(found, Some(&value(3, key)[..]), "cut {cut}");
    }
}

fn every_cut(chip: Chip, options: &Options) -> usize {
    let chip = chip.shared();
    let device = open(&chip, options);
    let config = config(&device.geometry());
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::format(device, &mut arena, &config).expect("it formats");
    put_round(&mut store, 1).expect("it writes");
    drop(store);
    let image = chip.borrow().clone();
    // Opening reads the end of the log many times over, and a cut in a read is like the one before it: each of the first
    // ones, then a sample of a prime stride.
    for cut in (1..200).chain((200..100_000).step_by(61)) {
        let chip = image.clone().shared();
        // The first transactions find the chip, the next ones open the store; all may be cut.
        chip.borrow_mut().cut_at = Some(image.transactions + cut);
        let done = SpiNor::open(FakeSpi(chip.clone()), FakeDelay, options)
            .map_err(|_| ())
            .and_then(|device| Store::open(device, &mut arena, &config).map_err(|_| ()))
            .and_then(|mut store| put_round(&mut store, 2));
        chip.borrow_mut().power_up();
        assert_recovered(&chip, options, &config, cut);
        if done.is_ok() {
            return cut;
        }
    }
    panic!("100,000 transactions were not enough");
}

#[test]
fn a_power_cut_at_any_transaction_loses_nothing_that_was_synced() {
    // 256 KiB, and the same with four address bytes, a mode that the cut ends.
    let small = Chip::new(256 << 10, [0xEF, 0x40, 0x12]);
    assert!(every_cut(small, &Options::default()) > 50);
    let layout = emberkv_flash::spi_nor::ChipLayout {
        addressing: emberkv_flash::spi_nor::Addressing::FourByteMode,
        ..emberkv_flash::spi_nor::ChipLayout::usual(256 << 10)
    };
    let options = Options { layout: Some(layout), ..Options::default() };
    assert!(every_cut(Chip::new(256 << 10, [0xEF, 0x40, 0x12]), &options) > 50);
}
