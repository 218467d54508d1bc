//! Whether a payload keeps a rule. What the schema already refused (a wrong type, an unreadable date) holds here, so
//! that one mistake is reported once.

use super::{Kind, TypeRule};
use crate::catalogue::{Definition, FieldRule};
use crate::identifier::{self, Scheme, is_masked, normalise_holder};
use jiff::civil::Date;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// What the rules look at.
pub(crate) struct Context<'a> {
    pub(crate) payload: &'a Value,
    pub(crate) definition: &'a Definition,
}

/// A holder as far as it can be read.
#[derive(Clone, Copy)]
struct Holder<'a> {
    role: &'a str,
    scheme: Scheme,
    value: &'a str,
    share: Option<&'a str>,
}

/// `YYYY-MM-DD` of a day that exists.
pub(crate) fn real_day(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let in_shape = bytes.len() == 10
        && bytes.iter().enumerate().all(|(place, byte)| match place {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    in_shape.then(|| text.parse().ok()).flatten()
}

/// The local date (Asia/Shanghai, UTC+8 all the year) of a Unix time.
pub(crate) fn local_day(unix_seconds: i64) -> Option<Date> {
    let time = jiff::Timestamp::from_second(unix_seconds).ok()?;
    Some(jiff::tz::Offset::constant(8).to_datetime(time).date())
}

/// Whether `last` is no later than `years` years after `first`; the anniversary itself still holds.
pub(crate) fn within_years(first: Date, last: Date, years: u32) -> bool {
    // An end that no calendar reaches bounds nothing.
    let end = jiff::Span::new().try_years(years).and_then(|span| first.checked_add(span));
    end.map_or(true, |end| last <= end)
}

impl<'a> Context<'a> {
    fn fields(&self) -> Option<&'a Map<String, Value>> {
        self.payload.get("fields")?.as_object()
    }

    fn field(&self, name: &str) -> Option<&'a Value> {
        self.fields()?.get(name)
    }

    fn day(&self, pointer: &str) -> Option<Date> {
        real_day(self.payload.pointer(pointer)?.as_str()?)
    }

    fn holders(&self) -> impl Iterator<Item = Holder<'a>> {
        self.payload.get("holders").and_then(Value::as_array).into_iter().flatten().filter_map(|holder| {
            let text = |key: &str| holder.get(key).and_then(Value::as_str);
            Some(Holder {
                role: text("role")?,
                scheme: text("scheme")?.parse().ok()?,
                value: text("value")?,
                share: text("share"),
            })
        })
    }

    /// The field's text in the form in which it is compared.
    fn normalised(&self, name: &str) -> Option<String> {
        let text = self.field(name)?.as_str()?;
        Some(match self.definition.fields.get(name).and_then(|field| field.rule) {
            Some(FieldRule::Identifier(rule)) => identifier::normalise(rule, text),
            Some(FieldRule::Date) | None => text.to_owned(),
        })
    }

    /// The field's text in the form in which holders of this scheme are compared.
    fn as_holder(&self, name: &str, scheme: Scheme) -> Option<String> {
        Some(normalise_holder(scheme, self.field(name)?.as_str()?))
    }

    /// Equal to a pointer's value; texts of identifier fields are normalised first.
    fn comparable(&self, pointer: &str) -> Option<Value> {
        let value = self.payload.pointer(pointer)?;
        let normalised = pointer.strip_prefix("/fields/").and_then(|name| self.normalised(name));
        Some(normalised.map_or_else(|| value.clone(), Value::String))
    }

    fn decides(&self, when: &str, is: &[Value]) -> bool {
        self.field(when).is_some_and(|value| is.contains(value))
    }
}

