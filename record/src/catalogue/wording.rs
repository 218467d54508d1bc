//! From a finding of the JSON Schema to a problem that its sender can mend, in the words that people use for the field.

use super::RecordType;
use crate::problem::{Problem, Reason, pointer_to};
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

/// A name of a place in the payload: Chinese and English.
type Label = (String, String);

/// What the places that every type shares are called.
const SHARED: &[(&str, &str, &str)] = &[
    ("iss", "签发方", "the issuer"),
    ("iat", "签章时间", "the time of sealing"),
    ("vct", "证照类型地址", "the record type"),
    ("record", "记录", "the record claims"),
    ("id", "记录标识", "the record identifier"),
    ("version", "版本", "the version"),
    ("status", "状态", "the status"),
    ("valid_from", "有效期起始", "the first day of validity"),
    ("valid_until", "有效期截止", "the last day of validity"),
    ("event", "事件", "the event"),
    ("supersedes", "取代的记录", "the superseded record"),
    ("holders", "持证主体", "the holders"),
    ("role", "持证主体的角色", "the holder's role"),
    ("scheme", "持证主体的证件种类", "the holder's scheme"),
    ("value", "持证主体的号码", "the holder's number"),
    ("name", "持证主体的名称", "the holder's name"),
    ("share", "持证主体的份额", "the holder's share"),
    ("fields", "证照信息", "the fields"),
];

impl RecordType {
    /// What the place at a pointer is called: a field by its name in `type.toml`, others by the shared names.
    pub(super) fn label(&self, pointer: &str) -> Label {
        let mut segments = pointer.split('/').skip(1);
        let first = segments.next().unwrap_or_default();
        if first == "fields"
            && let Some(field) = segments.next().and_then(|name| self.definition.fields.get(name))
        {
            return (format!("“{}”", field.name.zh), format!("\"{}\"", field.name.en));
        }
        let last = pointer.rsplit('/').find(|segment| !segment.bytes().all(|byte| byte.is_ascii_digit()));
        SHARED.iter().find(|(name, ..)| Some(*name) == last).map_or_else(
            || ("该项".to_owned(), "this item".to_owned()),
            |(_, zh, en)| ((*zh).to_owned(), (*en).to_owned()),
        )
    }

