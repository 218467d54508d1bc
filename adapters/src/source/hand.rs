//! Items on their way from a reading thread to whoever asked for them.

use tokio::sync::mpsc;

use super::{Item, Rows, RowsError};

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
