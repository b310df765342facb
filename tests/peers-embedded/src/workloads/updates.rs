//! Random overwrites of a few keys in the steady state, and what everything else costs then.

use serde_json::Value;

use super::{BLOCK, BLOCKS, Families, ms};
use crate::nor::{Counts, Flash};
use crate::report::Table;
use crate::rng::Rng;
use crate::store::{Family, Outcome, Start, Store, VALUE_BYTES, value};

/// Updates at most until the device has been round once: the slowest store gets there.
const WARM_UP_MAX: u32 = 120_000;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) updates: u32,
    pub(crate) gets: u32,
    pub(crate) deletes: u16,
}

/// What the calls of one kind cost.
#[derive(Default)]
struct Calls {
    total: Counts,
    ns: Vec<u64>,
    reads_max: u64,
    programs_max: u64,
    erases_max: u64,
}

impl Calls {
    fn call<T>(
        &mut self,
        flash: &Flash<BLOCK, BLOCKS>,
        call: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<T> {
        let before = flash.counts();
        let result = call()?;
        let cost = flash.counts() - before;
        self.ns.push(cost.ns);
        self.reads_max = self.reads_max.max(cost.reads);
        self.programs_max = self.programs_max.max(cost.programs);
        self.erases_max = self.erases_max.max(cost.erases);
        self.total.reads += cost.reads;
        self.total.read_bytes += cost.read_bytes;
        self.total.programs += cost.programs;
        self.total.program_bytes += cost.program_bytes;
        self.total.erases += cost.erases;
        self.total.ns += cost.ns;
        Ok(result)
    }

    fn mean(&self, of: impl Fn(&Counts) -> u64) -> f64 {
        of(&self.total) as f64 / self.ns.len().max(1) as f64
    }

    /// Milliseconds that so many of a thousand calls do not exceed.
    fn at_most(&mut self, of_thousand: usize) -> f64 {
        self.ns.sort_unstable();
        let index = (self.ns.len() * of_thousand / 1000).min(self.ns.len().saturating_sub(1));
        self.ns.get(index).map_or(0.0, |ns| *ns as f64 / 1e6)
    }
}

struct Session<'a> {
    flash: &'a Flash<BLOCK, BLOCKS>,
    keys: u16,
    rng: Rng,
    versions: Vec<u32>,
}

impl Session<'_> {
    fn next(&mut self) -> (u16, [u8; VALUE_BYTES]) {
        let key = self.rng.below(u64::from(self.keys)) as u16;
        self.versions[usize::from(key)] += 1;
        (key, value(key, self.versions[usize::from(key)]))
    }

    fn update(&mut self, store: &mut dyn Store, calls: &mut Calls) -> Outcome {
        let (key, value) = self.next();
        calls.call(self.flash, || store.put(key, &value))
    }

    fn get(&mut self, store: &mut dyn Store, calls: &mut Calls) -> Outcome {
        let key = self.rng.below(u64::from(self.keys)) as u16;
        let mut found = Vec::new();
        let is_there = calls.call(self.flash, || store.get(key, &mut found))?;
        if !is_there || found != value(key, self.versions[usize::from(key)]) {
            return Err(format!("key {key} is wrong"));
        }
        Ok(())
    }

    /// Writes all keys, then goes on until the store reuses what it wrote first.
    fn warm_up(&mut self, store: &mut dyn Store) -> Outcome {
        for key in 0..self.keys {
            store.put(key, &value(key, 0))?;
        }
        let start = self.flash.0.borrow().counts.erases;
        for _ in 0..WARM_UP_MAX {
            if self.flash.0.borrow().counts.erases - start >= BLOCKS as u64 + 16 {
                break;
            }
            self.update(store, &mut Calls::default())?;
        }
        Ok(())
    }

    fn delete(&mut self, store: &mut dyn Store, key: u16, calls: &mut Calls) -> Outcome {
        calls.call(self.flash, || store.delete(key))?;
        let mut found = Vec::new();
        if store.get(key, &mut found)? {
            return Err(format!("key {key} was deleted"));
        }
        let value = value(key, self.versions[usize::from(key)]);
        store.put(key, &value)
    }

    fn fold(&mut self, store: &mut dyn Store, calls: &mut Calls) -> Outcome<u64> {
        let mut seen = vec![None; usize::from(self.keys)];
        let mut count = 0;
        calls.call(self.flash, || {
            store.fold(&mut |key, value| {
                seen[usize::from(key)] = Some(value.to_vec());
                count += 1;
            })
        })?;
        for (key, seen) in (0..).zip(&seen) {
            if seen.as_deref() != Some(&value(key, self.versions[usize::from(key)])[..]) {
                return Err(format!("key {key} is wrong in the iteration"));
            }
        }
        Ok(count)
    }
}

