//! The crate is compiled again when a file under `schemas/`, which it carries, changes.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../schemas");
}
