//! The hub of Weft.

pub mod clock;
pub mod envelope;
pub mod identity;
pub mod index;
pub mod keys;
pub mod log;
pub mod statement;
