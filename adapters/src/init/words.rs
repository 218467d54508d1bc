//! What headings say: names of fields in Chinese and English, codes of GB/T 36903, both dialects, and the words that
//! exports use for what every type has.

use weft_record::catalogue::{Catalogue, Definition};

use super::sample::Column;
use crate::text;

/// Words for what every record type has, beside the names in the schemas.
const USUAL: [(&str, &[&str]); 9] = [
    (
        "issuedDate",
        &["发证日期", "发照日期", "颁发日期", "签发日期", "核发日期", "颁证日期", "issue_date", "issued_on"],
    ),
    (
        "issuingAuthorityName",
        &["发证机关", "登记机关", "颁发机关", "发照机关", "颁发机构", "发证单位", "issuing_authority"],
    ),
    ("issuingAuthorityCode", &["发证机关代码", "登记机关代码", "发证机关统一社会信用代码"]),
    ("established", &["成立日期", "成立时间", "设立日期"]),
    (
        "record.valid_from",
        &["有效期起", "有效期自", "有效期开始", "有效期起始", "有效期始", "有效期起始日期", "生效日期", "valid_from"],
    ),
    (
        "record.valid_until",
        &[
            "有效期至",
            "有效期止",
            "有效期截止",
            "有效期终",
            "有效期截止日期",
            "到期日期",
            "失效日期",
            "valid_until",
            "valid_to",
        ],
    ),
    ("record.status", &["状态", "登记状态", "证件状态", "证照状态", "经营状态", "权属状态", "status", "state"]),
    ("record.event", &["业务类型", "操作类型", "办理类型", "变更类型", "event", "operation"]),
    (
        "record.order",
        &[
            "更新时间",
            "修改时间",
            "最后更新时间",
            "变更时间",
            "核准日期",
            "登簿时间",
            "update_time",
            "updated_at",
            "last_modified",
            "gxsj",
        ],
    ),
];

/// The names under which something of a record is known.
pub(super) fn names(catalogue: &Catalogue, definition: &Definition, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(field) = definition.fields.get(path) {
        names.extend([path.to_owned(), field.name.zh.clone(), field.name.en.clone()]);
        names.extend(field.code.clone());
    }
    for dialect in catalogue.dialects() {
        let known = dialect.headings.iter().filter(|heading| heading.field.as_deref() == Some(path));
        names.extend(known.map(|heading| heading.heading.clone()));
    }
    let usual = USUAL.iter().filter(|(of, _)| *of == path);
    names.extend(usual.flat_map(|(_, words)| words.iter().map(|&word| word.to_owned())));
    names
}

/// How well a heading, or a comment, says one of `names`: 1 for the very word.
pub(super) fn likeness(names: &[String], heading: &str) -> f64 {
    names.iter().map(|name| one(name, heading)).fold(0.0, f64::max)
}

/// How well a column's heading or comment say one of `names`, and whether it is the comment. Of both the comment is
/// asked first: it was written for people.
pub(super) fn of_column(names: &[String], column: &Column) -> (f64, bool) {
    let comment = column.comment.as_deref().map_or(0.0, |comment| {
        // What stands behind a comma or colon explains.
        let first = comment.split(['，', ',', '；', ';', '。', '：', ':', '\n', ' ']).next().unwrap_or_default();
        likeness(names, comment).max(0.98 * likeness(names, first))
    });
    // Of a path the last step names the value, unless it is one that everything has.
    let heading = &column.heading;
    let last = heading.rsplit_once('/').map(|(_, last)| last).filter(|last| !EVERYWHERE.contains(&form(last).as_str()));
    let heading = likeness(names, heading).max(last.map_or(0.0, |last| 0.95 * likeness(names, last)));
    if comment > 0.0 && comment >= heading { (comment, true) } else { (heading, false) }
}

/// Names of members that say nothing without what they are within.
const EVERYWHERE: [&str; 10] = ["id", "no", "code", "name", "type", "kind", "value", "number", "date", "time"];

fn one(name: &str, heading: &str) -> f64 {
    let (name, heading) = (form(name), form(heading));
    if name.is_empty() || heading.is_empty() {
        return 0.0;
    }
    if name == heading {
        return 1.0;
    }
    let (bare_name, bare_heading) = (bare(&name), bare(&heading));
    if bare_name == bare_heading {
        return 0.95;
    }
    let (long, short) = if bare_name.chars().count() > bare_heading.chars().count() {
        (&bare_name, &bare_heading)
    } else {
        (&bare_heading, &bare_name)
    };
    let (of, part) = (long.chars().count() as f64, short.chars().count() as f64);
    // A word inside another says something only where it is most of it.
    if part >= 2.0 && long.contains(short.as_str()) && part / of >= 0.5 { 0.5 + 0.4 * part / of } else { 0.0 }
}

/// Half-width, lower case, without blanks and underscores.
fn form(text: &str) -> String {
    text::heading(text).to_lowercase().replace(['_', '-'], "")
}

/// Without what stands in brackets.
fn bare(text: &str) -> String {
    let mut depth = 0_usize;
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '(' | '[' | '【' => depth += 1,
            ')' | ']' | '】' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}
