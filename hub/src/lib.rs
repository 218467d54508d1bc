//! The hub of Weft.

pub mod clock;
pub mod index;
pub mod log;
