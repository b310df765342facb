//! A session of a store as firmware has it: a tiny static flash, memory from the stack, no std, no allocator.
//!
//! `run.sh` links this library into a program and runs it; where the toolchain knows a Cortex-M target it also builds the
//! same code for it and prints how large it is.
#![no_std]

mod flash;

use emberkv_core::{Config, Error, Hints, Store};

use flash::{Fault, Flash};

/// Enough for the configuration below; `required_bytes` says how much it is.
const ARENA_BYTES: usize = 12 * 1024;

fn config() -> Config {
    Config {
        segment_bytes: 2048,
        seed: *b"no_std: taken from a generator..",
        page_bytes: 256,
        frames: 20,
        keys_max: 64,
        key_bytes_max: 32,
        hints: Hints::Omit,
        snapshots_max: 2,
        versions_max: 8,
        ..Config::default()
    }
}

/// What a session found wrong.
enum Wrong {
    Store,
    Value,
    Iteration,
}

impl From<Error<Fault>> for Wrong {
    fn from(_: Error<Fault>) -> Self {
        Self::Store
    }
}

fn check(what: bool) -> Result<(), Wrong> {
    if what { Ok(()) } else { Err(Wrong::Value) }
}

/// Formats, writes, dies; opens, reads, writes, closes; opens again.
fn sessions(flash: &mut Flash) -> Result<(), Wrong> {
    let mut arena = [0; ARENA_BYTES];
    let mut buffer = [0; 128];
    let config = config();
    {
        let mut store = Store::format(&mut *flash, &mut arena, &config)?;
        store.put(b"boots", &1_u32.to_le_bytes())?;
        store.put(b"name", b"sensor 7")?;
        store.sync()?;
        store.put(b"name", b"not synced")?;
    }
    {
        let mut store = Store::open(&mut *flash, &mut arena, &config)?;
        check(store.get(b"boots", &mut buffer)? == Some(&1_u32.to_le_bytes()[..]))?;
        let mut batch = store.batch()?;
        batch.put(b"boots", &2_u32.to_le_bytes())?;
        batch.delete(b"name")?;
        batch.commit()?;
        let start = store.snapshot()?;
        // Many times what the flash holds: merges give room back.
        for index in 0..4000_u32 {
            store.put(b"reading", &[(index % 100) as u8; 32])?;
        }
        check(store.get_at(start, b"boots", &mut buffer)? == Some(&2_u32.to_le_bytes()[..]))?;
        check(store.get_at(start, b"reading", &mut buffer)?.is_none())?;
        store.release(start)?;
        while store.merge_step(4096)? {}
        store.close()?;
    }
    let mut store = Store::open(&mut *flash, &mut arena, &config)?;
    check(store.get(b"name", &mut buffer)?.is_none())?;
    check(store.get(b"reading", &mut buffer)? == Some(&[99; 32][..]))?;
    let (mut cursor, mut keys) = (emberkv_core::Cursor::default(), 0);
    while store.next(&mut cursor, &mut buffer)?.is_some() {
        keys += 1;
    }
    if keys != 2 || store.check(|_| {})?.damages != 0 {
        return Err(Wrong::Iteration);
    }
    Ok(())
}

/// Runs all sessions: 0 if everything is right.
#[expect(unsafe_code, reason = "a C program calls it by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn emberkv_no_std_sessions() -> i32 {
    match sessions(&mut Flash::take()) {
        Ok(()) => 0,
        Err(Wrong::Store) => 1,
        Err(Wrong::Value) => 2,
        Err(Wrong::Iteration) => 3,
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
