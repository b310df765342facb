//! From one's own `NorFlash` to a working store.

mod my_flash;

use emberkv_core::{BlockDevice, Config, Hints, Store, required_bytes};
use emberkv_flash::NorFlashDevice;

use crate::my_flash::MyFlash;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = NorFlashDevice::new(MyFlash([0xFF; 128 << 10]), 0..128 << 10)?;
    let config = Config {
        segment_bytes: 8192,
        seed: *b"32 bytes of a random generator..",
        page_bytes: 256,
        frames: 32,
        keys_max: 64,
        key_bytes_max: 32,
        hints: Hints::Omit,
        ..Config::default()
    };
    let mut arena = [0; 16 << 10];
    assert!(required_bytes(&config, &device.geometry()) <= arena.len());
    let mut store = Store::open_or_format(device, &mut arena, &config)?;
    store.put(b"boots", &1_u32.to_le_bytes())?;
    store.sync()?;
    let mut buffer = [0; 4];
    assert_eq!(store.get(b"boots", &mut buffer)?, Some(&1_u32.to_le_bytes()[..]));
    Ok(())
}
