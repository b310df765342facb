//! What a replay prints: the operations of each session, and panics as text.

use std::any::Any;
use std::fmt::Write as _;
use std::sync::Once;

use super::history::History;
use super::oplog::{AtomKind, OpKind, OpLog};

/// Appends a session's log.
pub fn print(text: &mut String, level: usize, log: &OpLog, history: &History) {
    let _ = writeln!(text, "session at depth {level}:");
    for (index, op) in log.ops.iter().enumerate() {
        let _ = write!(text, "  #{index:<4} {:<7}", format!("{:?}", op.phase));
        match op.kind {
            OpKind::User(at) => {
                let _ = write!(text, "tape byte {at}");
            }
            OpKind::Ack => {
                let _ = write!(text, "acknowledged S{}", op.lower);
            }
            kind => {
                let _ = write!(text, "{kind:?}");
            }
        }
        for atom in &log.atoms[op.first as usize..op.end as usize] {
            let sign = match atom.kind {
                AtomKind::Program => '+',
                AtomKind::Erase => 'e',
                AtomKind::Trim => 't',
            };
            let _ = write!(text, " {:#x}{sign}{}", atom.offset, atom.bytes);
        }
        let _ = writeln!(text, "  [S{}..S{}]", op.lower, op.upper);
    }
    let bounds = history.bounds();
    let _ = writeln!(
        text,
        "  newest states:{}",
        history.explain_bounds((bounds.1.saturating_sub(5), bounds.1))
    );
}

/// Panics inside the simulator become failures with a replay line; their usual print would only be noise.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            LAST_PANIC.with_borrow_mut(|last| *last = place);
            if !SIMULATING.get() || std::env::var_os("EMBER_SIM_PANICS").is_some() {
                usual(info);
            }
        }));
    });
}

thread_local! {
    static SIMULATING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    static LAST_PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Runs something whose panics are caught by the caller, without their usual print.
///
/// # Errors
/// The panic.
pub fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    quiet_panics();
    let outer = SIMULATING.replace(true);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    SIMULATING.set(outer);
    outcome
}

/// The message of a caught panic and where it came from.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    LAST_PANIC.with_borrow(|place| format!("panic at {place}: {message}"))
}
