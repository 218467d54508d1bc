//! The blocks of `docs/adapters.md`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The document, whole.
pub(super) struct Document {
    pub(super) text: String,
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/adapters.md")
}

impl Document {
    pub(super) fn read() -> Self {
        Self { text: fs::read_to_string(path()).unwrap() }
    }

    pub(super) fn write(&self) {
        fs::write(path(), &self.text).unwrap();
    }

    /// The fenced blocks behind `<!-- MARK: NAME -->`.
    fn marked(&self, mark: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for part in self.text.split(&format!("<!-- {mark}: ")).skip(1) {
            let (name, rest) = part.split_once(" -->\n\n```").unwrap();
            let (_, body) = rest.split_once('\n').unwrap();
            let (body, _) = body.split_once("```\n").unwrap();
            assert!(found.insert(name.to_owned(), body.to_owned()).is_none(), "{name} stands twice");
        }
        found
    }

    /// The whole configurations.
    pub(super) fn wholes(&self) -> BTreeMap<String, String> {
        self.marked("whole")
    }

    /// The files that a reader is asked to make.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        self.marked("file")
    }

    /// What is typed, and what is answered.
    pub(super) fn consoles(&self) -> Vec<String> {
        let blocks = self.text.split("```console\n").skip(1);
        blocks.map(|block| block.split_once("```\n").unwrap().0.to_owned()).collect()
    }

    /// Puts another block in the place of the console block `at`.
    pub(super) fn replace_console(&mut self, at: usize, block: &str) {
        let mut parts: Vec<String> = self.text.split("```console\n").map(str::to_owned).collect();
        let (_, rest) = parts[at + 1].split_once("```\n").unwrap();
        parts[at + 1] = format!("{block}```\n{rest}");
        self.text = parts.join("```console\n");
    }

    /// The tables behind `<!-- keys: PATH -->`: path → rows of key, default and meaning.
    pub(super) fn tables(&self) -> BTreeMap<String, Vec<[String; 3]>> {
        let mut found = BTreeMap::new();
        for part in self.text.split("<!-- keys:").skip(1) {
            let (path, rest) = part.split_once("-->").unwrap();
            let (table, _) = rest.split_once("<!-- end -->").unwrap();
            let rows = table.lines().filter(|line| line.starts_with("| `")).map(|line| {
                let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
                let [key, default, what] = cells.as_slice() else { panic!("{line}") };
                [key.trim_matches('`').to_owned(), (*default).to_owned(), (*what).to_owned()]
            });
            let rows = rows.collect();
            assert!(found.insert(path.trim().to_owned(), rows).is_none(), "{path} stands twice");
        }
        found
    }
}
