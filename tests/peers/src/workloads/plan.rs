//! What is common to all workloads: sizes, who takes part, and the rounds in turn.
//!
//! Rounds are interleaved (every contender once, then again), each beginning with another
//! contender, so that a drift of the machine hits all of them and nobody always runs behind the
//! same neighbour.

use std::path::Path;
use std::time::Duration;

use crate::data::{KEY_BYTES, Values};
use crate::host;
use crate::measure::{Figure, RATE};
use crate::peer::{Family, Outcome, Setup, Space};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Keys of fills, of the larger cached data set and of opens.
    pub keys: u64,
    /// Durable puts and bare overwrites per round and number of threads.
    pub durable_puts: u64,
    /// Cached gets per round and number of threads.
    pub cached_gets: u64,
    /// Cold gets and bare reads per round and number of threads.
    pub cold_gets: u64,
    /// Keys that are overwritten, and of which most are deleted.
    pub churn_keys: u64,
    /// How often each is overwritten on average.
    pub overwrites: u64,
    /// How long a store is left alone before its space is called settled.
    pub idle: Duration,
    /// Keys of the YCSB mixes.
    pub ycsb_keys: u64,
    /// Operations of each mix and number of threads.
    pub ycsb_ops: u64,
    /// Every store's cache.
    pub cache_bytes: u64,
    /// The cache of the cold gets, a tenth of their data.
    pub cold_cache_bytes: u64,
    /// Rounds, of which medians are shown.
    pub rounds: usize,
}

impl Scale {
    /// The sizes of a measurement that may be quoted.
    pub const FULL: Self = Self {
        keys: 1_000_000,
        durable_puts: 20_000,
        cached_gets: 1_000_000,
        cold_gets: 50_000,
        churn_keys: 200_000,
        overwrites: 10,
        idle: Duration::from_secs(10),
        ycsb_keys: 1_000_000,
        ycsb_ops: 500_000,
        cache_bytes: 64 << 20,
        cold_cache_bytes: 64 << 20,
        rounds: 3,
    };

    /// Sizes that only show that everything works.
    pub const QUICK: Self = Self {
        keys: 50_000,
        durable_puts: 1_920,
        cached_gets: 50_000,
        cold_gets: 6_400,
        churn_keys: 10_000,
        overwrites: 10,
        idle: Duration::from_millis(300),
        ycsb_keys: 10_000,
        ycsb_ops: 48_000,
        cache_bytes: 64 << 20,
        cold_cache_bytes: 4 << 20,
        rounds: 1,
    };

    /// Bytes of values in the cold data set.
    #[must_use]
    pub const fn cold_bytes(&self) -> u64 {
        10 * self.cold_cache_bytes
    }
}

/// Everything that a workload needs to know.
pub struct Plan {
    /// The stores that take part.
    pub families: Vec<Box<dyn Family>>,
    /// The sizes.
    pub scale: Scale,
    /// The values.
    pub values: Values,
}

/// Who runs in a round.
#[derive(Clone, Copy)]
pub enum Contender<'a> {
    /// No store of its own: a way of using the bare device, or a part of the engine.
    Bare(&'static str),
    /// A store.
    Store(&'a dyn Family),
}

impl Contender<'_> {
    fn standing(&self) -> Standing {
        match self {
            Self::Bare(_) => Standing::Bare,
            Self::Store(family) if family.is_ours() => Standing::Ours,
            Self::Store(_) => Standing::Peer,
        }
    }

    /// Its column.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bare(name) => name,
            Self::Store(family) => family.name(),
        }
    }
}

/// What a column is in the closing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// EmberKV: compared.
    Ours,
    /// Another store: a measure for the others.
    Peer,
    /// Another store that promises less in this workload: compared, but no measure.
    Apart,
    /// Not a store.
    Bare,
}

/// One contender's rounds.
#[derive(Clone, Debug)]
pub struct Column {
    /// Whose.
    pub name: &'static str,
    /// What it is compared with.
    pub standing: Standing,
    /// What each round measured.
    pub rounds: Vec<Vec<Figure>>,
}

/// Which way a figure is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A rate.
    More,
    /// A time, or bytes.
    Less,
}

/// A figure that decides: it is compared in the closing table, and drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headline {
    /// The label of the figure.
    pub label: &'static str,
    /// Which way it is good.
    pub better: Better,
}

impl Headline {
    /// More is better.
    #[must_use]
    pub const fn more(label: &'static str) -> Self {
        Self { label, better: Better::More }
    }

    /// Less is better.
    #[must_use]
    pub const fn less(label: &'static str) -> Self {
        Self { label, better: Better::Less }
    }
}

/// The headline of most tables.
pub const BY_RATE: &[Headline] = &[Headline::more(RATE)];

/// Latencies of a stretch of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slice {
    /// Where it ends, in milliseconds since the start.
    pub end_ms: f64,
    /// In microseconds.
    pub p50_us: f64,
    /// In microseconds.
    pub p99_us: f64,
    /// In microseconds.
    pub max_us: f64,
}

