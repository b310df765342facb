//! Writes that become visible and durable together, or not at all.

use core::fmt;

/// Puts and deletes for [`Db::write`](crate::Db::write), in order. Owned bytes: it can be built
/// anywhere.
///
/// ```
/// let mut batch = emberkv::Batch::new();
/// batch.put(b"a", b"1").put(b"b", b"2").delete(b"c");
/// assert_eq!(batch.len(), 3);
/// ```
#[derive(Clone, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

#[derive(Clone, Copy)]
struct Item {
    kind: Kind,
    start: usize,
    key_bytes: usize,
    value_bytes: usize,
}

/// What a batch does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Put,
    Delete,
}

/// One write of a batch.
#[derive(Clone, Copy)]
pub(crate) enum Write<'a> {
    Put(&'a [u8], &'a [u8]),
    Delete(&'a [u8]),
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.add(Kind::Put, key.as_ref(), value.as_ref())
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        self.add(Kind::Delete, key.as_ref(), &[])
    }

    fn add(&mut self, kind: Kind, key: &[u8], value: &[u8]) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.items.push(Item { kind, start, key_bytes: key.len(), value_bytes: value.len() });
        self
    }

    /// Number of writes in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Forgets the writes, and keeps the memory for others.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    pub(crate) fn writes(&self) -> impl ExactSizeIterator<Item = Write<'_>> {
        self.items.iter().map(|item| {
            let (key, rest) = self.bytes[item.start..].split_at(item.key_bytes);
            match item.kind {
                Kind::Put => Write::Put(key, &rest[..item.value_bytes]),
                Kind::Delete => Write::Delete(key),
            }
        })
    }
}

/// Sizes only: keys and values are the user's.
impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("writes", &self.items.len())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
