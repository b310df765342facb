//! The verb `completions`: what makes a shell complete the words of this command line.

use clap::CommandFactory;

use crate::args;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// `completions`
pub(crate) fn completions(arguments: &args::Completions) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    let mut command = args::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "emberkv", &mut script);
    let mut output = Output::stdout()?;
    output.bytes(&script)?;
    output.finish()?;
    Ok(Outcome::Done)
}
