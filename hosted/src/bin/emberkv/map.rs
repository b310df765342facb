//! The verb `map`: the segments in their order on the device, each by how much of it is alive.

use emberkv_core::Access;
use emberkv_core::types::SegmentId;
use serde_json::json;

use crate::args;
use crate::failure::{Failure, Outcome, shown};
use crate::host::Host;
use crate::output::Output;
use crate::size;

/// Segments in a row of the picture.
const ROW: usize = 64;
/// Live parts of a segment, from nearly none to all.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const FREE: char = '·';
const HEAD: char = '>';

/// `map`
pub(crate) fn map(host: &Host, arguments: &args::Report) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    host.with_store(path, Access::ReadOnly, |store| {
        let stats = store.stats();
        let segments = (0..stats.segments).map(|index| store.segment_stats(SegmentId(index)));
        let mut output = Output::stdout()?;
        if arguments.json {
            let segments: Vec<_> = segments
                .map(|segment| {
                    segment.map(|segment| {
                        json!({
                            "open_seq": segment.open_seq.0,
                            "live_cost": segment.live_cost,
                            "head": segment.is_head,
                        })
                    })
                })
                .collect();
            let report = json!({
                "path": path.to_string_lossy(),
                "segment_bytes": stats.segment_bytes,
                "segments": segments,
            });
            output.line(&report.to_string())?;
            output.finish()?;
            return Ok(Outcome::Done);
        }
        let cells: Vec<char> = segments
            .map(|segment| match segment {
                None => FREE,
                Some(segment) if segment.is_head => HEAD,
                Some(segment) => level(segment.live_cost, stats.segment_bytes),
            })
            .collect();
        output.line(&format!(
            "{}: {} segments of {}, {} free, {} of live records",
            shown(path),
            stats.segments,
            size::human(stats.segment_bytes.into()),
            stats.segments_free,
            size::human(stats.live_cost),
        ))?;
        for (row, cells) in cells.chunks(ROW).enumerate() {
            let cells: String = cells.iter().collect();
            output.line(&format!("{:>7} {cells}", row * ROW))?;
        }
        output.line(&format!(
            "        {FREE} free   {} .. {} alive: an eighth .. all   {HEAD} written now",
            LEVELS[0],
            LEVELS[LEVELS.len() - 1],
        ))?;
        output.finish()?;
        Ok(Outcome::Done)
    })
}

/// The sign for a segment of which `live` bytes are alive.
fn level(live: u32, segment_bytes: u32) -> char {
    let last = LEVELS.len() - 1;
    let eighth = u64::from(live) * LEVELS.len() as u64 / u64::from(segment_bytes.max(1));
    // What merging would write may be a little more than the segment holds.
    LEVELS[usize::try_from(eighth).unwrap_or(last).min(last)]
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn a_segment_is_drawn_by_its_live_eighths() {
        assert_eq!(level(0, 4096), '▁');
        assert_eq!(level(2048, 4096), '▅');
        assert_eq!(level(4096, 4096), '█');
        assert_eq!(level(u32::MAX, 4096), '█');
    }
}
