//! The host's tools on an image: they must find it whole, and in a state that the firmware may have
//! left.

use std::path::Path;
use std::process::{Command, Output};

use emberkv_firmware_script::{Count, Found, Key, State, value};

use crate::board::Board;

/// Runs a verb that must succeed.
fn run(emberkv: &Path, words: &[&str], image: &Path, more: &[&str]) -> Result<Output, String> {
    let output = Command::new(emberkv).args(words).arg(image).args(more).output();
    let output = output.map_err(|error| format!("{}: {error}", emberkv.display()))?;
    if output.status.success() {
        return Ok(output);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(format!("emberkv {words:?}: {}{}", text(&output.stdout), text(&output.stderr)))
}

/// `emberkv check`. On flash a footer that was torn stays so: it cannot be written again, and the
/// successor's header tells what it would. Only the device knows that, and here it is a file: such
/// footers are reported, and are no loss.
fn check(emberkv: &Path, board: Board, image: &Path) -> Result<(), String> {
    let words = ["--cache", "1MiB", "check"];
    let output = Command::new(emberkv).args(words).arg(image).output();
    let output = output.map_err(|error| format!("{}: {error}", emberkv.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut damages = text.lines().filter(|line| line.starts_with("damaged "));
    let torn = board == Board::Nor && damages.all(|line| line.starts_with("damaged footer "));
    match output.status.code() {
        Some(0) => Ok(()),
        Some(1) if torn => Ok(()),
        _ => Err(format!("emberkv check: {text}{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// `emberkv check`, `emberkv dump` and `emberkv get`; the state that the image holds.
pub(crate) fn inspect(
    emberkv: &Path,
    board: Board,
    image: &Path,
    acked: Count,
) -> Result<State, String> {
    check(emberkv, board, image)?;
    let dump = run(emberkv, &["--cache", "1MiB", "dump", "--format", "tsv"], image, &[])?;
    let mut found = Found::default();
    for line in dump.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        // Neither names nor values hold what tsv escapes.
        let tab = line.iter().position(|byte| *byte == b'\t').ok_or("a line without a value")?;
        let (name, bytes) = (&line[..tab], &line[tab + 1..]);
        found.add(name, bytes).map_err(|wrong| {
            format!("emberkv dump: {wrong:?} at {}", String::from_utf8_lossy(name))
        })?;
    }
    let state = found.state(acked).map_err(|wrong| format!("emberkv dump: {wrong:?}"))?;
    if let Some((key, count)) = state.keys().find_map(|key| Some((key, state.writer(key)?))) {
        get(emberkv, image, key, count)?;
    }
    Ok(state)
}

fn get(emberkv: &Path, image: &Path, key: Key, count: Count) -> Result<(), String> {
    let name = key.name();
    let name = std::str::from_utf8(name.as_bytes()).map_err(|error| error.to_string())?;
    let output = run(emberkv, &["--cache", "1MiB", "get"], image, &[name])?;
    if output.stdout == value(key, count).as_bytes() {
        Ok(())
    } else {
        Err(format!("emberkv get {name}: not what operation {count} wrote"))
    }
}
