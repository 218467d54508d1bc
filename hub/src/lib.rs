//! The hub of Weft.

pub mod clock;
pub mod log;
