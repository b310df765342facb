//! Ten keys that are written all the time beside ninety that never are: how evenly blocks wear.

use serde_json::Value;

use super::{BLOCK, BLOCKS, Families};
use crate::nor::Flash;
use crate::report::Table;
use crate::rng::Rng;
use crate::store::{Family, Outcome, Start, value};

const COLD: u16 = 90;
const HOT: u16 = 10;

/// One table.
pub(crate) fn run(families: &Families, updates: u32) -> Outcome<Table> {
    let mut table = Table::new(format!(
        "wear of {BLOCKS} blocks after {updates} updates of {HOT} keys beside {COLD} others"
    ));
    for family in families {
        let cells = measure(family.as_ref(), updates)
            .map_err(|error| format!("{}: {error}", family.name()))?;
        table.push_column(family.name(), cells);
    }
    table
        .notes
        .push("blocks without erases are left out of mean, min and max: a store may keep".into());
    table.notes.push("some for good, as EmberKV does its two superblocks".into());
    Ok(table)
}

fn measure(family: &dyn Family<BLOCK, BLOCKS>, updates: u32) -> Outcome<Vec<(String, Value)>> {
    let flash = Flash::new();
    let mut rng = Rng::new(11);
    family.session(&flash, Start::Format, &mut |store| {
        // Formatting may erase everything; what counts comes later.
        flash.0.borrow_mut().wear.fill(0);
        for key in 0..COLD + HOT {
            store.put(key, &value(key, 0))?;
        }
        for version in 1..=updates {
            let key = COLD + rng.below(u64::from(HOT)) as u16;
            store.put(key, &value(key, version))?;
        }
        for key in 0..COLD {
            let mut found = Vec::new();
            if !store.get(key, &mut found)? || found != value(key, 0) {
                return Err(format!("key {key} is wrong"));
            }
        }
        Ok(())
    })?;
    let nor = flash.0.borrow();
    let used: Vec<u64> = nor.wear.iter().copied().filter(|erases| *erases > 0).collect();
    let (least, most) =
        (used.iter().min().copied().unwrap_or(0), used.iter().max().copied().unwrap_or(0));
    let total: u64 = used.iter().sum();
    let mean = total as f64 / used.len().max(1) as f64;
    let cells: Vec<(&str, Value)> = vec![
        ("erases of a block: mean", mean.into()),
        ("erases of a block: min", least.into()),
        ("erases of a block: max", most.into()),
        ("max - min", (most - least).into()),
        ("max - min wanted, at most", (mean * 0.02 + 2.0).into()),
        ("blocks never erased", (BLOCKS - used.len()).into()),
        (
            "updates until a block has 100,000",
            (1e5 / most.max(1) as f64 * f64::from(updates)).into(),
        ),
    ];
    Ok(cells.into_iter().map(|(label, cell)| (label.to_owned(), cell)).collect())
}