/// One table: all stores with so many keys.
pub(crate) fn run(families: &Families, keys: u16, scale: Scale) -> Outcome<Table> {
    let title = format!(
        "{keys} keys of 2 bytes, values of {VALUE_BYTES}: random overwrites, each durable; modelled ms"
    );
    let mut table = Table::new(title);
    for family in families {
        let cells = measure(family.as_ref(), keys, scale)
            .map_err(|error| format!("{}: {error}", family.name()))?;
        table.push_column(family.name(), cells);
    }
    Ok(table)
}

fn measure(
    family: &dyn Family<BLOCK, BLOCKS>,
    keys: u16,
    scale: Scale,
) -> Outcome<Vec<(String, Value)>> {
    let flash = Flash::new();
    let mut session =
        Session { flash: &flash, keys, rng: Rng::new(7), versions: vec![0; usize::from(keys)] };
    let [mut updates, mut gets, mut deletes, mut folds, mut rested, mut idle] =
        [(); 6].map(|()| Calls::default());
    let mut folded = 0;
    family.session(&flash, Start::Format, &mut |store| {
        session.warm_up(store)?;
        for _ in 0..scale.updates {
            session.update(store, &mut updates)?;
        }
        for _ in 0..scale.gets {
            session.get(store, &mut gets)?;
        }
        for index in 0..scale.deletes {
            session.delete(store, index * (keys / scale.deletes), &mut deletes)?;
        }
        folded = session.fold(store, &mut folds)?;
        for _ in 0..scale.updates {
            idle.call(&flash, || store.idle())?;
            session.update(store, &mut rested)?;
        }
        Ok(())
    })?;
    let mut open = Calls::default();
    let before = flash.counts();
    family.session(&flash, Start::Open, &mut |store| {
        let found = store.get(0, &mut Vec::new())?;
        if !found {
            return Err("key 0 is gone".into());
        }
        Ok(())
    })?;
    let opened = flash.counts() - before;
    open.ns.push(opened.ns);
    let rests = idle.total.ns > 0;
    let cells: Vec<(&str, Value)> = vec![
        ("update: ms, mean", (updates.total.ns as f64 / 1e6 / f64::from(scale.updates)).into()),
        ("update: ms, 99 %", updates.at_most(990).into()),
        ("update: ms, max", updates.at_most(1000).into()),
        ("update: bytes programmed", updates.mean(|c| c.program_bytes).into()),
        ("update: programs", updates.mean(|c| c.programs).into()),
        ("update: erases", updates.mean(|c| c.erases).into()),
        ("update: erases, max of a call", updates.erases_max.into()),
        ("update: flash reads", updates.mean(|c| c.reads).into()),
        ("get: flash reads, mean", gets.mean(|c| c.reads).into()),
        ("get: flash reads, max", gets.reads_max.into()),
        ("get: bytes read", gets.mean(|c| c.read_bytes).into()),
        ("get: ms, mean", gets.mean(|c| c.ns).into_ms()),
        ("delete: programs, mean", deletes.mean(|c| c.programs).into()),
        ("delete: programs, max", deletes.programs_max.into()),
        ("delete: ms, mean", deletes.mean(|c| c.ns).into_ms()),
        ("fold: items for live keys", format!("{folded} / {keys}").into()),
        ("fold: ms", ms(&folds.total).into()),
        ("with idle steps, update: ms, mean", when(rests, rested.mean(|c| c.ns) / 1e6)),
        ("with idle steps, update: ms, max", when(rests, rested.at_most(1000))),
        ("with idle steps, update: erases, max", when(rests, rested.erases_max as f64)),
        ("idle step: ms, max", when(rests, idle.at_most(1000))),
        ("idle step: erases, max", when(rests, idle.erases_max as f64)),
        (
            "idle steps and updates: erases",
            when(rests, idle.mean(|c| c.erases) + rested.mean(|c| c.erases)),
        ),
        ("open, one get: ms", ms(&opened).into()),
        ("open, one get: flash reads", opened.reads.into()),
        ("memory, bytes", family.ram_bytes(usize::from(keys)).into()),
        ("bytes programmed twice", flash.counts().twice.into()),
    ];
    Ok(cells.into_iter().map(|(label, cell)| (label.to_owned(), cell)).collect())
}

fn when(there: bool, figure: f64) -> Value {
    if there { figure.into() } else { Value::Null }
}

trait IntoMs {
    fn into_ms(self) -> Value;
}

impl IntoMs for f64 {
    /// From nanoseconds.
    fn into_ms(self) -> Value {
        (self / 1e6).into()
    }
}