/// One store's latencies over time.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Whose.
    pub name: &'static str,
    /// In order.
    pub slices: Vec<Slice>,
}

/// One workload, measured.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name on the command line.
    pub workload: &'static str,
    /// What sets it apart from the workload's other tables, in a few words.
    pub row: String,
    /// What exactly was done.
    pub title: String,
    /// How, per contender, where that differs.
    pub notes: Vec<String>,
    /// What decides.
    pub headlines: &'static [Headline],
    /// The figures.
    pub columns: Vec<Column>,
    /// Latencies over time, where they were taken; of the last round.
    pub timelines: Vec<Timeline>,
}

/// Columns whose rounds hold the figures of several tables, one after the other: `each` of them per
/// table. A column that ends early is missing from the later tables.
#[must_use]
pub fn split(columns: &[Column], each: usize) -> Vec<Vec<Column>> {
    let figures = |column: &Column| column.rounds.iter().map(Vec::len).min().unwrap_or(0);
    let tables = columns.iter().map(figures).max().unwrap_or(0) / each;
    let part = |table: usize, column: &Column| {
        let range = table * each..(table + 1) * each;
        let rounds: Option<Vec<Vec<Figure>>> =
            column.rounds.iter().map(|round| Some(round.get(range.clone())?.to_vec())).collect();
        Some(Column { rounds: rounds?, ..column.clone() })
    };
    (0..tables)
        .map(|table| columns.iter().filter_map(|column| part(table, column)).collect())
        .collect()
}

impl Plan {
    /// All stores.
    #[must_use]
    pub fn stores(&self) -> Vec<Contender<'_>> {
        self.families.iter().map(|family| Contender::Store(family.as_ref())).collect()
    }

    /// The stores that so many threads may use at once.
    #[must_use]
    pub fn stores_for(&self, threads: u64) -> Vec<Contender<'_>> {
        let mut stores = self.stores();
        stores.retain(|contender| match contender {
            Contender::Store(family) => threads == 1 || family.is_shared(),
            Contender::Bare(_) => false,
        });
        stores
    }

    /// The bare device as a yardstick, then all stores.
    #[must_use]
    pub fn device_and_stores(&self) -> Vec<Contender<'_>> {
        let mut contenders = vec![Contender::Bare("device")];
        contenders.extend(self.stores());
        contenders
    }

    /// A store of `keys` values in `directory`, with a cache of `cache_bytes`.
    #[must_use]
    pub fn setup(&self, directory: &Path, keys: u64, value_bytes: usize) -> Setup {
        Setup {
            directory: directory.to_owned(),
            cache_bytes: self.scale.cache_bytes,
            keys,
            value_bytes,
            durable_puts: 0,
            space: Space::Log,
        }
    }

    /// Runs all rounds. `measure` gets the index of the contender, itself, and the number of the
    /// round.
    ///
    /// # Errors
    /// The first one of `measure`, with the contender's name.
    pub fn rounds(
        &self,
        contenders: &[Contender<'_>],
        mut measure: impl FnMut(usize, Contender<'_>, usize) -> Outcome<Vec<Figure>>,
    ) -> Outcome<Vec<Column>> {
        let mut columns: Vec<Column> = contenders
            .iter()
            .map(|contender| Column {
                name: contender.name(),
                standing: contender.standing(),
                rounds: Vec::new(),
            })
            .collect();
        for round in 0..self.scale.rounds {
            for turn in 0..contenders.len() {
                let index = (turn + round) % contenders.len();
                let contender = contenders[index];
                host::write_back();
                let figures = measure(index, contender, round)
                    .map_err(|error| format!("{}: {error}", contender.name()))?;
                columns[index].rounds.push(figures);
            }
        }
        Ok(columns)
    }
}

/// Bytes of `keys` keys with their values.
#[must_use]
pub const fn data_bytes(keys: u64, value_bytes: usize) -> u64 {
    keys * (KEY_BYTES + value_bytes) as u64
}

#[cfg(test)]
mod tests {
    use super::{Column, Standing, split};
    use crate::measure::{Figure, RATE};

    #[test]
    fn a_column_that_ends_early_is_missing_from_the_later_tables() {
        let column = |name, values: &[f64]| Column {
            name,
            standing: Standing::Peer,
            rounds: vec![
                values.iter().map(|value| Figure { label: RATE, value: *value }).collect(),
            ],
        };
        let tables = split(&[column("one", &[1.0, 2.0]), column("two", &[3.0, 4.0, 5.0, 6.0])], 2);
        let names: Vec<Vec<&str>> =
            tables.iter().map(|table| table.iter().map(|column| column.name).collect()).collect();
        assert_eq!(names, [vec!["one", "two"], vec!["two"]]);
        assert_eq!(tables[1][0].rounds[0][0].value, 5.0);
    }
}
