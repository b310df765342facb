//! The verb `load`: finds or makes the store, then loads a tree or a text into it.

use std::path::Path;

use emberkv_core::Access;
use emberkv_raw::Overwrite;

use crate::args;
use crate::failure::{At, Failure, Outcome};
use crate::host::{Created, Host};
use crate::load_text::{self, TextInput};
use crate::load_tree;
use crate::output::Output;
use crate::progress;
use crate::session::{Session, Summary, Unit, created_line};
use crate::walk::Walk;

/// `load`
pub(crate) fn load(host: &Host, arguments: &args::Load) -> Result<Outcome, Failure> {
    match &arguments.tree {
        Some(tree) => {
            // Looked at before the store is made: a mistyped directory leaves no store behind.
            Walk::new(tree)?;
            run(
                host,
                arguments,
                Unit::Files,
                || load_tree::total_bytes(tree),
                |session| load_tree::load(session, tree, arguments),
            )
        }
        None => {
            let mut input = TextInput::open(arguments)?;
            let total = input.bytes();
            run(
                host,
                arguments,
                Unit::Entries,
                || total,
                |session| load_text::load(session, &mut input, arguments.resume),
            )
        }
    }
}

fn run(
    host: &Host,
    arguments: &args::Load,
    unit: Unit,
    total: impl FnOnce() -> Option<u64>,
    work: impl FnOnce(&mut Session<'_, '_>) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let path = &arguments.path;
    let mut output = Output::stdout()?;
    let created = find_or_create(host, path)?;
    if let Some(made) = created.filter(|_| !arguments.json) {
        told(output.line(&created_line(path, made.capacity, made.capacity_max)))?;
        told(output.flush())?;
    }
    let acks = if arguments.acks { Some(Output::stdout()?) } else { None };
    let summary = host.with_store(path, Access::ReadWrite, |mut store| {
        let bar = progress::bytes(if progress::is_watched() { total() } else { None });
        let mut session = Session::new(&mut store, path, unit, acks, bar);
        let result = match work(&mut session) {
            Ok(()) => session.finish(),
            Err(failure) => Err(session.abandon(failure)),
        };
        match result {
            Ok(summary) => store.close().at(path).map(|_| summary),
            Err(failure) => {
                // What could be made durable is; the clean mark only saves the next open some work.
                let _ = store.close();
                Err(failure)
            }
        }
    })?;
    tell(&mut output, &summary, created, arguments)?;
    Ok(Outcome::Done)
}

fn tell(
    output: &mut Output,
    summary: &Summary,
    created: Option<Created>,
    arguments: &args::Load,
) -> Result<(), Failure> {
    let line = if arguments.json {
        summary.json(created.map(|made| (made.capacity, made.capacity_max)))
    } else {
        summary.line()
    };
    told(output.line(&line))?;
    told(output.flush())
}

/// A reader of standard output that has gone does not end a load.
fn told(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(Failure::PipeClosed) => Ok(()),
        result => result,
    }
}

fn find_or_create(host: &Host, path: &Path) -> Result<Option<Created>, Failure> {
    if path.symlink_metadata().is_ok() {
        return Ok(None);
    }
    host.create(path, None, None, None, Overwrite::Nothing).map(Some)
}
