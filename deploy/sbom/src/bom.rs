//! Cargo's account of a workspace becomes a bill of materials.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// What the bill is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The kit.
    pub(crate) name: &'a str,
    /// RFC 3339.
    pub(crate) timestamp: &'a str,
    /// The packages whose programs are in it.
    pub(crate) packages: &'a [String],
}

/// SHA-256 of every crate that comes from a registry, by name and version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digests(BTreeMap<(String, String), String>);

impl Digests {
    /// Reads a `Cargo.lock`.
    pub(crate) fn parse(lock: &str) -> Result<Self, String> {
        let lock: toml::Table = lock.parse().map_err(|error| format!("Cargo.lock: {error}"))?;
        let packages = lock.get("package").and_then(toml::Value::as_array).ok_or("Cargo.lock lists no package")?;
        let text = |package: &toml::Value, key: &str| package.get(key)?.as_str().map(str::to_owned);
        let digest = |package| Some(((text(package, "name")?, text(package, "version")?), text(package, "checksum")?));
        Ok(Self(packages.iter().filter_map(digest).collect()))
    }
}

/// The packages that Cargo resolves for the programs alone: the workspace as a whole turns on more features, and with them
/// packages that no program has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(BTreeSet<(String, String)>);

impl Tree {
    /// Reads what `cargo tree --prefix none --format {p}` prints: `name vVERSION`, and sometimes more, on each line.
    pub(crate) fn parse(text: &str) -> Self {
        let package = |line: &str| {
            let mut words = line.split(' ');
            Some((words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned()))
        };
        Self(text.lines().filter_map(package).collect())
    }

    fn has(&self, package: &Value) -> bool {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        self.0.contains(&(text("name"), text("version")))
    }
}

/// Cargo's account, by package id.
struct Workspace<'a> {
    packages: BTreeMap<&'a str, &'a Value>,
    nodes: BTreeMap<&'a str, &'a Value>,
}

/// How a package gets into a program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is linked, or expands into what is.
    Linked,
    /// Only the build runs it, or what it runs needs it.
    Build,
}

