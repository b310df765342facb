//! littlefs: a file for each key, a value is its content.
//!
//! Cache and lookahead as its documentation suggests for blocks of 4 KiB; programs of 16 bytes.
//! What it leaves of a file that was just created may be empty: creating and writing are two steps.

use littlefs2::consts::{U4, U256};
use littlefs2::driver::Storage;
use littlefs2::fs::{Allocation, Filesystem};
use littlefs2::io::Error;
use littlefs2::path::PathBuf;

use super::said;
use crate::nor::{Fault, Flash};
use crate::store::{Family, Outcome, Start, Store, VALUE_BYTES_MAX, Work};

struct Chip<const BLOCK: usize, const COUNT: usize>(Flash<BLOCK, COUNT>);

fn done(result: Result<(), Fault>) -> littlefs2::io::Result<usize> {
    match result {
        Ok(()) => Ok(0),
        // What littlefs takes as "this block is bad", as its own test devices do.
        Err(Fault::Unreadable) => Err(Error::CORRUPTION),
        Err(_) => Err(Error::IO),
    }
}

impl<const BLOCK: usize, const COUNT: usize> Storage for Chip<BLOCK, COUNT> {
    const READ_SIZE: usize = 16;
    const WRITE_SIZE: usize = 16;
    const BLOCK_SIZE: usize = BLOCK;
    const BLOCK_COUNT: usize = COUNT;
    const BLOCK_CYCLES: isize = 500;
    type CACHE_SIZE = U256;
    type LOOKAHEAD_SIZE = U4;

    fn read(&mut self, off: usize, buf: &mut [u8]) -> littlefs2::io::Result<usize> {
        done(self.0.0.borrow_mut().read(off, buf))
    }
    fn write(&mut self, off: usize, data: &[u8]) -> littlefs2::io::Result<usize> {
        done(self.0.0.borrow_mut().program(off, data))
    }
    fn erase(&mut self, off: usize, len: usize) -> littlefs2::io::Result<usize> {
        done(self.0.0.borrow_mut().erase(off..off + len))
    }
}

struct Open<'a, const BLOCK: usize, const COUNT: usize>(Filesystem<'a, Chip<BLOCK, COUNT>>);

fn path(key: u16) -> PathBuf {
    PathBuf::try_from(format!("/{key:04x}").as_str()).expect("five characters of ASCII")
}

impl<const BLOCK: usize, const COUNT: usize> Store for Open<'_, BLOCK, COUNT> {
    fn put(&mut self, key: u16, value: &[u8]) -> Outcome {
        self.0.write(&path(key), value).map_err(said)
    }
    fn get(&mut self, key: u16, value: &mut Vec<u8>) -> Outcome<bool> {
        value.clear();
        match self.0.read::<VALUE_BYTES_MAX>(&path(key)) {
            Ok(found) => {
                value.extend_from_slice(&found);
                Ok(true)
            }
            Err(Error::NO_SUCH_ENTRY) => Ok(false),
            Err(error) => Err(said(error)),
        }
    }
    fn delete(&mut self, key: u16) -> Outcome {
        match self.0.remove(&path(key)) {
            Ok(()) | Err(Error::NO_SUCH_ENTRY) => Ok(()),
            Err(error) => Err(said(error)),
        }
    }
    fn fold(&mut self, each: &mut dyn FnMut(u16, &[u8])) -> Outcome {
        let mut keys = Vec::new();
        let root = PathBuf::try_from("/").expect("one character of ASCII");
        let listed = self.0.read_dir_and_then(&root, |entries| {
            for entry in entries {
                let entry = entry?;
                if entry.metadata().is_file() {
                    keys.extend(u16::from_str_radix(entry.file_name().as_ref(), 16));
                }
            }
            Ok(())
        });
        listed.map_err(said)?;
        for key in keys {
            let value = self.0.read::<VALUE_BYTES_MAX>(&path(key)).map_err(said)?;
            each(key, &value);
        }
        Ok(())
    }
}

/// littlefs.
pub(crate) struct Littlefs;

impl<const BLOCK: usize, const COUNT: usize> Family<BLOCK, COUNT> for Littlefs {
    fn name(&self) -> &'static str {
        "littlefs"
    }
    fn ram_bytes(&self, _keys: usize) -> usize {
        // An open file has a cache of its own.
        size_of::<Allocation<Chip<BLOCK, COUNT>>>() + 256
    }
    fn session(&self, flash: &Flash<BLOCK, COUNT>, start: Start, work: Work<'_>) -> Outcome {
        let mut chip = Chip(flash.clone());
        if start == Start::Format {
            Filesystem::format(&mut chip).map_err(said)?;
        }
        let mut memory = Filesystem::allocate();
        let files = Filesystem::mount(&mut memory, &mut chip).map_err(said)?;
        work(&mut Open(files))
    }
}
