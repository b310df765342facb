//! ekv, with its checksums: a transaction for each write, a page for each block.
//!
//! Its page size is fixed when it is compiled, so it takes part only on blocks of 4096 bytes.

use ekv::flash::{Flash as EkvFlash, PageID};
use ekv::{Config, CursorError, Database, ReadError};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;

use super::{now, said};
use crate::nor::{Fault, Flash};
use crate::store::{Family, Outcome, Start, Store, VALUE_BYTES_MAX, Work};

struct Chip<const BLOCK: usize, const COUNT: usize>(Flash<BLOCK, COUNT>);

impl<const BLOCK: usize, const COUNT: usize> EkvFlash for Chip<BLOCK, COUNT> {
    type Error = Fault;

    fn page_count(&self) -> usize {
        COUNT
    }
    async fn erase(&mut self, page: PageID) -> Result<(), Fault> {
        self.0.0.borrow_mut().erase(page.index() * BLOCK..(page.index() + 1) * BLOCK)
    }
    async fn read(&mut self, page: PageID, offset: usize, data: &mut [u8]) -> Result<(), Fault> {
        self.0.0.borrow_mut().read(page.index() * BLOCK + offset, data)
    }
    async fn write(&mut self, page: PageID, offset: usize, data: &[u8]) -> Result<(), Fault> {
        self.0.0.borrow_mut().program(page.index() * BLOCK + offset, data)
    }
}

type Base<const BLOCK: usize, const COUNT: usize> = Database<Chip<BLOCK, COUNT>, NoopRawMutex>;

struct Open<const BLOCK: usize, const COUNT: usize>(Base<BLOCK, COUNT>);

/// Keys in the order that ekv sorts by.
fn bytes(key: u16) -> [u8; 2] {
    key.to_be_bytes()
}

impl<const BLOCK: usize, const COUNT: usize> Store for Open<BLOCK, COUNT> {
    fn put(&mut self, key: u16, value: &[u8]) -> Outcome {
        now(async {
            let mut transaction = self.0.write_transaction().await;
            transaction.write(&bytes(key), value).await.map_err(said)?;
            transaction.commit().await.map_err(said)
        })
    }
    fn get(&mut self, key: u16, value: &mut Vec<u8>) -> Outcome<bool> {
        value.resize(VALUE_BYTES_MAX, 0);
        now(async {
            let transaction = self.0.read_transaction().await;
            match transaction.read(&bytes(key), value).await {
                Ok(found) => {
                    value.truncate(found);
                    Ok(true)
                }
                Err(ReadError::KeyNotFound) => Ok(false),
                Err(error) => Err(said(error)),
            }
        })
    }
    fn delete(&mut self, key: u16) -> Outcome {
        now(async {
            let mut transaction = self.0.write_transaction().await;
            transaction.delete(&bytes(key)).await.map_err(said)?;
            transaction.commit().await.map_err(said)
        })
    }
    fn fold(&mut self, each: &mut dyn FnMut(u16, &[u8])) -> Outcome {
        now(async {
            let transaction = self.0.read_transaction().await;
            let mut cursor = transaction.read_all().await.map_err(said)?;
            let (mut key, mut value) = ([0; 16], [0; VALUE_BYTES_MAX]);
            let failed = |error: CursorError<Fault>| said(error);
            while let Some((2, bytes)) = cursor.next(&mut key, &mut value).await.map_err(failed)? {
                each(u16::from_be_bytes([key[0], key[1]]), &value[..bytes]);
            }
            Ok(())
        })
    }
}

/// ekv.
pub(crate) struct Ekv;

impl<const BLOCK: usize, const COUNT: usize> Family<BLOCK, COUNT> for Ekv {
    fn name(&self) -> &'static str {
        "ekv"
    }
    fn ram_bytes(&self, _keys: usize) -> usize {
        size_of::<Base<BLOCK, COUNT>>()
    }
    fn session(&self, flash: &Flash<BLOCK, COUNT>, start: Start, work: Work<'_>) -> Outcome {
        let database = Database::new(Chip(flash.clone()), Config::default());
        if start == Start::Format {
            now(database.format()).map_err(said)?;
        }
        now(database.mount()).map_err(said)?;
        work(&mut Open(database))
    }
}
