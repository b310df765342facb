//! Talk with the host by semihosting: lines of text, the command line, the end.
//!
//! A line is taken by the host before the call returns, so what was said happened before what comes
//! next.

use core::fmt::{self, Write};

use cortex_m_semihosting::{debug, hio, nr, syscall1};

/// Says one line.
#[macro_export]
macro_rules! say {
    ($($part:tt)*) => { $crate::host::say_line(::core::format_args!($($part)*)) };
}

/// A line under way: what does not fit is left out.
struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LINE_BYTES - 1 - self.len;
        let part = &text.as_bytes()[..text.len().min(room)];
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
        Ok(())
    }
}

/// Says one line: see [`say!`](crate::say).
#[inline(never)]
pub fn say_line(what: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE_BYTES], len: 0 };
    // Neither can the line refuse, nor is there anybody to tell if the host does.
    let _ = line.write_fmt(what);
    line.bytes[line.len] = b'\n';
    if let Ok(mut host) = hio::hstdout() {
        let _ = host.write_all(&line.bytes[..=line.len]);
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Passed,
    /// Something is wrong; a line said what.
    Failed,
}

/// Ends the emulator.
pub fn exit(verdict: Verdict) -> ! {
    let code = match verdict {
        Verdict::Passed => debug::EXIT_SUCCESS,
        Verdict::Failed => debug::EXIT_FAILURE,
    };
    debug::exit(code);
    silence()
}

/// Does nothing any more: the host ends the emulator.
pub fn silence() -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}

/// Room for a line, and for the host's command line.
const LINE_BYTES: usize = 160;

/// What the host asks for: words `name=number`, and bare words.
#[derive(Debug)]
pub struct CommandLine {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl CommandLine {
    /// Asks the host; empty where it has nothing to say.
    #[must_use]
    pub fn read() -> Self {
        let mut bytes = [0; LINE_BYTES];
        let mut block = [bytes.as_mut_ptr() as usize, LINE_BYTES - 1];
        // SAFETY: the call writes a string of at most block[1] bytes and its NUL to block[0], which
        // is `bytes`, and the length to block[1]; both outlive the call.
        let failed = unsafe { syscall1(nr::GET_CMDLINE, (&raw mut block) as usize) };
        let len = if failed == 0 { block[1].min(LINE_BYTES) } else { 0 };
        Self { bytes, len }
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("").split_ascii_whitespace()
    }

    /// Whether a word is there.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.words().any(|found| found == word)
    }

    /// The number of a word `name=number`.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        let value = |word: &str| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        self.words().find_map(value)
    }
}
