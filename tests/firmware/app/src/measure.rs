//! What calls cost: instructions by [`Clock`], stack by [`stack`]. Destroys what is on the medium.
//!
//! ```text
//! cost NAME instructions least=.. median=.. most=.. stack=..
//! ```
//! "least" is a call that finds everything in memory; "most" has the driver's work for the device
//! in it, which moves bytes by hand.

use core::fmt::Debug;

use cortex_m::peripheral::SYST;
use emberkv_core::{BlockDevice, Config, Error, Store};

use crate::clock::Clock;
use crate::host::{self, Verdict};
use crate::{say, stack};

/// Calls of each kind.
const CALLS: usize = 256;
/// Keys that they go around in: two bytes each, and twelve bytes of value.
const KEYS: u16 = 64;

/// Measures, says the figures, ends.
pub fn run<D: BlockDevice>(mut device: D, arena: &mut [u8], config: &Config, systick: SYST) -> !
where
    D::Error: Debug,
{
    let clock = Clock::start(systick);
    say!("memory store={} stack={}", size_of::<Store<'_, &mut D>>(), stack::free());
    stack::paint();
    if let Err(error) = &format(&mut device, &mut *arena, config) {
        fail(error);
    }
    say!("cost format stack={}", stack::used());
    stack::paint();
    // Matched in place: a store that is moved is on the stack twice.
    let mut opened = open(&mut device, arena, config);
    say!("cost open stack={}", stack::used());
    match &mut opened {
        Ok(store) => match measure(store, &clock) {
            Ok(()) => host::exit(Verdict::Passed),
            Err(error) => fail(&error),
        },
        Err(error) => fail(error),
    }
}

fn fail(error: &impl Debug) -> ! {
    say!("FAILED {error:?}");
    host::exit(Verdict::Failed)
}

#[inline(never)]
fn open<'m, D: BlockDevice>(
    device: D,
    arena: &'m mut [u8],
    config: &Config,
) -> Result<Store<'m, D>, Error<D::Error>> {
    Store::open(device, arena, config)
}

#[inline(never)]
fn format<'m, D: BlockDevice>(
    device: D,
    arena: &'m mut [u8],
    config: &Config,
) -> Result<Store<'m, D>, Error<D::Error>> {
    Store::format(device, arena, config)
}

fn key(index: usize) -> [u8; 2] {
    // A walk through the keys that has no pattern of its own: 29 and 64 have no common factor.
    (index as u16 * 29 % KEYS).to_le_bytes()
}

#[inline(never)]
fn measure<D: BlockDevice>(store: &mut Store<'_, D>, clock: &Clock) -> Result<(), Error<D::Error>> {
    // Once around, so that what is measured is a store in use.
    for index in 0..4 * CALLS {
        store.put(&key(index), &[index as u8; 12])?;
    }
    store.sync()?;
    cost(clock, "put", |index| store.put(&key(index), &[index as u8; 12]))?;
    let mut buffer = [0; 16];
    cost(clock, "get", |index| store.get(&key(index), &mut buffer).map(drop))?;
    store.put(&key(1), &[7; 12])?;
    cost(clock, "get_again", |_| store.get(&key(1), &mut buffer).map(drop))?;
    cost(clock, "get_missing", |_| store.get(b"missing", &mut buffer).map(drop))?;
    cost(clock, "put_sync", |index| {
        store.put(&key(index), &[index as u8; 12])?;
        store.sync()
    })?;
    cost(clock, "batch_of_3", |index| {
        let mut batch = store.batch()?;
        for offset in 0..3 {
            batch.put(&key(index + offset), &[index as u8; 12])?;
        }
        batch.commit().map(drop)
    })?;
    cost(clock, "snapshot_release", |_| {
        let snapshot = store.snapshot()?;
        store.release(snapshot)
    })?;
    cost(clock, "delete_put", |index| {
        store.delete(&key(index))?;
        store.put(&key(index), &[index as u8; 12])
    })?;
    cost(clock, "merge_step_2048", |_| store.merge_step(2048).map(drop))?;
    cost(clock, "scrub_step_2048", |_| store.scrub_step(2048).map(drop))
}

/// Makes the calls, twice: to count, and to look how deep the stack grows.
#[inline(never)]
fn cost<E>(
    clock: &Clock,
    name: &str,
    mut call: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    let mut counts = [0; CALLS];
    let mut result = Ok(());
    for (index, count) in counts.iter_mut().enumerate() {
        *count = clock.instructions(|| result = call(index));
        if result.is_err() {
            return result;
        }
    }
    counts.sort_unstable();
    let (least, median, most) = (counts[0], counts[CALLS / 2], counts[CALLS - 1]);
    stack::paint();
    for index in 0..CALLS {
        call(index)?;
    }
    let stack = stack::used();
    say!("cost {name} least={least} median={median} most={most} stack={stack}");
    Ok(())
}
