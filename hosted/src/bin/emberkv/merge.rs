//! The verb `merge`: does now what writes do bit by bit, and gives space back if asked to.

use emberkv_core::Access;
use serde_json::json;

use crate::args;
use crate::failure::{At, Failure, Outcome, shown};
use crate::host::Host;
use crate::output::Output;
use crate::{progress, size};

/// Work between two movements of the progress bar, in bytes.
const STEP: u64 = 4 << 20;

/// `merge`
pub(crate) fn merge(host: &Host, arguments: &args::Merge) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    host.with_store(path, Access::ReadWrite, |mut store| {
        let before = store.stats();
        let bar = progress::bytes(None);
        loop {
            let step =
                if arguments.shrink { store.shrink_step(STEP) } else { store.merge_step(STEP) };
            let more = step.at(path)?;
            bar.set_position(store.stats().merge_work);
            if !more {
                break;
            }
        }
        bar.finish_and_clear();
        store.sync().at(path)?;
        let after = store.stats();
        store.close().at(path)?;
        let mut output = Output::stdout()?;
        let bytes = |segments: u32| u64::from(segments) * u64::from(after.segment_bytes);
        if arguments.json {
            let report = json!({
                "segments_merged": after.segments_merged,
                "copied_bytes": after.copied_bytes,
                "free_bytes_before": bytes(before.segments_free),
                "free_bytes": bytes(after.segments_free),
                "capacity_before": before.capacity,
                "capacity": after.capacity,
                "segments_damaged": after.segments_damaged,
            });
            output.line(&report.to_string())?;
        } else {
            output.line(&format!(
                "{}: {} segments merged, {} copied; {} free of {}",
                shown(path),
                after.segments_merged,
                size::human(after.copied_bytes),
                size::human(bytes(after.segments_free)),
                size::human(after.capacity),
            ))?;
            if after.capacity < before.capacity {
                let given = size::human(before.capacity - after.capacity);
                output.line(&format!("{given} given back"))?;
            }
        }
        output.finish()?;
        Ok(Outcome::Done)
    })
}
