//! The device alone: what one durable overwrite and one random read cost here and now.

use super::{BY_RATE, Contender, Plan, Table};
use crate::device::{Barrier, DeviceFile};
use crate::host;
use crate::peer::Outcome;
use crate::threads::Crew;

/// Its name on the command line.
pub const NAME: &str = "device";

const DSYNC: &str = "O_DSYNC overwrite";
const FDATASYNC: &str = "+ fdatasync";
const READ: &str = "random pread";

/// Measures all three ways.
///
/// # Errors
/// Those of the file system.
pub fn run(plan: &Plan) -> Outcome<Vec<Table>> {
    let directory = host::fresh_directory()?;
    let scale = plan.scale;
    let file = DeviceFile::create(directory.path(), scale.cold_bytes())?;
    let ways = [DSYNC, FDATASYNC, READ].map(Contender::Bare);
    let columns = plan.rounds(&ways, |_, way, round| match way.name() {
        DSYNC => file.overwrite(Barrier::Dsync, scale.durable_puts),
        FDATASYNC => file.overwrite(Barrier::Fdatasync, scale.durable_puts),
        _ => file.read_random(&Crew::sharing(scale.cold_gets, 1), round as u64),
    })?;
    Ok(vec![Table {
        workload: NAME,
        title: "4 KiB O_DIRECT on an already written file, one at a time".to_owned(),
        notes: Vec::new(),
        row: "alone".to_owned(),
        headlines: BY_RATE,
        columns,
        timelines: Vec::new(),
    }])
}