impl<'a> Workspace<'a> {
    fn new(metadata: &'a Value, tree: &Tree) -> Result<Self, String> {
        let by_id = |list: &'a Value| -> Option<BTreeMap<&'a str, &'a Value>> {
            list.as_array()?.iter().map(|one| Some((one["id"].as_str()?, one))).collect()
        };
        let mut packages = by_id(&metadata["packages"]).ok_or("the metadata lists no packages")?;
        packages.retain(|_, package| tree.has(package));
        let nodes = by_id(&metadata["resolve"]["nodes"]).ok_or("the metadata has no dependencies")?;
        Ok(Self { packages, nodes })
    }

    fn id(&self, name: &str) -> Result<&'a str, String> {
        // A package of this workspace has no source.
        let own = |package: &Value| package["name"] == name && package["source"].is_null();
        let found = self.packages.iter().find(|(_, package)| own(package));
        found.map(|(id, _)| *id).ok_or_else(|| format!("{name} is no package of this workspace"))
    }

    /// What a package depends on in this way, itself not counted.
    fn needs(&self, id: &str, way: Way) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        let kind = if way == Way::Linked { Value::Null } else { json!("build") };
        let deps = self.nodes.get(id).and_then(|node| node["deps"].as_array());
        deps.into_iter().flatten().filter_map(move |dep| {
            let (kinds, id) = (dep["dep_kinds"].as_array()?, dep["pkg"].as_str()?);
            (kinds.iter().any(|one| one["kind"] == kind) && self.packages.contains_key(id)).then_some(id)
        })
    }

    /// Everything linked into `roots`, themselves included.
    fn linked(&self, roots: &[&'a str]) -> BTreeSet<&'a str> {
        let (mut found, mut open) = (BTreeSet::new(), roots.to_vec());
        while let Some(id) = open.pop() {
            if found.insert(id) {
                open.extend(self.needs(id, Way::Linked));
            }
        }
        found
    }

    /// Everything that only the build of `linked` needs.
    fn built_with(&self, linked: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        let first: Vec<&str> = linked.iter().flat_map(|id| self.needs(id, Way::Build)).collect();
        let (mut found, mut open) = (BTreeSet::new(), first);
        while let Some(id) = open.pop() {
            if !linked.contains(id) && found.insert(id) {
                open.extend(self.needs(id, Way::Linked).chain(self.needs(id, Way::Build)));
            }
        }
        found
    }

    fn component(&self, id: &str, way: Way, digests: &Digests) -> Value {
        let package = self.packages.get(id).copied().unwrap_or(&Value::Null);
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        let scope = if way == Way::Linked { "required" } else { "excluded" };
        let mut component = json!({
            "type": "library", "bom-ref": reference(name, version), "name": name, "version": version, "scope": scope,
        });
        if !text("license").is_empty() {
            // Before SPDX expressions a slash stood for OR.
            let words = text("license").replace('/', " OR ");
            let expression = words.split_whitespace().collect::<Vec<_>>().join(" ");
            component["licenses"] = json!([{ "expression": expression }]);
        }
        if text("source").starts_with("registry+") {
            component["purl"] = json!(format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")));
        }
        if let Some(digest) = digests.0.get(&(name.to_owned(), version.to_owned())) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": digest }]);
        }
        if !text("repository").is_empty() {
            component["externalReferences"] = json!([{ "type": "vcs", "url": text("repository") }]);
        }
        component
    }

    fn reference(&self, id: &str) -> String {
        let package = self.packages.get(id).copied().unwrap_or(&Value::Null);
        reference(package["name"].as_str().unwrap_or_default(), package["version"].as_str().unwrap_or_default())
    }
}

/// Names a package within the bill.
fn reference(name: &str, version: &str) -> String {
    format!("{name}@{version}")
}

/// The bill of materials of `subject`.
pub(crate) fn of(metadata: &Value, tree: &Tree, digests: &Digests, subject: &Subject<'_>) -> Result<Value, String> {
    let workspace = Workspace::new(metadata, tree)?;
    let roots = subject.packages.iter().map(|name| workspace.id(name)).collect::<Result<Vec<_>, _>>()?;
    let first = roots.first().ok_or("name the packages whose programs are in it")?;
    let version = workspace.packages[first]["version"].as_str().unwrap_or_default();
    let linked = workspace.linked(&roots);
    let built_with = workspace.built_with(&linked);
    let of_way =
        |ids: &BTreeSet<&str>, way| ids.iter().map(|id| workspace.component(id, way, digests)).collect::<Vec<_>>();
    let mut components = of_way(&linked, Way::Linked);
    components.extend(of_way(&built_with, Way::Build));
    let by_reference = |component: &Value| component["bom-ref"].as_str().unwrap_or_default().to_owned();
    components.sort_by_key(by_reference);
    let kit = reference(subject.name, version);
    let mut dependencies = vec![(kit.clone(), roots.iter().map(|id| workspace.reference(id)).collect::<BTreeSet<_>>())];
    dependencies.extend(linked.union(&built_with).map(|id| {
        let needs = workspace.needs(id, Way::Linked).chain(workspace.needs(id, Way::Build));
        (workspace.reference(id), needs.map(|id| workspace.reference(id)).collect())
    }));
    dependencies.sort();
    let dependencies: Vec<Value> =
        dependencies.into_iter().map(|(of, on)| json!({ "ref": of, "dependsOn": on })).collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": subject.timestamp,
            "tools": { "components": [{ "type": "application", "name": "weft-sbom", "version": env!("CARGO_PKG_VERSION") }] },
            "component": { "type": "application", "bom-ref": kit, "name": subject.name, "version": version },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, source: Value) -> Value {
        json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source, "repository": null })
    }

    fn node(name: &str, needs: &[(&str, Value)]) -> Value {
        let deps: Vec<Value> =
            needs.iter().map(|(pkg, kind)| json!({ "pkg": pkg, "dep_kinds": [{ "kind": kind }] })).collect();
        json!({ "id": name, "deps": deps })
    }

    #[test]
    fn what_is_linked_what_builds_and_what_only_tests_need_are_told_apart() {
        let registry = json!("registry+https://index.example");
        let names = ["app", "linked", "builder", "helper", "tester", "unified"];
        let packages = names.map(|name| package(name, if name == "app" { Value::Null } else { registry.clone() }));
        let nodes = [
            node("app", &[("linked", Value::Null), ("tester", json!("dev"))]),
            node("linked", &[("builder", json!("build")), ("unified", Value::Null)]),
            node("builder", &[("helper", Value::Null), ("linked", Value::Null)]),
            node("helper", &[]),
            node("tester", &[]),
            node("unified", &[]),
        ];
        let metadata = json!({ "packages": packages, "resolve": { "nodes": nodes } });
        let lock = "[[package]]\nname = \"linked\"\nversion = \"1.0.0\"\nchecksum = \"00ff\"\n";
        let digests = Digests::parse(lock).unwrap();
        let tree = Tree::parse("app v1.0.0 (/app)\nlinked v1.0.0\nbuilder v1.0.0 (*)\nhelper v1.0.0\ntester v1.0.0\n");
        let packages = ["app".to_owned()];
        let subject = Subject { name: "kit", timestamp: "2026-11-01T00:00:00Z", packages: &packages };
        let bill = of(&metadata, &tree, &digests, &subject).unwrap();
        let scopes: Vec<(&str, &str)> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["name"].as_str().unwrap(), one["scope"].as_str().unwrap()))
            .collect();
        let wanted = [("app", "required"), ("builder", "excluded"), ("helper", "excluded"), ("linked", "required")];
        assert_eq!(scopes, wanted);
        let (app, linked) = (&bill["components"][0], &bill["components"][3]);
        assert!(app.get("purl").is_none(), "it comes from no registry");
        assert_eq!(linked["purl"], "pkg:cargo/linked@1.0.0");
        assert_eq!(linked["hashes"][0], json!({ "alg": "SHA-256", "content": "00ff" }));
        assert_eq!(linked["licenses"][0]["expression"], "MIT OR Apache-2.0");
        let on = bill["dependencies"].as_array().unwrap().iter().find(|one| one["ref"] == "kit@1.0.0").unwrap();
        assert_eq!(on["dependsOn"], json!(["app@1.0.0"]));
        let nobody = ["linked".to_owned()];
        let subject = Subject { packages: &nobody, ..subject };
        assert!(of(&metadata, &tree, &digests, &subject).unwrap_err().contains("no package of this workspace"));
    }
}
