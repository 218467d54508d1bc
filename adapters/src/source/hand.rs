//! Items on their way from a reading thread to whoever asked for them.

use tokio::sync::mpsc;

use super::{Error, Item, Rows, RowsError};

/// Items handed over at a time; with the channel's four chunks, all that is ever held.
const CHUNK_ITEMS: usize = 128;
const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS: usize = 4;

/// The sending end.
pub(super) type Sender = mpsc::Sender<Result<Vec<Item>, RowsError>>;

/// Both ends of a way that holds a few chunks.
pub(super) fn way() -> (Sender, Rows) {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    (sender, Rows::new(receiver))
}

/// Hands items over in chunks, waiting while nobody takes them. For a thread that may block.
#[derive(Debug)]
pub(super) struct Hand<'a> {
    sender: &'a Sender,
    chunk: Vec<Item>,
    bytes: usize,
}

impl<'a> Hand<'a> {
    pub(super) fn new(sender: &'a Sender) -> Self {
        Self { sender, chunk: Vec::with_capacity(CHUNK_ITEMS), bytes: 0 }
    }

    /// Hands over an item; whether somebody still listens.
    pub(super) fn over(&mut self, item: Item) -> bool {
        if let Item::Row(row) = &item {
            self.bytes += row.cells.iter().map(String::len).sum::<usize>();
        }
        self.chunk.push(item);
        if self.chunk.len() < CHUNK_ITEMS && self.bytes <= CHUNK_BYTES {
            return true;
        }
        self.flush()
    }

    /// Hands over what is left; whether somebody still listens.
    pub(super) fn flush(&mut self) -> bool {
        self.bytes = 0;
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_ITEMS));
        chunk.is_empty() || self.sender.blocking_send(Ok(chunk)).is_ok()
    }
}

impl Drop for Hand<'_> {
    /// A reading that broke off must not look like one that came to its end.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let cause = std::io::Error::other("the reading thread panicked");
            let error = Error { source_name: String::new(), what: "reading its rows", cause };
            // Nobody listens any more: nothing is taken for the end.
            let _ = self.sender.blocking_send(Err(RowsError::Failed(error)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Row;

    #[tokio::test]
    async fn a_reading_that_panics_is_no_end() {
        let (sender, mut rows) = way();
        let broken = tokio::task::spawn_blocking(move || {
            let mut hand = Hand::new(&sender);
            hand.over(Item::Row(Row { line: 1, cells: Vec::new() }));
            hand.flush();
            panic!("on purpose");
        });
        assert!(matches!(rows.next().await, Ok(Some(Item::Row(_)))));
        assert!(matches!(rows.next().await, Err(RowsError::Failed(_))));
        assert!(broken.await.is_err());
    }
}
