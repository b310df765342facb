//! The verb `create`.

use crate::args;
use crate::failure::{Failure, Outcome};
use crate::host::Host;
use crate::output::Output;
use crate::session::created_line;

/// `create`
pub(crate) fn create(host: &Host, arguments: &args::Create) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    let segment = match arguments.segment.map(u32::try_from) {
        None => None,
        Some(Ok(bytes)) if bytes.is_power_of_two() => Some(bytes),
        Some(_) => {
            let what = "a segment's size must be a power of two below 4 GiB";
            return Err(Failure::new(path, what, "leave --segment out for a good default"));
        }
    };
    let made = host.create(path, arguments.capacity, arguments.max_capacity, segment)?;
    let mut output = Output::stdout()?;
    output.line(&created_line(path, made.capacity, made.capacity_max))?;
    output.finish()?;
    Ok(Outcome::Done)
}
