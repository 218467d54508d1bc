//! `weft-sbom NAME TIMESTAMP LOCK TREE PACKAGE…`: what programs are made of, as a CycloneDX 1.6 bill of materials.
//!
//! Standard input is `cargo metadata --format-version 1` of the workspace; `LOCK` is its `Cargo.lock`, which has the
//! digests; `TREE` what `cargo tree` names for the programs; `PACKAGE…` are the packages whose programs are in the kit called `NAME`. What only a build needs is listed
//! with the scope `excluded`. The same input gives the same bytes.

mod bom;

use std::{error::Error, io::Read as _, process::ExitCode};

use bom::{Digests, Subject, Tree};

fn main() -> ExitCode {
    match run() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("weft-sbom: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, timestamp, lock, tree, packages @ ..] = arguments.as_slice() else {
        return Err("usage: weft-sbom NAME TIMESTAMP LOCK TREE PACKAGE...".into());
    };
    let mut metadata = String::new();
    std::io::stdin().read_to_string(&mut metadata)?;
    let metadata = serde_json::from_str(&metadata)?;
    let digests = Digests::parse(&std::fs::read_to_string(lock)?)?;
    let tree = Tree::parse(&std::fs::read_to_string(tree)?);
    let subject = Subject { name, timestamp, packages };
    Ok(serde_json::to_string_pretty(&bom::of(&metadata, &tree, &digests, &subject)?)?)
}
