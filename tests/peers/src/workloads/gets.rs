//! Random gets, with all data in caches and with ten times more data than cache.
//!
//! Each store is filled once and closed; every round opens it again, so that all of them read what
//! they have written to their files, and none a write buffer that happens to be left. Every value
//! is compared in full.

use tempfile::TempDir;

use super::plan::data_bytes;
use super::{BY_RATE, Column, Contender, Plan, Table, fill, split};
use crate::data::{Key, Order, expect, key};
use crate::device::DeviceFile;
use crate::host;
use crate::measure::Figure;
use crate::peer::{Family, Outcome, Peer, Setup};
use crate::threads::{self, Crew};

/// Name of the cached gets on the command line.
pub const CACHED: &str = "cached";

/// Name of the cold gets on the command line.
pub const COLD: &str = "cold";

/// Threads of cached gets.
const CACHED_THREADS: [u64; 2] = [1, 2];

/// Threads of cold gets, beside one.
const COLD_THREADS: u64 = 16;

/// Keys of one call for many.
const MANY: u64 = 64;

/// Figures of one run of gets: a rate and four latencies.
const FIGURES: usize = 5;

/// Keeps the orders of the threads of different rounds apart.
const THREADS_MAX: u64 = 1 << 10;

/// A way of getting what is not cached.
struct ColdWay {
    row: &'static str,
    note: &'static str,
}

const COLD_WAYS: [ColdWay; 3] = [
    ColdWay { row: "1 thread", note: "device: 4 KiB O_DIRECT reads at random addresses" },
    ColdWay { row: "16 threads", note: "device: the same reads from as many threads" },
    ColdWay {
        row: "1 thread, 64 keys per call",
        note: "device: single reads from 64 threads; latencies of the stores are those of calls",
    },
];

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
/// starts, from one thread and from two.
///
/// # Errors
/// Those of the stores; wrong values.
pub fn run_cached(plan: &Plan) -> Outcome<Vec<Table>> {
    let keys = plan.scale.keys;
    let tables: Outcome<Vec<Vec<Table>>> =
        [(keys / 5).max(1), keys].into_iter().map(|keys| cached_tables(plan, keys)).collect();
    Ok(tables?.into_iter().flatten().collect())
}

fn cached_tables(plan: &Plan, keys: u64) -> Outcome<Vec<Table>> {
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
    let table = |(threads, columns): (u64, Vec<Column>)| {
        let row = format!("{keys} keys, {}", threads::describe(threads));
        Table {
            workload: CACHED,
            title: format!(
                "random gets, all cached: {row} of {value_bytes} B, cache {} MiB",
                cache_bytes >> 20
            ),
            row,
            notes: vec!["ops/s without, latencies with a clock reading per get".to_owned()],
            headlines: BY_RATE,
            columns,
            timelines: Vec::new(),
        }
    };
    let parts = split(&columns, FIGURES);
    Ok(CACHED_THREADS.into_iter().zip(parts).map(table).collect())
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
        for threads in CACHED_THREADS {
            if threads == 1 || family.is_shared() {
                let crew = Crew::sharing(plan.scale.cached_gets, threads);
                figures.extend(gets_in_two_passes(peer, plan, data, &crew, round as u64)?);
            }
        }
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
    crew: &Crew,
    seed: u64,
) -> Outcome<Vec<Figure>> {
    let whole = Crew { calls_each: 1, ops_per_call: crew.calls_each, ..*crew };
    let rate = threads::run(peer, &whole, |view, thread| {
        let mut order = Order::new(seed * THREADS_MAX + thread);
        move |_| {
            for _ in 0..whole.ops_per_call {
                let index = order.below(data.keys);
                expect(view.peer(), &plan.values, index, data.value_bytes)?;
            }
            Ok(())
        }
    })?;
    let mut figures = random_gets(peer, plan, data, crew, seed)?;
    figures[0] = rate.figures()?.swap_remove(0);
    Ok(figures)
}

