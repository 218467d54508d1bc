//! The check-character systems. Each takes the characters before the check character, as ASCII, and gives the check
//! character; `None` where a character is outside the system's alphabet.

/// The alphabet of GB 32100-2015: digits and letters without I, O, S, V, Z.
pub(crate) const USCC_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

/// The value of a digit or upper-case letter: 0-9, A=10 … Z=35.
fn base36(character: u8) -> Option<u32> {
    match character {
        b'0'..=b'9' => Some(u32::from(character - b'0')),
        b'A'..=b'Z' => Some(u32::from(character - b'A') + 10),
        _ => None,
    }
}

fn digit(character: u8) -> Option<u32> {
    character.is_ascii_digit().then(|| u32::from(character - b'0'))
}

fn digit_character(value: u32) -> u8 {
    b"0123456789"[value as usize % 10]
}

/// 统一社会信用代码, GB 32100-2015: modulus 31, weights 3^(i-1).
pub(crate) fn uscc(body: &[u8]) -> Option<u8> {
    let mut weight = 1;
    let mut sum = 0;
    for character in body {
        let value = USCC_ALPHABET.iter().position(|known| known == character)?;
        sum += value * weight;
        weight = weight * 3 % 31;
    }
    Some(USCC_ALPHABET[(31 - sum % 31) % 31])
}

/// 组织机构代码, GB 11714-1997: modulus 11 over eight characters.
pub(crate) fn organisation(body: &[u8]) -> Option<u8> {
    const WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];
    let mut sum = 0;
    for (character, weight) in body.iter().zip(WEIGHTS) {
        sum += base36(*character)? * weight;
    }
    Some(match 11 - sum % 11 {
        10 => b'X',
        11 => b'0',
        value => digit_character(value),
    })
}

/// ISO 7064 MOD 11-2, as GB 11643-1999 uses it for the citizen ID.
pub(crate) fn mod_11_2(body: &[u8]) -> Option<u8> {
    let mut product = 0;
    for character in body {
        product = (product + digit(*character)?) * 2 % 11;
    }
    Some(b"10X98765432"[product as usize])
}

/// ISO 7064 MOD 11,10, as GB/T 17710-1999 has it.
pub(crate) fn mod_11_10(body: &[u8]) -> Option<u8> {
    let mut product = 10;
    for character in body {
        let sum = match (product + digit(*character)?) % 10 {
            0 => 10,
            sum => sum,
        };
        product = sum * 2 % 11;
    }
    Some(digit_character((11 - product) % 10))
}

/// ISO 7064 MOD 37,36, as GB/T 36904-2018 uses it.
pub(crate) fn mod_37_36(body: impl IntoIterator<Item = u8>) -> Option<u8> {
    let mut product = 36;
    for character in body {
        let sum = match (product + base36(character)?) % 36 {
            0 => 36,
            sum => sum,
        };
        product = sum * 2 % 37;
    }
    Some(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[((37 - product) % 36) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many single-character changes and neighbour swaps of seeded random codes a system misses, as shares.
    /// `body` draws from `alphabet`; the check character may also come from `check_alphabet`.
    fn miss_rates(
        length: usize,
        alphabet: &[u8],
        check_alphabet: &[u8],
        system: impl Fn(&[u8]) -> Option<u8>,
    ) -> (f64, f64) {
        let mut seed = 0x5745_4654_u64;
        let mut draw = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % bound
        };
        let holds = |code: &[u8]| system(&code[..length]) == Some(code[length]);
        let (mut changes, mut changes_missed, mut swaps, mut swaps_missed) = (0, 0, 0, 0);
        for _ in 0..400 {
            let mut code: Vec<u8> = (0..length).map(|_| alphabet[draw(alphabet.len())]).collect();
            code.push(system(&code).unwrap());
            for place in 0..=length {
                let (original, letters) = (code[place], if place == length { check_alphabet } else { alphabet });
                for letter in letters.iter().filter(|letter| **letter != original) {
                    code[place] = *letter;
                    changes += 1;
                    changes_missed += i32::from(holds(&code));
                }
                code[place] = original;
                if place < length && code[place] != code[place + 1] {
                    code.swap(place, place + 1);
                    swaps += 1;
                    swaps_missed += i32::from(holds(&code));
                    code.swap(place, place + 1);
                }
            }
        }
        (f64::from(changes_missed) / f64::from(changes), f64::from(swaps_missed) / f64::from(swaps))
    }

    const BASE36: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const DIGITS: &[u8] = b"0123456789";

    #[test]
    fn the_credit_code_misses_no_change_and_no_swap() {
        assert_eq!(miss_rates(17, USCC_ALPHABET, USCC_ALPHABET, uscc), (0.0, 0.0));
    }

    #[test]
    fn the_citizen_id_misses_no_change_and_no_swap() {
        assert_eq!(miss_rates(17, DIGITS, b"0123456789X", mod_11_2), (0.0, 0.0));
    }

    #[test]
    fn mod_11_10_misses_no_change_and_few_swaps() {
        for length in [13, 14] {
            let (changes, swaps) = miss_rates(length, DIGITS, DIGITS, mod_11_10);
            assert_eq!(changes, 0.0);
            assert!((0.016..0.036).contains(&swaps), "{swaps}");
        }
    }

    #[test]
    fn mod_37_36_misses_no_change_and_hardly_a_swap() {
        let (changes, swaps) = miss_rates(50, BASE36, BASE36, |body| mod_37_36(body.iter().copied()));
        assert_eq!(changes, 0.0);
        assert!((0.0005..0.0025).contains(&swaps), "{swaps}");
    }

    #[test]
    fn the_organisation_code_alone_is_a_weak_second_opinion() {
        let (changes, swaps) = miss_rates(8, BASE36, b"0123456789X", organisation);
        assert!((0.057..0.077).contains(&changes), "{changes}");
        assert!((0.039..0.069).contains(&swaps), "{swaps}");
    }

    #[test]
    fn published_examples_agree() {
        assert_eq!(mod_37_36(*b"A12425GABC1234002"), Some(b'M'));
        assert_eq!(mod_11_10(b"1530825001410"), Some(b'9'));
        assert_eq!(organisation(b"D2143569"), Some(b'X'));
        assert_eq!(mod_11_2(b"11010519491231002"), Some(b'X'));
    }

    #[test]
    fn a_character_outside_the_alphabet_has_no_check() {
        assert_eq!(uscc(b"I1370322MAYY00018"), None);
        assert_eq!(organisation(b"mayy0001"), None);
        assert_eq!(mod_11_2(b"3703991980022900A"), None);
        assert_eq!(mod_11_10(b"A"), None);
        assert_eq!(mod_37_36(*b"."), None);
    }
}
