//! The sweep of power cuts as a table.

use serde_json::Value;

use crate::report::Table;
use crate::store::{Family, Outcome};
use crate::sweep::{CUTS_MAX, KEYS, SCRIPT, Scale, Tally, row_name, sweep};

/// One table: failed cases of all cases.
///
/// # Errors
/// A store that fails without any cut.
pub(crate) fn run<const B: usize, const C: usize>(
    families: &[Box<dyn Family<B, C>>],
    scale: Scale,
) -> Outcome<(Table, u64)> {
    let mut table = Table::new(format!(
        "power cuts on {C} blocks of {B} bytes, failed / cases: {SCRIPT} updates and deletes of \
         {KEYS} keys, 1 to {CUTS_MAX} cuts in a row"
    ));
    let mut failed_ours = 0;
    // Panics of a store are counted, not shown.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for family in families {
        let mut examples = Vec::new();
        let swept = sweep(family.as_ref(), scale, &mut examples);
        let (tallies, twice) = match swept {
            Ok(swept) => swept,
            Err(error) => {
                std::panic::set_hook(hook);
                return Err(format!("{}: {error}", family.name()));
            }
        };
        let mut cells: Vec<(String, Value)> = Vec::new();
        let mut all = Tally::default();
        for (row, tally) in tallies.iter().enumerate() {
            let cell = format!("{} / {}", tally.failed, tally.cases);
            cells.push((row_name(row).to_owned(), cell.into()));
            all.cases += tally.cases;
            all.failed += tally.failed;
            all.cuts += tally.cuts;
        }
        cells.push(("all".into(), format!("{} / {}", all.failed, all.cases).into()));
        cells.push(("cuts".into(), all.cuts.into()));
        cells.push(("bytes programmed twice".into(), twice.into()));
        table.push_column(family.name(), cells);
        if family.name().starts_with("emberkv") {
            failed_ours += all.failed + twice;
        }
        table.notes.extend(examples.iter().map(|what| format!("{}: {what}", family.name())));
    }
    std::panic::set_hook(hook);
    Ok((table, failed_ours))
}
