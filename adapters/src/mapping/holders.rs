//! The holders of a row: one, or several in the same cells.

use weft_record::identifier::{Scheme, normalise_holder};

use super::{HolderDraft, Holders, value::Reader, value::split};
use crate::{
    problem::{Reason, RowProblem},
    source::Row,
};

/// Declared holders, bound to their cells.
#[derive(Clone, Debug)]
pub(super) struct HolderReader {
    role: String,
    scheme: Option<String>,
    scheme_from: Option<Reader>,
    value: Reader,
    name: Option<Reader>,
    share: Option<Reader>,
    separators: Option<String>,
}

impl HolderReader {
    pub(super) fn bind(spec: &Holders, mut index: impl FnMut(&str) -> usize) -> Self {
        // A holder's number, name and share are hidden in problems: a person's are sensitive, and a column holds both.
        let mut bind = |value: &super::Value, number| Reader::bind(value, number, true, &mut index);
        Self {
            role: spec.role.clone(),
            scheme: spec.scheme.clone(),
            scheme_from: spec.scheme_from.as_ref().map(|value| bind(value, true)),
            value: bind(&spec.value, true),
            name: spec.name.as_ref().map(|value| bind(value, false)),
            share: spec.share.as_ref().map(|value| bind(value, true)),
            separators: spec.separators.clone(),
        }
    }

    /// The holders of a row. A row without a number has none of this role: whether it may is the type's to say.
    pub(super) fn read(&self, row: &Row) -> Result<Vec<HolderDraft>, Box<RowProblem>> {
        let values = self.parts(&self.value, row);
        let names = self.name.as_ref().map_or_else(Vec::new, |name| self.parts(name, row));
        let shares = self.share.as_ref().map_or_else(Vec::new, |share| self.parts(share, row));
        let schemes = self.schemes(row)?;
        let fits = |count: usize| count == 0 || count == values.len();
        let schemes_fit = schemes.len() == values.len() || schemes.len() == 1;
        if values.is_empty() {
            return Ok(Vec::new());
        }
        if !fits(names.len()) || !fits(shares.len()) || !schemes_fit {
            return Err(self.value.problem(row, Reason::HoldersUneven));
        }
        let mut holders = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let scheme = schemes.get(index).or(schemes.first()).cloned().unwrap_or_default();
            let value = scheme.parse::<Scheme>().map_or_else(|_| value.clone(), |known| normalise_holder(known, value));
            let share = match shares.get(index) {
                Some(share) => Some(fraction(share).ok_or_else(|| {
                    self.share.as_ref().unwrap_or(&self.value).problem(row, Reason::NumberUnreadable)
                })?),
                None => None,
            };
            let role = self.role.clone();
            holders.push(HolderDraft { role, scheme, value, name: names.get(index).cloned(), share });
        }
        Ok(holders)
    }

    fn parts(&self, reader: &Reader, row: &Row) -> Vec<String> {
        let Some(text) = reader.text(row) else { return Vec::new() };
        match &self.separators {
            Some(separators) => split(&text, separators).map(str::to_owned).collect(),
            None => vec![text],
        }
    }

    fn schemes(&self, row: &Row) -> Result<Vec<String>, Box<RowProblem>> {
        if let Some(scheme) = &self.scheme {
            return Ok(vec![scheme.clone()]);
        }
        let Some(from) = &self.scheme_from else { return Ok(Vec::new()) };
        let words = self.parts(from, row);
        words.into_iter().map(|word| from.look_up(word).map_err(|reason| from.problem(row, reason))).collect()
    }
}

/// `1/2` and `50%` as a fraction in lowest terms.
fn fraction(text: &str) -> Option<String> {
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|&number| number > 0);
    let (over, under) = if let Some(percent) = text.strip_suffix('%') {
        let (whole, rest) = percent.split_once('.').unwrap_or((percent, ""));
        let places = u32::try_from(rest.len()).ok().filter(|&places| places <= 4)?;
        (number(&format!("{whole}{rest}"))?, 100 * 10_u64.pow(places))
    } else {
        let (over, under) = text.split_once('/')?;
        (number(over)?, number(under)?)
    };
    let (mut a, mut b) = (over, under);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (over <= under).then(|| format!("{}/{}", over / a, under / a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_fractions_in_lowest_terms() {
        for (text, expected) in [
            ("1/2", Some("1/2")),
            ("2/4", Some("1/2")),
            ("50%", Some("1/2")),
            ("33.3%", Some("333/1000")),
            ("100%", Some("1/1")),
        ] {
            assert_eq!(fraction(text).as_deref(), expected, "{text}");
        }
        for text in ["0/2", "3/2", "一半", "1/0", "-1/2", "50"] {
            assert_eq!(fraction(text), None, "{text}");
        }
    }
}