/// The pointer at which the rule is broken; `None` where it holds.
pub(crate) fn broken(rule: &TypeRule, context: &Context<'_>) -> Option<String> {
    let at_field = |field: &str| crate::problem::pointer_to("/fields", field);
    match &rule.kind {
        Kind::DateOrder { first, last } => {
            let reversed = context.day(first)? > context.day(last)?;
            reversed.then(|| first.clone())
        }
        Kind::MaxYears { first, last, years } => {
            let within = within_years(context.day(first)?, context.day(last)?, *years);
            (!within).then(|| last.clone())
        }
        Kind::NotAfterIssue { field } => {
            let issued = local_day(context.payload.get("iat")?.as_i64()?)?;
            let day = real_day(context.field(field)?.as_str()?)?;
            (day > issued).then(|| at_field(field))
        }
        Kind::EqualsHolder { field, scheme, role } => {
            let value = context.as_holder(field, *scheme)?;
            let named = context
                .holders()
                .filter(|holder| holder.scheme == *scheme && role.as_ref().is_none_or(|role| role == holder.role))
                .any(|holder| matches_masked(&value, &normalise_holder(*scheme, holder.value)));
            (!named).then(|| at_field(field))
        }
        Kind::StartsWithHolder { field, scheme } => {
            let value = context.as_holder(field, *scheme)?;
            let named = context
                .holders()
                .filter(|holder| holder.scheme == *scheme)
                .any(|holder| value.starts_with(&normalise_holder(*scheme, holder.value)));
            (!named).then(|| at_field(field))
        }
        Kind::Equals { first, second } => {
            let differ = context.comparable(first)? != context.comparable(second)?;
            differ.then(|| first.clone())
        }
        Kind::RequiredIf { field, when, is } => {
            (context.decides(when, is) && context.field(field).is_none()).then(|| at_field(field))
        }
        Kind::AbsentIf { field, when, is } => {
            (context.decides(when, is) && context.field(field).is_some()).then(|| at_field(field))
        }
        Kind::CodeIn { field, prefix_len, codes } => {
            let prefix: String = context.normalised(field)?.chars().take(*prefix_len).collect();
            (!codes.contains(&prefix)).then(|| at_field(field))
        }
        Kind::SharesSumToOne {} => {
            let holders: Vec<Holder<'_>> = context.holders().collect();
            (!shares_sum_to_one(&holders)).then(|| "/holders".to_owned())
        }
        Kind::DistinctHolders { roles } => {
            let mut seen = HashSet::new();
            let distinct = context
                .holders()
                .filter(|holder| roles.iter().any(|role| role == holder.role))
                .all(|holder| seen.insert((holder.scheme, normalise_holder(holder.scheme, holder.value))));
            (!distinct).then(|| "/holders".to_owned())
        }
    }
}

/// Equal where neither is masked; a masked character of `shown` stands for any.
fn matches_masked(shown: &str, whole: &str) -> bool {
    if !is_masked(shown) {
        return shown == whole;
    }
    shown.chars().count() == whole.chars().count()
        && shown.chars().zip(whole.chars()).all(|(visible, real)| visible == '*' || visible == real)
}

/// In a role where one holder has a share, all have one; all shares together are 1. No share at all holds. A sum
/// whose common denominator passes 2^128 is not 1 for any share that a registry writes, and does not hold.
fn shares_sum_to_one(holders: &[Holder<'_>]) -> bool {
    let mut by_role: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut sum: (u128, u128) = (0, 1);
    let mut any = false;
    for holder in holders {
        let counts = by_role.entry(holder.role).or_default();
        counts.0 += 1;
        let Some(share) = holder.share else { continue };
        counts.1 += 1;
        any = true;
        let Some(total) = fraction(share).and_then(|share| add(sum, share)) else { return false };
        sum = total;
    }
    let complete = by_role.values().all(|(holders, shares)| *shares == 0 || holders == shares);
    !any || (complete && sum.0 == sum.1)
}

fn fraction(text: &str) -> Option<(u128, u128)> {
    let (numerator, denominator) = text.split_once('/')?;
    let (numerator, denominator): (u64, u64) = (numerator.parse().ok()?, denominator.parse().ok()?);
    (denominator != 0).then(|| (u128::from(numerator), u128::from(denominator)))
}

fn add(left: (u128, u128), right: (u128, u128)) -> Option<(u128, u128)> {
    let divisor = greatest_common_divisor(left.1, right.1);
    let (left_factor, right_factor) = (right.1 / divisor, left.1 / divisor);
    let numerator = left.0.checked_mul(left_factor)?.checked_add(right.0.checked_mul(right_factor)?)?;
    let denominator = left.1.checked_mul(left_factor)?;
    let divisor = greatest_common_divisor(numerator, denominator);
    Some((numerator / divisor, denominator / divisor))
}

fn greatest_common_divisor(left: u128, right: u128) -> u128 {
    if right == 0 { left.max(1) } else { greatest_common_divisor(right, left % right) }
}

#[cfg(test)]
mod tests;
