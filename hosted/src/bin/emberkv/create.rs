//! The verb `create`.

use emberkv::create::block_device;
use emberkv_raw::Overwrite;

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
    let overwrite = arguments.destroy.map_or(Overwrite::Nothing, Overwrite::Destroy);
    let made = host.create(path, arguments.capacity, arguments.max_capacity, segment, overwrite)?;
    let mut output = Output::stdout()?;
    let place = block_device(path).unwrap_or_else(|| path.clone());
    output.line(&created_line(&place, made.capacity, made.capacity_max))?;
    output.finish()?;
    Ok(Outcome::Done)
}
