//! The wire of Weft: `weft.v1`, generated from `weft/v1/*.proto`, and the one table that maps a refusal's
//! reason to gRPC and HTTP codes.
//!
//! - [`v1`]: messages, clients and servers; documented in the `.proto` files
//! - [`reason`]: why a request was refused, and how that is said on the wire

pub mod reason;

pub use reason::{Reason, Refusal};

/// The package `weft.v1`.
#[allow(clippy::all, clippy::pedantic, clippy::too_many_lines, missing_debug_implementations, unreachable_pub)]
pub mod v1 {
    include!("gen/weft.v1.rs");
}

/// The file descriptors of `weft.v1`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/weft.v1.bin");