    /// The problems that one finding of the schema amounts to: one, but one per name for names that do not belong.
    pub(super) fn worded(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let pointer = error.instance_path().as_str();
        match error.kind() {
            Kind::Required { property: Value::String(name) } => vec![self.missing(&pointer_to(pointer, name))],
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                unexpected.iter().map(|name| unknown(pointer, name)).collect()
            }
            kind => vec![self.of_value(pointer, kind)],
        }
    }

    pub(super) fn missing(&self, pointer: &str) -> Problem {
        let reason = match pointer {
            "/holders" => Reason::HolderMissing,
            "/record/valid_from" | "/record/valid_until" => Reason::ValidityMissing,
            _ => Reason::MissingField,
        };
        let (zh, en) = self.label(pointer);
        Problem::detailed(pointer, reason, &format!("缺少{zh}"), &format!("{en} is missing"))
    }

    fn of_value(&self, pointer: &str, kind: &Kind) -> Problem {
        let (zh, en) = self.label(pointer);
        let say = |reason: Reason, what_zh: String, what_en: String| {
            Problem::detailed(pointer, reason, &format!("{zh}{what_zh}"), &format!("{en} {what_en}"))
        };
        let bounds = |what_zh: String, what_en: String| say(Reason::OutOfBounds, what_zh, what_en);
        match kind {
            Kind::Type { .. } => {
                let (type_zh, type_en) = self.wanted_type(pointer);
                say(Reason::WrongType, format!("应为{type_zh}"), format!("is to be {type_en}"))
            }
            Kind::Enum { options } => {
                let listed = listed(options);
                say(Reason::NotInList, format!("只能是：{listed}"), format!("is one of: {listed}"))
            }
            Kind::Constant { expected_value } => {
                let listed = listed(expected_value);
                say(Reason::NotInList, format!("只能是：{listed}"), format!("is always: {listed}"))
            }
            Kind::MaxLength { limit } => {
                bounds(format!("超过 {limit} 个字"), format!("is longer than {limit} characters"))
            }
            Kind::MinLength { limit } => {
                bounds(format!("不足 {limit} 个字"), format!("is shorter than {limit} characters"))
            }
            Kind::MaxItems { limit } => bounds(format!("超过 {limit} 项"), format!("has more than {limit} items")),
            Kind::MinItems { limit } => bounds(format!("不足 {limit} 项"), format!("has fewer than {limit} items")),
            Kind::Maximum { limit } | Kind::ExclusiveMaximum { limit } => {
                bounds(format!("大于上限 {limit}"), format!("is above its limit {limit}"))
            }
            Kind::Minimum { limit } | Kind::ExclusiveMinimum { limit } => {
                bounds(format!("小于下限 {limit}"), format!("is below its limit {limit}"))
            }
            Kind::UniqueItems => bounds("有重复项".to_owned(), "has an item twice".to_owned()),
            Kind::MaxProperties { .. } | Kind::MinProperties { .. } | Kind::Contains | Kind::MultipleOf { .. } => {
                bounds("超出允许范围".to_owned(), "is out of bounds".to_owned())
            }
            Kind::FalseSchema | Kind::AdditionalItems { .. } | Kind::UnevaluatedItems { .. } => say(
                Reason::UnknownField,
                "不属于此证照类型".to_owned(),
                "does not belong to this record type".to_owned(),
            ),
            Kind::Format { .. } => {
                say(Reason::ImpossibleDate, "不是存在的日期".to_owned(), "is no date that exists".to_owned())
            }
            _ => say(
                Reason::WrongPattern,
                "的格式不对".to_owned(),
                "does not have the form that is asked for".to_owned(),
            ),
        }
    }

    /// The JSON type that the schema asks for, in words.
    fn wanted_type(&self, pointer: &str) -> (&'static str, &'static str) {
        let of_field = pointer.strip_prefix("/fields/").and_then(|name| self.shapes.get(name));
        let wanted = of_field.and_then(|shape| shape.get("type")).and_then(Value::as_str);
        match wanted.or_else(|| shared_type(pointer)) {
            Some("string") => ("文本（加引号）", "a text (in quotes)"),
            Some("integer") => ("整数", "an integer"),
            Some("boolean") => ("true 或 false", "true or false"),
            Some("array") => ("列表", "a list"),
            Some("object") => ("对象", "an object"),
            _ => ("另一种数据类型", "of another JSON type"),
        }
    }
}

fn shared_type(pointer: &str) -> Option<&'static str> {
    match pointer {
        "/iat" | "/record/version" => Some("integer"),
        "/holders" => Some("array"),
        "" | "/record" | "/fields" => Some("object"),
        "/iss" | "/vct" | "/event" | "/supersedes" => Some("string"),
        _ if pointer.starts_with("/record/") => Some("string"),
        _ if pointer.starts_with("/holders/") => {
            Some(if pointer.matches('/').count() == 2 { "object" } else { "string" })
        }
        _ => None,
    }
}

/// A name that no type defines can be anything that a sender wrote: it is cut to a length that a heading has.
fn unknown(parent: &str, name: &str) -> Problem {
    let short: String = name.chars().take(64).collect();
    Problem::detailed(
        pointer_to(parent, &short),
        Reason::UnknownField,
        "含有证照类型未定义的字段",
        "there is a field that the record type does not define",
    )
}

/// The allowed values, the first twelve of them.
fn listed(options: &Value) -> String {
    let show = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match options {
        Value::Array(values) => {
            let mut shown: Vec<String> = values.iter().take(12).map(show).collect();
            if values.len() > 12 {
                shown.push("…".to_owned());
            }
            shown.join("、")
        }
        value => show(value),
    }
}
