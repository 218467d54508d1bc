use super::*;
use crate::catalogue::Catalogue;
use std::sync::LazyLock;

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());

fn file(name: &str) -> String {
    let wanted = format!("record-types/business-licence/{name}");
    Catalogue::builtin_files().find(|(path, _)| *path == wanted).unwrap().1.to_owned()
}

/// The business licence in version 2, with changes made in both texts.
fn changed_by(toml: &[(&str, &str)], schema: &[(&str, &str)]) -> Vec<String> {
    let edit = |mut text: String, edits: &[(&str, &str)]| {
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        text
    };
    let toml = edit(file("type.toml"), toml).replacen("\nversion = 1", "\nversion = 2", 1);
    let schema = edit(file("v1.schema.json"), schema).replacen("business-licence/v1", "business-licence/v2", 1);
    let wider = BUILTIN.with_type(&toml, &schema).unwrap();
    let old = wider.record_type_version("business-licence", 1).unwrap();
    let new = wider.record_type_version("business-licence", 2).unwrap();
    assert!(std::sync::Arc::ptr_eq(new, wider.record_type("business-licence").unwrap()), "the highest is found");
    compatible(old, new).iter().map(ToString::to_string).collect()
}

const REMARK: (&str, &str) = (
    "[[rules]]\nid = \"holder-is-uscc\"",
    "[fields.remark]\nname = { zh = \"备注\", en = \"Remark\" }\nsensitivity = \"public\"\nshare = \"unconditional\"\n\n[[rules]]\nid = \"holder-is-uscc\"",
);

#[test]
fn the_same_and_an_optional_field_more_are_compatible() {
    assert!(changed_by(&[], &[]).is_empty());
    let added = ("\"scope\": {", "\"remark\": {\"type\": \"string\"}, \"scope\": {");
    assert!(changed_by(&[REMARK], &[added]).is_empty());
}

#[test]
fn a_required_field_more_is_not() {
    let added = [
        ("\"scope\": {", "\"remark\": {\"type\": \"string\"}, \"scope\": {"),
        ("\"address\", \"scope\"]", "\"address\", \"scope\", \"remark\"]"),
    ];
    assert_eq!(changed_by(&[REMARK], &added), ["field remark is newly required"]);
}

#[test]
fn a_required_field_dropped_or_made_optional_is_not() {
    let optional = ("\"address\", \"scope\"]", "\"address\"]");
    assert_eq!(changed_by(&[], &[optional]), ["field scope is no longer required"]);
    let without = (
        "\"division\": {\"title\": \"所在行政区划 / Division\", \"type\": \"string\", \"pattern\": \"^[1-9][0-9]{5}([0-9]{3}){0,2}$\"},\n",
        "\n",
    );
    let toml = "[fields.division]\nname = { zh = \"所在行政区划\", en = \"Division\" }\ncode = \"KZ_XZQH\"\nrule = \"division\"\nsensitivity = \"public\"\nshare = \"unconditional\"\n";
    assert_eq!(changed_by(&[(toml, "")], &[without]), ["field division is dropped"]);
}

#[test]
fn another_type_pattern_list_or_bound_is_not() {
    let number = (
        "\"abnormal\": {\"title\": \"是否列入经营异常名录 / On the list of abnormal businesses\", \"type\": \"boolean\"",
        "\"abnormal\": {\"type\": \"string\"",
    );
    assert_eq!(changed_by(&[], &[number]), ["field abnormal has another type"]);
    let pattern = ("^[0-9]{15}$", "^[0-9]{13,15}$");
    assert_eq!(changed_by(&[], &[pattern]), ["field registrationNo has another pattern"]);
    let fewer = ("\"EUR\", \"HKD\", \"JPY\"", "\"EUR\"");
    assert_eq!(changed_by(&[], &[fewer]), ["field capitalCurrency allows less, or otherwise"]);
    let more = ("\"EUR\", \"HKD\", \"JPY\"", "\"EUR\", \"HKD\", \"JPY\", \"GBP\"");
    assert!(changed_by(&[], &[more]).is_empty());
}

#[test]
fn another_natural_key_event_holder_share_or_slot_is_not() {
    let toml = [
        ("natural_key = [\"uscc\"]", "natural_key = [\"certificateNumber\"]"),
        ("fields = 32", "fields = 30"),
        ("\"reissue\", ", ""),
        ("max = 1", "max = 1\n\n[[holders]]\nrole = \"operator\"\nschemes = [\"citizen-id\"]\nmin = 1"),
        (
            "code = \"CZZT\"\nsensitivity = \"public\"\nshare = \"unconditional\"",
            "code = \"CZZT\"\nsensitivity = \"public\"\nshare = \"withheld\"\nlegal_basis = \"示例\"",
        ),
        ("rule = \"phone\"\n", ""),
    ];
    assert_eq!(
        changed_by(&toml, &[]),
        [
            "the natural key is another",
            "there are fewer slots",
            "the event reissue is dropped",
            "field name is shared more narrowly",
            "field phone has another identifier rule",
            "holders in the role operator are bounded more narrowly",
        ]
    );
}

#[test]
fn a_version_that_is_not_higher_is_not() {
    let licence = BUILTIN.record_type("business-licence").unwrap();
    assert_eq!(compatible(licence, licence), [Incompatibility::VersionNotHigher]);
    let other = BUILTIN.record_types().find(|other| other.definition.name != "business-licence").unwrap();
    assert!(compatible(licence, other).contains(&Incompatibility::OtherType));
}
