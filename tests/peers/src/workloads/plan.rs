//! What is common to all workloads: sizes, who takes part, and the rounds in turn.
//!
//! Rounds are interleaved (every contender once, then again), each beginning with another
//! contender, so that a drift of the machine hits all of them and nobody always runs behind the
//! same neighbour.

use std::path::Path;

use crate::data::{KEY_BYTES, Values};
use crate::host;
use crate::measure::Figure;
use crate::peer::{Family, Outcome, Setup, Space};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Keys of fills, of the larger cached data set and of opens.
    pub keys: u64,
    /// Durable puts and bare overwrites per round.
    pub durable_puts: u64,
    /// Cached gets per round.
    pub cached_gets: u64,
    /// Cold gets and bare reads per round.
    pub cold_gets: u64,
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
        cache_bytes: 64 << 20,
        cold_cache_bytes: 64 << 20,
        rounds: 3,
    };

    /// Sizes that only show that everything works.
    pub const QUICK: Self = Self {
        keys: 100_000,
        durable_puts: 1_000,
        cached_gets: 100_000,
        cold_gets: 5_000,
        cache_bytes: 64 << 20,
        cold_cache_bytes: 8 << 20,
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
    /// Its column.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bare(name) => name,
            Self::Store(family) => family.name(),
        }
    }
}

/// One contender's rounds.
#[derive(Clone, Debug)]
pub struct Column {
    /// Whose.
    pub name: &'static str,
    /// What each round measured.
    pub rounds: Vec<Vec<Figure>>,
}

/// One workload, measured.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name on the command line.
    pub workload: &'static str,
    /// What exactly was done.
    pub title: String,
    /// How, per contender, where that differs.
    pub notes: Vec<String>,
    /// The figures.
    pub columns: Vec<Column>,
}

impl Plan {
    /// All stores.
    #[must_use]
    pub fn stores(&self) -> Vec<Contender<'_>> {
        self.families.iter().map(|family| Contender::Store(family.as_ref())).collect()
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
            .map(|contender| Column { name: contender.name(), rounds: Vec::new() })
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
