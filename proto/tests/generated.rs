//! The committed code is what the `.proto` files generate. `WEFT_REGENERATE=1 cargo test -p weft-proto` writes it anew.

use std::{fs, path::Path};

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["common", "publish", "query", "catalogue", "enrolment", "fleet", "operator"]
        .map(|name| format!("weft/v1/{name}.proto"));
    let descriptors = protox::compile(&files, [root]).expect("the .proto files compile");
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .out_dir(out.path())
        .file_descriptor_set_path(out.path().join("weft.v1.bin"))
        .compile_fds(descriptors.clone())
        .expect("code is generated");
    fs::write(out.path().join("weft.v1.bin"), prost::Message::encode_to_vec(&descriptors)).unwrap();
    for name in ["weft.v1.rs", "weft.v1.bin"] {
        let generated = fs::read(out.path().join(name)).unwrap();
        let committed = root.join("src/gen").join(name);
        if std::env::var_os("WEFT_REGENERATE").is_some() {
            fs::write(&committed, &generated).unwrap();
        }
        assert!(
            fs::read(&committed).unwrap_or_default() == generated,
            "{} differs from what the .proto files generate: run WEFT_REGENERATE=1 cargo test -p weft-proto",
            committed.display()
        );
    }
}
