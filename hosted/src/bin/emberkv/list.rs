//! The verb `list`: the keys, raw, one a line or each ended by a NUL byte.

use emberkv_core::{Access, Cursor};

use crate::args;
use crate::failure::{At, Failure, Outcome};
use crate::host::{Host, KEY_BUFFER_BYTES};
use crate::output::Output;

/// `list`
pub(crate) fn list(host: &Host, arguments: &args::List) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    let prefix = arguments.prefix.as_deref().unwrap_or_default().as_encoded_bytes();
    let end: &[u8] = if arguments.null { b"\0" } else { b"\n" };
    host.with_store(path, Access::ReadOnly, |mut store| {
        let mut output = Output::stdout()?;
        let mut cursor = Cursor::default();
        let mut buffer = vec![0; KEY_BUFFER_BYTES];
        while let Some(key) = store.next_key(&mut cursor, &mut buffer).at(path)? {
            if key.starts_with(prefix) {
                output.bytes(key)?;
                output.bytes(end)?;
            }
        }
        output.finish()?;
        Ok(Outcome::Done)
    })
}
