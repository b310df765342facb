//! The emulator's process: its lines, and how its power is cut.
//!
//! A cut is SIGKILL, by process id. The emulated NOR chip hands a page to a thread that writes the
//! image, and says at once that it is done; so a kill could lose, or put out of order, what the
//! chip has acknowledged, which no chip does. There the emulator is stopped first, by its control
//! socket, which lets those writes finish, and then killed. The emulated SD card writes before it
//! answers.

use std::fs::{File, remove_file};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::board::Board;

/// How long a line, or the end, may take. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    board: Board,
    child: Child,
    lines: Receiver<String>,
    control: PathBuf,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine<'p> {
    pub(crate) board: Board,
    pub(crate) program: &'p str,
    pub(crate) firmware: &'p Path,
    pub(crate) image: &'p Path,
    pub(crate) control: &'p Path,
    /// A seeded bug of the firmware, by its name.
    pub(crate) canary: Option<&'p str>,
}

/// What came next.
#[derive(Debug)]
pub(crate) enum Event {
    Line(String),
    Ended,
}

impl Emulator {
    /// Boots the firmware with these words as its command line.
    pub(crate) fn boot(machine: &Machine<'_>, words: &[String]) -> Result<Self, String> {
        // A socket of an earlier emulator would only refuse connections.
        let _ = remove_file(machine.control);
        let mut semihosting = String::from("enable=on,target=native,arg=firmware");
        for word in words {
            semihosting.push_str(",arg=");
            semihosting.push_str(word);
        }
        // It warns of things that a board without a network has; they are kept for who looks for a
        // reason.
        let noise = File::create(machine.control.with_extension("stderr"));
        let noise = noise.map_err(|error| error.to_string())?;
        let mut child = Command::new(machine.program)
            .args(["-machine", machine.board.machine(), "-display", "none", "-monitor", "none"])
            .args(["-serial", "null", "-nodefaults"])
            .arg("-kernel")
            .arg(machine.firmware)
            .args(["-drive", &machine.board.drive(machine.image)])
            .args(["-semihosting-config", &semihosting])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", machine.control.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(noise)
            .spawn()
            .map_err(|error| format!("{}: {error}", machine.program))?;
        let output = child.stdout.take().ok_or("the emulator's output is a pipe")?;
        let (send, lines) = channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            // A line without its end was cut, and does not count.
            while output.read_line(&mut line).is_ok() && line.ends_with('\n') {
                if send.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Ok(Self { board: machine.board, child, lines, control: machine.control.to_owned() })
    }

    /// Waits for the next line.
    pub(crate) fn next(&mut self) -> Result<Event, String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Event::Line(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(Event::Ended),
            Err(RecvTimeoutError::Timeout) => {
                self.kill()?;
                Err(format!("no line for {PATIENCE:?}: the firmware hangs"))
            }
        }
    }

    /// Cuts the power. Lines that are still to be read stay to be read.
    pub(crate) fn cut(&mut self) -> Result<(), String> {
        // An emulator that has ended by itself needs no stopping.
        if self.board == Board::Nor
            && let Err(error) = self.stop()
            && self.child.try_wait().map_err(|error| error.to_string())?.is_none()
        {
            return Err(format!("the control socket: {error}"));
        }
        self.kill()
    }

    /// The end of an emulator that ends by itself.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, String> {
        self.child.wait().map_err(|error| error.to_string())
    }

    fn kill(&mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Stops the processor between two instructions, and waits for writes to the image.
    fn stop(&self) -> std::io::Result<()> {
        let mut stream = connect(&self.control)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answers = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        for command in ["qmp_capabilities", "stop"] {
            writeln!(stream, "{{\"execute\":\"{command}\"}}")?;
            loop {
                line.clear();
                if answers.read_line(&mut line)? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                // Events come in between.
                if line.starts_with("{\"return\"") {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // A harness that fails leaves no emulator behind; one that has ended already cannot be
        // killed.
        let _ = self.kill();
    }
}

/// Connects as soon as the emulator listens.
fn connect(path: &Path) -> std::io::Result<UnixStream> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(_) if begin.elapsed() < Duration::from_secs(5) => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
}
