//! Random gets, with all data in caches and with ten times more data than cache.
//!
//! Each store is filled once and closed; every round opens it again, so that all of them read what
//! they have written to their files, and none a write buffer that happens to be left. Every value
//! is compared in full.

use std::time::Instant;

use tempfile::TempDir;

use super::plan::data_bytes;
use super::{Contender, Plan, Table, fill};
use crate::data::{Order, expect};
use crate::device::DeviceFile;
use crate::host;
use crate::measure::{Figure, Meter, RATE, rate};
use crate::peer::{Family, Outcome, Peer, Setup};

/// Name of the cached gets on the command line.
pub const CACHED: &str = "cached";

/// Name of the cold gets on the command line.
pub const COLD: &str = "cold";

/// One data set, filled once per store.
pub struct DataSet {
    /// Keys in it.
    pub keys: u64,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// The cache that it is read with.
    pub cache_bytes: u64,
}

impl DataSet {
    fn fill(&self, plan: &Plan, contenders: &[Contender<'_>]) -> Outcome<Vec<TempDir>> {
        let mut directories = Vec::new();
        for contender in contenders {
            let directory = host::fresh_directory()?;
            if let Contender::Store(family) = contender {
                let setup = self.setup(plan, &directory);
                family
                    .session(&setup, &mut |peer| {
                        fill::puts(peer, &plan.values, self.keys, self.value_bytes)?;
                        peer.settle()
                    })
                    .map_err(|error| format!("{}: {error}", family.name()))?;
            }
            directories.push(directory);
        }
        Ok(directories)
    }

    fn setup(&self, plan: &Plan, directory: &TempDir) -> Setup {
        let setup = plan.setup(directory.path(), self.keys, self.value_bytes);
        Setup { cache_bytes: self.cache_bytes, ..setup }
    }
}

/// Gets from a fifth of the keys (200,000) and from all of them, each read once before the clock
/// starts.
///
/// # Errors
/// Those of the stores; wrong values.
pub fn run_cached(plan: &Plan) -> Outcome<Vec<Table>> {
    let keys = plan.scale.keys;
    [(keys / 5).max(1), keys].into_iter().map(|keys| cached_table(plan, keys)).collect()
}

fn cached_table(plan: &Plan, keys: u64) -> Outcome<Table> {
    let value_bytes = 100;
    // "All cached" is the point: twice the data, where that is more than the common cache size.
    let want_bytes = (2 * data_bytes(keys, value_bytes)).next_power_of_two();
    let cache_bytes = plan.scale.cache_bytes.max(want_bytes);
    let data = DataSet { keys, value_bytes, cache_bytes };
    let contenders = plan.stores();
    let directories = data.fill(plan, &contenders)?;
    let columns = plan.rounds(&contenders, |index, contender, round| {
        let Contender::Store(family) = contender else {
            unreachable!("only stores are asked for cached gets")
        };
        cached_gets(plan, &data, family, &data.setup(plan, &directories[index]), round)
    })?;
    Ok(Table {
        workload: CACHED,
        title: format!(
            "random gets, all cached: {keys} keys of {value_bytes} B, cache {} MiB, 1 thread",
            cache_bytes >> 20
        ),
        notes: vec!["ops/s without, latencies with a clock reading per get".to_owned()],
        columns,
    })
}

fn cached_gets(
    plan: &Plan,
    data: &DataSet,
    family: &dyn Family,
    setup: &Setup,
    round: usize,
) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    family.session(setup, &mut |peer| {
        for index in 0..data.keys {
            expect(peer, &plan.values, index, data.value_bytes)?;
        }
        peer.settle()?;
        figures = gets_in_two_passes(peer, plan, data, round as u64)?;
        Ok(())
    })?;
    Ok(figures)
}

/// Random gets of one order, twice: without a clock reading per get for the rate, with one for the
/// latencies. A reading is no longer small beside the fastest gets.
///
/// # Errors
/// Those of the store; wrong values.
pub fn gets_in_two_passes(
    peer: &dyn Peer,
    plan: &Plan,
    data: &DataSet,
    seed: u64,
) -> Outcome<Vec<Figure>> {
    let count = plan.scale.cached_gets;
    let mut order = Order::new(seed);
    let started = Instant::now();
    for _ in 0..count {
        expect(peer, &plan.values, order.below(data.keys), data.value_bytes)?;
    }
    let elapsed = started.elapsed();
    let mut order = Order::new(seed);
    let mut meter = Meter::start(count);
    for _ in 0..count {
        expect(peer, &plan.values, order.below(data.keys), data.value_bytes)?;
        meter.tick();
    }
    let mut figures = meter.finish(1)?;
    figures[0] = Figure { label: RATE, value: rate(count, elapsed) };
    Ok(figures)
}

/// Gets from ten times more data than cache, page cache emptied before, next to bare reads.
///
/// # Errors
/// Those of the stores; wrong values.
pub fn run_cold(plan: &Plan) -> Outcome<Vec<Table>> {
    let scale = plan.scale;
    let value_bytes = 1024;
    let keys = scale.cold_bytes() / value_bytes as u64;
    let data = DataSet { keys, value_bytes, cache_bytes: scale.cold_cache_bytes };
    let contenders = plan.device_and_stores();
    let directories = data.fill(plan, &contenders)?;
    let file = DeviceFile::create(directories[0].path(), scale.cold_bytes())?;
    let mut dropped = true;
    let columns = plan.rounds(&contenders, |index, contender, round| {
        dropped &= host::drop_page_cache();
        match contender {
            Contender::Bare(_) => file.read_random(scale.cold_gets, round as u64),
            Contender::Store(family) => {
                let setup = data.setup(plan, &directories[index]);
                cold_gets(plan, &data, family, &setup, round)
            }
        }
    })?;
    let mut notes = vec!["device: 4 KiB O_DIRECT reads at random addresses".to_owned()];
    if !dropped {
        notes.push("NOT COLD: the page cache can only be emptied by root".to_owned());
    }
    Ok(vec![Table {
        workload: COLD,
        title: format!(
            "random gets, cold: {keys} keys of {value_bytes} B, cache {} MiB, 1 thread",
            data.cache_bytes >> 20
        ),
        notes,
        columns,
    }])
}

fn cold_gets(
    plan: &Plan,
    data: &DataSet,
    family: &dyn Family,
    setup: &Setup,
    round: usize,
) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    family.session(setup, &mut |peer| {
        peer.settle()?;
        // An open may have read everything in order to recover: cold means cold for the gets.
        let _ = host::drop_page_cache();
        let mut order = Order::new(round as u64);
        let mut meter = Meter::start(plan.scale.cold_gets);
        for _ in 0..plan.scale.cold_gets {
            expect(peer, &plan.values, order.below(data.keys), data.value_bytes)?;
            meter.tick();
        }
        figures = meter.finish(1)?;
        Ok(())
    })?;
    Ok(figures)
}
