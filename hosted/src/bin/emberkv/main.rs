//! `emberkv`: the command line over one store, in a file or on a block device.
//!
//! One verb, one file here. Results go to standard output, byte for byte; every failure is one line
//! on standard error and an exit code: 0 done, 1 not there or damaged, 2 an error.

mod args;
mod backup;
mod bench;
mod check;
mod completions;
mod create;
mod device;
mod dump;
mod dump_tree;
mod explain;
mod failure;
mod host;
mod jsonl;
mod latency;
mod list;
mod load;
mod load_text;
mod load_tree;
mod map;
mod merge;
mod output;
mod plot;
mod progress;
mod salvage;
mod session;
mod single;
mod size;
mod source;
mod stat;
mod tsv;
mod value;
mod walk;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Arguments, Verb};
use crate::failure::{Failure, Outcome};
use crate::host::Host;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    match run(&arguments) {
        Ok(Outcome::Done) | Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Ok(Outcome::Negative) => ExitCode::from(1),
        Err(failure) => {
            complain(&failure.to_string());
            ExitCode::from(2)
        }
    }
}

/// What was typed is no command: one line as for every other error. Help and version are none.
fn refuse(error: &clap::Error) -> ExitCode {
    let no_words = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !error.use_stderr() || no_words {
        // Nobody is left to tell if this cannot be written.
        let _ = error.print();
        return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
    }
    let text = error.render().to_string();
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let words: Vec<_> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    let line = paragraphs.filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().join("; ");
    complain(&format!("emberkv: {}", line.strip_prefix("error: ").unwrap_or(&line)));
    ExitCode::from(2)
}

fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let host = Host::new(arguments.cache);
    match &arguments.verb {
        Verb::Create(create) => create::create(&host, create),
        Verb::Put(put) => single::put(&host, put),
        Verb::Get(key) => single::get(&host, key),
        Verb::Delete(key) => single::delete(&host, key),
        Verb::List(list) => list::list(&host, list),
        Verb::Load(load) => load::load(&host, load),
        Verb::Dump(dump) => dump::dump(&host, dump),
        Verb::Stat(report) => stat::stat(&host, report),
        Verb::Check(report) => check::check(&host, report),
        Verb::Merge(merge) => merge::merge(&host, merge),
        Verb::Salvage(salvage) => salvage::salvage(&host, salvage),
        Verb::Backup(backup) => backup::backup(&host, backup),
        Verb::Map(report) => map::map(&host, report),
        Verb::Bench(arguments) => bench::bench(&host, arguments),
        Verb::Completions(shell) => completions::completions(shell),
    }
}

/// One line on standard error. If even that cannot be written there is nobody to tell.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
