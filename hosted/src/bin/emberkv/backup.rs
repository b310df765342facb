//! The verb `backup`: a copy of everything in a new store, which appears under its name when it is
//! whole. The store is only read.

use emberkv::Db;
use emberkv::create::block_device;
use serde_json::json;

use crate::args;

use crate::failure::{Failure, Outcome, shown};
use crate::host::Host;
use crate::output::Output;

/// `backup`
pub(crate) fn backup(host: &Host, arguments: &args::Backup) -> Result<Outcome, Failure> {
    let (from, to) = (&arguments.path, &arguments.to);
    let failed = |error: &emberkv::Error| Failure::new(from, error.to_string(), "");
    let builder = Db::builder().cache_bytes(host.cache_bytes()).read_only(true);
    let db = match block_device(from) {
        Some(device) => builder.open_device(device),
        None => builder.open(from),
    };
    let db = db.map_err(|error| failed(&error))?;
    let report = db.backup(to).map_err(|error| failed(&error))?;
    db.close().map_err(|error| failed(&error))?;
    let mut output = Output::stdout()?;
    output.line(&if arguments.json {
        json!({ "keys": report.keys, "bytes": report.bytes }).to_string()
    } else {
        format!("{}: {} keys, {} bytes copied; durable", shown(to), report.keys, report.bytes)
    })?;
    output.finish()?;
    Ok(Outcome::Done)
}
