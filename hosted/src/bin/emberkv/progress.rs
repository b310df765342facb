//! Progress bars: on standard error, only where that is a terminal.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// Whether somebody watches.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// A bar of bytes; a spinner where the total is not known.
pub(crate) fn bytes(total: Option<u64>) -> ProgressBar {
    match total {
        Some(total) => shown(
            ProgressBar::new(total),
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
        ),
        None => shown(ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {msg}"),
    }
}

/// A bar of entries.
pub(crate) fn entries(total: u64) -> ProgressBar {
    shown(ProgressBar::new(total), "{bar:30} {pos}/{len} {per_sec} {eta}")
}

/// A bar of milliseconds that are to pass.
pub(crate) fn phase(name: &'static str, seconds: f64) -> ProgressBar {
    shown(ProgressBar::new((seconds * 1e3) as u64), "{bar:30} {msg}").with_message(name)
}

/// The bar with its template, which has no colours: nothing to switch off for `NO_COLOR`.
fn shown(bar: ProgressBar, template: &str) -> ProgressBar {
    if !is_watched() {
        return ProgressBar::hidden();
    }
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    #[test]
    fn nothing_is_drawn_where_nobody_watches() {
        if !super::is_watched() {
            assert!(super::bytes(Some(1)).is_hidden());
        }
        assert!(ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg}").is_ok());
    }
}
