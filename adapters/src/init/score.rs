//! How likely a sample holds records of a type.

use std::collections::BTreeSet;

use weft_record::rules::Kind as Rule;

use super::draft::Draft;

/// What a natural key counts for that was not found.
const KEY_UNSEEN: f64 = 0.3;

impl Draft<'_> {
    /// How likely the type is before its rows are tried: by natural key, what fits, and names.
    pub(super) fn score(&self, missing: usize) -> f64 {
        let definition = &self.of.definition;
        let key = |name: &String| self.assigned.fields.get(name).map_or(0.0, |found| found.confidence);
        let keyed = definition.natural_key.iter().map(key).fold(1.0, f64::min);
        // A key that nothing tells may still be there, where the numbers are those of the type's holders.
        let held = self.choices.iter().any(|choice| choice.field.starts_with("holders."));
        let keyed = match (keyed > 0.0, held || self.wish.record_type.is_some()) {
            (true, _) => keyed,
            (false, true) => KEY_UNSEEN,
            (false, false) => return 0.0,
        };
        let required = self.of.required_fields().count().max(1) as f64;
        let decided = 1.0 - missing as f64 / required;
        let used = self.used();
        let part = used.len() as f64 / self.looked.table.columns.len().max(1) as f64;
        let told = format!("{} {}", self.looked.table.name, self.looked.table.titles.join(" "));
        let stem: String =
            self.looked.table.name.chars().take_while(|c| ('\u{4e00}'..='\u{9fff}').contains(c)).collect();
        let part_of_title = stem.chars().count() >= 4 && definition.title.zh.contains(&stem);
        let named =
            part_of_title || told.contains(&definition.title.zh) || told.contains(&definition.name.replace('-', "_"));
        let admitted = self.admitted() * self.held();
        (keyed + decided + part + self.explained() + if named { 1.0 } else { 0.0 }) * admitted
    }

    /// Whether the numbers in the sample are those of the holders that the type has: people's are not a business's.
    fn held(&self) -> f64 {
        let needed = self.of.definition.holders.iter().filter(|rule| rule.min > 0);
        let found = |role: &str| {
            let place = format!("holders.{role}");
            let open = self.assigned.twins.iter().any(|twins| twins.fields.contains(&place));
            open || self.mapping.holders.iter().any(|holder| holder.role == role)
        };
        let without = needed.filter(|rule| !found(&rule.role)).count();
        0.8_f64.powi(i32::try_from(without).unwrap_or(i32::MAX))
    }

    /// Which part of the columns with numbers of a rule of their own the type has a place for: what has a unit's number
    /// is no register of people.
    fn explained(&self) -> f64 {
        let numbered = self.looked.profiles.iter().enumerate().filter(|(_, profile)| profile.is_numbered());
        let chosen = self.choices.iter().filter_map(|choice| choice.column.as_ref());
        // Whose number it is may be open, and the number has its place all the same.
        let of_holders = |fields: &[String]| fields.iter().all(|field| field.starts_with("holders."));
        let open =
            self.assigned.twins.iter().filter(|twins| of_holders(&twins.fields)).flat_map(|twins| &twins.columns);
        let used: BTreeSet<&String> = chosen.chain(open).collect();
        let (mut all, mut explained) = (0_u32, 0_u32);
        for (column, _) in numbered {
            all += 1;
            explained += u32::from(used.contains(&self.looked.table.columns[column].heading));
        }
        if all == 0 { 1.0 } else { f64::from(explained) / f64::from(all) }
    }

    /// Which part of the sample has codes that the type's rules admit: a company's code is no association's.
    fn admitted(&self) -> f64 {
        let shares = self.of.definition.rules.iter().filter_map(|rule| match &rule.kind {
            Rule::CodeIn { field, prefix_len, codes } => {
                let column = self.assigned.fields.get(field)?.column;
                let begins = |cell: &str| codes.iter().any(|code| cell.chars().take(*prefix_len).eq(code.chars()));
                Some(self.looked.profiles[column].share(&begins))
            }
            _ => None,
        });
        shares.fold(1.0, f64::min)
    }
}
