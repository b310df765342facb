//! A SPI NOR chip on a Linux board: `spidev /dev/spidev0.0` counts its own runs in a store on the
//! chip. **A chip whose first 64 KiB are blank is formatted; any other is left alone.**

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use emberkv_core::{BlockDevice, Config, Hints, Store, required_bytes};
    use emberkv_flash::SpiNor;
    use emberkv_flash::spi_nor::Options;
    use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
    use linux_embedded_hal::{Delay, SpidevDevice};

    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: spidev /dev/spidevB.C");
        return Ok(());
    };
    let mut spi = SpidevDevice::open(&path)?;
    let bus = SpidevOptions::new().max_speed_hz(10_000_000).mode(SpiModeFlags::SPI_MODE_0).build();
    spi.configure(&bus)?;

    let device = SpiNor::open(spi, Delay, &Options::default())?;
    println!("chip {}: {} KiB", device.id(), device.layout().capacity >> 10);

    let mut seed = [0; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut seed)?;
    let config =
        Config { seed, frames: 64, keys_max: 4096, hints: Hints::Omit, ..Config::default() };
    let mut arena = vec![0; required_bytes(&config, &device.geometry())];
    let mut store = Store::open_or_format(device, &mut arena, &config)?;

    let mut buffer = [0; 8];
    let runs = match store.get(b"runs", &mut buffer)? {
        Some(bytes) => u64::from_le_bytes(bytes.try_into()?) + 1,
        None => 1,
    };
    store.put(b"runs", &runs.to_le_bytes())?;
    store.sync()?;
    println!("run {runs}");
    store.close()?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("spidev is a Linux interface");
}
