//! The verb `stat`: sizes and counts of a store, for a person or as JSON.

use std::path::Path;

use emberkv_core::{Access, BlockDevice};
use serde_json::json;

use crate::args;
use crate::failure::{Failure, Outcome, shown};
use crate::host::Host;
use crate::output::Output;
use crate::size;

/// `stat`
pub(crate) fn stat(host: &Host, arguments: &args::Report) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    host.with_store(path, Access::ReadOnly, |store| {
        let stats = store.stats();
        let geometry = store.device().geometry();
        let mode = store.device().mode_name();
        let device = store.device().path();
        let free_bytes = u64::from(stats.segments_free) * u64::from(stats.segment_bytes);
        let mut output = Output::stdout()?;
        if arguments.json {
            let report = json!({
                "path": path.to_string_lossy(),
                "device": device.to_string_lossy(),
                "format_version": stats.format_version,
                "capacity": stats.capacity,
                "capacity_max": stats.capacity_max,
                "keys": stats.keys,
                "keys_max": stats.entries_max,
                "entries": stats.entries,
                "live_bytes": stats.live_bytes,
                "free_bytes": free_bytes,
                "segment_bytes": stats.segment_bytes,
                "segments": stats.segments,
                "segments_free": stats.segments_free,
                "segments_sealed": stats.segments_sealed,
                "page_bytes": stats.page_bytes,
                "frames": stats.frames,
                "boot": stats.boot.0,
                "seq": stats.seq.0,
                "durable_seq": stats.durable_seq.0,
                "mode": mode,
                "write_unit": geometry.write_unit,
                "commit_unit": geometry.commit_unit(),
            });
            output.line(&report.to_string())?;
        } else {
            let both = |bytes| match size::human(bytes) {
                exact if bytes < 1024 => exact,
                human => format!("{human} ({bytes} bytes)"),
            };
            let segments = format!(
                "{} of {}: {} free, {} sealed",
                stats.segments,
                size::human(stats.segment_bytes.into()),
                stats.segments_free,
                stats.segments_sealed,
            );
            let rows = [
                ("store", place_of(path, device)),
                ("capacity", both(stats.capacity)),
                ("grows to", both(stats.capacity_max)),
                ("free", both(free_bytes)),
                ("keys", format!("{} (room for {} here)", stats.keys, stats.entries_max)),
                ("live bytes", both(stats.live_bytes)),
                ("segments", segments),
                ("pool", both(u64::from(stats.frames) * u64::from(stats.page_bytes))),
                ("commit unit", both(geometry.commit_unit().into())),
                ("opened to write", format!("{} times", stats.boot.0)),
                ("sequence", stats.seq.0.to_string()),
                ("I/O", mode.to_owned()),
            ];
            for (name, value) in rows {
                output.line(&format!("{name:<16} {value}"))?;
            }
        }
        output.finish()?;
        Ok(Outcome::Done)
    })
}

/// The path that the user knows, and where it leads if that is another one.
fn place_of(path: &Path, device: &Path) -> String {
    if path == device { shown(path) } else { format!("{} -> {}", shown(path), shown(device)) }
}
