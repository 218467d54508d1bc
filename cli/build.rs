//! The binary is compiled again when a sample or a department's configuration, which the demo carries, changes.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../adapters/samples");
    println!("cargo:rerun-if-changed=../adapters/departments");
}