fn random_gets(
    peer: &dyn Peer,
    plan: &Plan,
    data: &DataSet,
    crew: &Crew,
    seed: u64,
) -> Outcome<Vec<Figure>> {
    let ran = threads::run(peer, crew, |view, thread| {
        let mut order = Order::new(seed * THREADS_MAX + thread);
        move |_| expect(view.peer(), &plan.values, order.below(data.keys), data.value_bytes)
    })?;
    ran.figures()
}

/// Gets from ten times more data than cache, page cache emptied before, next to bare reads: from one
/// thread, from 16, and many in one call.
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
            Contender::Bare(_) => bare_reads(&file, scale.cold_gets, round as u64),
            Contender::Store(family) => {
                let setup = data.setup(plan, &directories[index]);
                cold_gets(plan, &data, family, &setup, round)
            }
        }
    })?;
    let table = |(way, columns): (ColdWay, Vec<Column>)| {
        let mut notes = vec![way.note.to_owned()];
        if !dropped {
            notes.push("NOT COLD: the page cache can only be emptied by root".to_owned());
        }
        Table {
            workload: COLD,
            title: format!(
                "random gets, cold: {keys} keys of {value_bytes} B, cache {} MiB, {}",
                data.cache_bytes >> 20,
                way.row
            ),
            row: way.row.to_owned(),
            notes,
            headlines: BY_RATE,
            columns,
            timelines: Vec::new(),
        }
    };
    Ok(COLD_WAYS.into_iter().zip(split(&columns, FIGURES)).map(table).collect())
}

/// The same three ways without a store. Instead of one call for many reads: as many threads.
fn bare_reads(file: &DeviceFile, ops: u64, seed: u64) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    for threads in [1, COLD_THREADS, MANY] {
        figures.extend(file.read_random(&Crew::sharing(ops, threads), seed)?);
    }
    Ok(figures)
}

fn cold_gets(
    plan: &Plan,
    data: &DataSet,
    family: &dyn Family,
    setup: &Setup,
    round: usize,
) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    let gets = plan.scale.cold_gets;
    let seed = round as u64;
    family.session(setup, &mut |peer| {
        peer.settle()?;
        // An open may have read everything in order to recover: cold means cold for the gets.
        let _ = host::drop_page_cache();
        figures = random_gets(peer, plan, data, &Crew::sharing(gets, 1), seed)?;
        if family.is_shared() {
            let _ = host::drop_page_cache();
            let crew = Crew::sharing(gets, COLD_THREADS);
            figures.extend(random_gets(peer, plan, data, &crew, seed + 1_000)?);
        }
        if family.gets_many() {
            let _ = host::drop_page_cache();
            figures.extend(gets_of_many(peer, plan, data, seed + 2_000)?);
        }
        Ok(())
    })?;
    Ok(figures)
}

fn gets_of_many(peer: &dyn Peer, plan: &Plan, data: &DataSet, seed: u64) -> Outcome<Vec<Figure>> {
    let calls_each = (plan.scale.cold_gets / MANY).max(1);
    let crew = Crew { threads: 1, calls_each, ops_per_call: MANY };
    let mut order = Order::new(seed);
    let mut draw = || order.below(data.keys);
    let drawn: Vec<Vec<u64>> =
        (0..calls_each).map(|_| (0..MANY).map(|_| draw()).collect()).collect();
    let ran = threads::run(peer, &crew, |view, _| {
        let drawn = &drawn;
        move |call| {
            let indexes = &drawn[call as usize];
            let keys: Vec<Key> = indexes.iter().map(|index| key(*index)).collect();
            let mut right = 0;
            view.peer().get_many(&keys, &mut |at, value| {
                right += usize::from(value == plan.values.of(indexes[at], data.value_bytes));
            })?;
            match right == indexes.len() {
                true => Ok(()),
                false => Err("a call for many keys answered wrong or missing values".into()),
            }
        }
    })?;
    ran.figures()
}
