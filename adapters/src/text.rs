//! Small operations on text that a department's export needs: width folding, trimming, headings, wildcards.

/// Full-width forms of ASCII (U+FF01 to U+FF5E) and the ideographic space become ASCII.
pub(crate) fn fold_width(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
            '\u{3000}' | '\u{a0}' => ' ',
            other => other,
        })
        .collect()
}

/// Without blanks, byte order marks and zero-width spaces at either end.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\0'))
}

/// The form in which headings are compared: folded, without any blank, so that `注册资本（万元）`, `注册资本(万元) ` and
/// a heading broken over two lines are one.
pub(crate) fn heading(text: &str) -> String {
    fold_width(text).chars().filter(|c| !c.is_whitespace() && !matches!(c, '\u{feff}' | '\u{200b}')).collect()
}

/// Whether `name` matches `pattern`, in which `*` stands for any run of characters and `?` for one.
pub(crate) fn matches_pattern(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && (pattern[p] == '?' || (pattern[p] != '*' && pattern[p] == name[n])) {
            (p, n) = (p + 1, n + 1);
        } else if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_folded_and_other_characters_stay() {
        assert_eq!(fold_width("９１３７（ＭＡ）　号、，"), "9137(MA) 号、,");
        assert_eq!(trim("\u{feff} \u{3000}高青 \t"), "高青");
        assert_eq!(heading("注册资本\n（万元） "), heading("注册资本(万元)"));
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("*.csv", "营业执照.csv", true),
            ("营业执照*.csv", "营业执照-2026-11.csv", true),
            ("营业执照*.csv", "食品营业执照.csv", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("*b*c", "abbbd", false),
            ("*b*c", "abbbc", true),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
    }
}
