//! The vectors of every identifier, valid and invalid, as a table.

use super::*;

/// What a vector is expected to give.
enum Expect {
    Valid,
    Plain,
    Warn(&'static str),
    Wrong(&'static str),
}
use Expect::{Plain, Valid, Warn, Wrong};

fn assert_table(rule: Rule, table: &[(&str, Expect)]) {
    for (raw, expected) in table {
        let checked = check(rule, raw);
        let holds = match (expected, checked.verdict) {
            (Valid, Verdict::Valid) | (Plain, Verdict::RightShapeNoCheckDigit) => true,
            (Warn(name), Verdict::ValidWithWarning(finding)) => *name == finding.rule,
            (Wrong(name), Verdict::Wrong(finding)) => *name == finding.rule,
            _ => false,
        };
        assert!(holds, "{rule} {raw}: {:?}", checked.verdict);
    }
}

#[test]
fn uscc() {
    assert_table(
        Rule::Uscc,
        &[
            ("91370322MAYY000184", Valid),
            ("92370322MAYY00026U", Valid),
            ("93370322MAYY00034K", Valid),
            ("11370322YY0000044B", Valid),
            ("12370322YY00000523", Valid),
            ("51370322MJYY000618", Valid),
            ("11110000000021485U", Valid),
            ("11100000000013338W", Valid),
            ("12110000400777687U", Valid),
            ("91370322mayy000184", Valid),
            ("９１３７０３２２ＭＡＹＹ０００１８４", Valid),
            (" 91370322 MAYY0001 84\u{3000}", Valid),
            ("91370322-MAYY0001-84", Valid),
            ("91370322MAYY000185", Wrong("uscc-check")),
            ("91370322IAYY000184", Wrong("uscc-alphabet")),
            ("91370322MAYY00018V", Wrong("uscc-alphabet")),
            ("91370322MAYY00018", Wrong("uscc-length")),
            ("91370322MAYY0001844", Wrong("uscc-length")),
            ("9137O322MAYY000184", Wrong("uscc-alphabet")),
            ("9137A322MAYY000184", Wrong("uscc-division")),
            ("91370322MAY0Y00184", Wrong("uscc-check")),
            ("93370232MAYY00034K", Wrong("uscc-check")),
            ("91370322MAYY00011E", Warn("uscc-inner-check")),
            ("九1370322MAYY000184", Wrong("uscc-alphabet")),
            ("91370322\u{41c}AYY000184", Wrong("uscc-alphabet")), // a Cyrillic letter that looks like M
            ("\u{feff}91370322MAYY0\u{200b}00184", Valid),
            ("", Wrong("empty")),
            ("  ", Wrong("empty")),
        ],
    );
}

#[test]
fn organisation_code() {
    assert_table(
        Rule::Org,
        &[
            ("MAYY0001-8", Valid),
            ("YY000004-4", Valid),
            ("YY000010-8", Valid),
            ("MAYY0019-X", Valid),
            ("YY000012-4", Valid),
            ("D2143569-X", Valid),
            ("D2143569X", Valid),
            ("yy000004-4", Valid),
            ("D2143569-0", Wrong("org-check")),
            ("MAYY0001-9", Wrong("org-check")),
            ("YY000040-4", Wrong("org-check")),
            ("YY000004-A", Wrong("org-shape")),
            ("YY00004-1", Wrong("org-shape")),
        ],
    );
}

#[test]
fn citizen_id() {
    assert_table(
        Rule::CitizenId,
        &[
            ("370399198002290012", Valid),
            ("370399198506150021", Valid),
            ("370399199901010031", Valid),
            ("370399197812120045", Valid),
            ("370399200002290055", Valid),
            ("370399201804010064", Valid),
            ("370399196311080079", Valid),
            ("11010519491231002X", Valid),
            ("11010519491231002x", Valid),
            ("440524188001010014", Valid),
            ("3703991985****0021", Plain),
            ("370399********0021", Plain),
            ("3703991985＊＊＊＊0021", Plain),
            ("3703991985***00021", Wrong("citizen-id-shape")),
            ("37039919850615****", Wrong("citizen-id-shape")),
            ("370399198506150020", Wrong("citizen-id-check")),
            ("37039919810229001X", Wrong("date-impossible")),
            ("37039919851315002X", Wrong("date-impossible")),
            ("370399170006150021", Wrong("date-impossible")),
            ("370399198506150012", Wrong("citizen-id-check")),
            ("370398198506150021", Wrong("citizen-id-check")),
            ("37039919850615002", Wrong("citizen-id-length")),
            ("370399850615002", Wrong("old-15-digit-form")),
            ("037039198506150027", Wrong("citizen-id-shape")),
            ("X70399198506150021", Wrong("citizen-id-shape")),
            ("三70399198506150021", Wrong("citizen-id-shape")),
        ],
    );
}

#[test]
fn registration_no() {
    assert_table(
        Rule::RegistrationNo,
        &[
            ("370322009900019", Valid),
            ("370322409900028", Valid),
            ("370322609900039", Valid),
            ("370322909900048", Valid),
            ("370300299900050", Valid),
            ("370322609900030", Wrong("registration-no-check")),
            ("37032260990003", Wrong("registration-no-shape")),
            ("370322069900039", Wrong("registration-no-check")),
            ("3703226A0990003", Wrong("registration-no-shape")),
            ("370322009900029", Wrong("registration-no-check")),
            ("370322609800039", Wrong("registration-no-check")),
        ],
    );
}

#[test]
fn food_business_no() {
    assert_table(
        Rule::FoodBusinessNo,
        &[
            ("JY13703229900018", Valid),
            ("JY23703229900027", Valid),
            ("JY33703229900039", Valid),
            ("JY13703229900147", Valid),
            ("JY23703229907772", Valid),
            ("jy1 3703 2299 00018", Valid),
            ("JY15308250014109", Valid),
            ("JY13703229900019", Wrong("food-business-no-check")),
            ("JY43703229900018", Wrong("food-business-no-category")),
            ("JY1370322990001", Wrong("food-business-no-shape")),
            ("SC13703229900018", Wrong("food-business-no-shape")),
            ("JY13703229090018", Wrong("food-business-no-check")),
            ("JY13703229900028", Wrong("food-business-no-check")),
        ],
    );
}

#[test]
fn food_production_no() {
    assert_table(
        Rule::FoodProductionNo,
        &[
            ("SC10137032299011", Valid),
            ("SC10337032299025", Valid),
            ("SC12437032299039", Valid),
            ("SC13137032299049", Valid),
            ("SC20137032299051", Valid),
            ("SC10137032299012", Wrong("food-production-no-check")),
            ("SC13237032299014", Wrong("food-production-no-category")),
            ("SC20437032299014", Wrong("food-production-no-category")),
            ("SC30137032299011", Wrong("food-production-no-category")),
            ("SC13703229900018", Wrong("food-production-no-category")),
            ("SC1013703229901", Wrong("food-production-no-shape")),
            ("QS10137032299011", Wrong("withdrawn-qs-scheme")),
        ],
    );
}

#[test]
fn certificate_identifier() {
    assert_table(
        Rule::CertificateIdentifier,
        &[
            ("1.2.156.3005.2.11100000MB0143028R001.11370322YY0000044B.2018000001.001.3", Valid),
            ("1.2.156.3005.2.11100000MB03271699001.11370322YY0000044B.37032220180000001.001.H", Valid),
            ("1.2.156.3005.2.11100000MB03271699001.11370322YY0000044B.37032220180000001.002.F", Valid),
            ("1.2.156.3005.2.11100000MB03271699022.11370322YY0000044B.A1B2C3D4E5F60718293A4B5C6D7E8F90.001.J", Valid),
            ("1.2.156.3005.2.11100000000013338W011.12370322YY00000523.99000001.003.2", Valid),
            ("1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U", Valid),
            ("1.2.156.3005.2.11100000000013338W032.11220000013544541J.2430599.001.F", Valid),
            ("1.2.156.3005.2.11100000000013338W009.11330105002500287C.2025052201.002.0", Valid),
            (
                "1.2.156.3005.2.11100000MB0143028R001.11370322YY0000044B.2018000001.001.4",
                Warn("certificate-identifier-check"),
            ),
            (
                "1.2.156.3005.2.11100000MB0143028R001.11370322YY0000044B.2018000001.002.3",
                Warn("certificate-identifier-check"),
            ),
            (
                "1.2.156.3005.1.11100000MB0143028R001.11370322YY0000044B.2018000001.001.3",
                Wrong("certificate-identifier-root"),
            ),
            (
                "1.2.156.3005.2.11100000MB0143028R001.11370322YY0000044B.2018000001.001",
                Wrong("certificate-identifier-shape"),
            ),
            (
                "1.2.156.3005.2.11100000MB0143028R001.11370322YY00000440.2018000001.001.3",
                Wrong("certificate-identifier-issuer"),
            ),
            (
                "1.2.156.3005.2.11100000MB0143028R001.11370322YY0000044B.2018-00001.001.3",
                Wrong("certificate-identifier-shape"),
            ),
            (
                "1.2.156.3005.2.11100000MB0143028R001.11370322YY0000044B.2018000010.001.3",
                Warn("certificate-identifier-check"),
            ),
            (
                "1.2.156.3005.2.11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.M",
                Warn("certificate-identifier-check"),
            ),
        ],
    );
}

#[test]
fn a_certificate_identifier_is_minted_only_with_a_right_check_and_issuer() {
    let stem = "1.2.156.3005.2.11100000MB0143028R001.11370322YY0000044B.2018000001.001";
    assert_eq!(certificate_identifier_check(stem), Some('3'));
    assert_eq!(certificate_identifier_check(&stem.replace("44B", "440")), None);
    assert_eq!(certificate_identifier_check("1.2.3"), None);
}

#[test]
fn real_estate_unit() {
    assert_table(
        Rule::RealEstateUnit,
        &[
            ("370322001001GB00001F00010001", Plain),
            ("370322 001001 JC00012 F00010001", Plain),
            ("370322002003GB00005W00000000", Plain),
            ("370322100007JD00018L00000001", Plain),
            ("370322001002GS00003F00020017", Plain),
            ("370322001001gb00001f00010001", Plain),
            ("370322001001GB00001F0001001", Wrong("real-estate-unit-shape")),
            ("370322002003GB00005W00010001", Wrong("real-estate-unit-attachment")),
            ("370322001001KB00001F00010001", Wrong("real-estate-unit-parcel")),
            ("37032200A001GB00001F00010001", Wrong("real-estate-unit-shape")),
            ("370322001001GB00001F00000000", Wrong("real-estate-unit-attachment")),
            ("370322001001GB00001B00010001", Wrong("real-estate-unit-attachment")),
        ],
    );
}

#[test]
fn real_estate_certificate() {
    assert_table(
        Rule::RealEstateCertificate,
        &[
            ("鲁(2018)高青县不动产权第0000001号", Plain),
            ("鲁（2018）高青县不动产权第0000001号", Plain),
            ("鲁（２０１８）高青县不动产权第 0000001 号", Plain),
            ("鲁(2019)高青县不动产证明第0000123号", Plain),
            ("鲁(2020)淄博市不动产权第0012345号", Plain),
            ("鲁(2021)高青县不动产权第9999999号", Plain),
            ("鲁[2018]高青县不动产权第0000001号", Wrong("real-estate-certificate-shape")),
            ("鲁(2018)高青县不动产权第000001号", Wrong("real-estate-certificate-serial")),
            ("山东(2018)高青县不动产权第0000001号", Wrong("real-estate-certificate-shape")),
            ("鲁(18)高青县不动产权第0000001号", Wrong("real-estate-certificate-shape")),
            ("高青县房权证第0000001号", Wrong("pre-2015-paper")),
        ],
    );
    let tolerant = Tolerance { short_serial: true, ..Tolerance::LIVE };
    let short = check_with(Rule::RealEstateCertificate, "沪(2018)浦东不动产权第000001号", tolerant);
    assert_eq!(short.verdict.finding().unwrap().rule, "real-estate-certificate-serial");
    assert!(short.verdict.is_acceptable());
}

#[test]
fn construction_permit() {
    assert_table(
        Rule::ConstructionPermit,
        &[
            ("370322201806150101", Plain),
            ("370322201811200218", Plain),
            ("370322202002290301", Plain),
            ("370322201902280119", Plain),
            ("370322202312010102", Plain),
            ("370322201902290101", Wrong("date-impossible")),
            ("370322201806150120", Wrong("construction-permit-speciality")),
            ("370322201806150100", Wrong("construction-permit-speciality")),
            ("37032220180615010", Wrong("construction-permit-shape")),
            ("370322201813A50101", Wrong("construction-permit-shape")),
            ("370322201813150101", Wrong("date-impossible")),
        ],
    );
}

#[test]
fn disability_certificate() {
    assert_table(
        Rule::DisabilityCertificate,
        &[
            ("37039919850615002142", Valid),
            ("37039919850615002142B1", Valid),
            ("3703991985****002142", Plain),
            ("37039919850615002082", Wrong("disability-certificate-shape")),
            ("37039919850615002185", Wrong("disability-certificate-shape")),
            ("370399198506150021", Wrong("disability-certificate-shape")),
            ("37039919850615002042", Wrong("citizen-id-check")),
            ("37039919810229001X42", Wrong("date-impossible")),
        ],
    );
}

#[test]
fn identifiers_that_have_a_pattern_only() {
    assert_table(
        Rule::Division,
        &[
            ("370322", Plain),
            ("370322101", Plain),
            ("370322000000 ", Plain),
            ("370322109000", Plain),
            ("37032", Wrong("division-shape")),
            ("070322", Wrong("division-shape")),
        ],
    );
    assert_table(
        Rule::MarriageCertificate,
        &[
            ("J370322-2018-000001", Plain),
            ("L370322—2018—000001", Plain),
            ("j3703222018000001", Plain),
            ("K370322-2018-000001", Wrong("marriage-certificate-shape")),
            ("J370322-1818-000001", Wrong("marriage-certificate-shape")),
        ],
    );
    assert_table(
        Rule::BirthCertificate,
        &[
            ("R990000001", Plain),
            ("r990000001", Plain),
            ("9900000012", Wrong("birth-certificate-shape")),
            ("证00000001", Wrong("birth-certificate-shape")),
        ],
    );
}

#[test]
fn licence_numbers_that_have_a_pattern_only() {
    assert_table(
        Rule::TransportLicence,
        &[
            ("鲁交运管许可淄字370322000001号", Plain),
            ("370322000001", Plain),
            ("鲁交运管许可淄字37032200001号", Wrong("transport-licence-shape")),
        ],
    );
    assert_table(
        Rule::PlanningPermit,
        &[
            ("建字第3703222018000001号", Plain),
            ("地字第370322201800001号", Plain),
            ("建字370322201800001号", Wrong("planning-permit-shape")),
        ],
    );
    assert_table(
        Rule::PublicPlaceLicence,
        &[
            ("鲁卫公证字[2018]第370322-000001号", Plain),
            ("鲁卫公证字〔2018〕第370322-000001号", Plain),
            ("鲁卫公证字［2018］第370322－000001号", Plain),
            ("鲁卫公证字2018第370322-000001号", Wrong("public-place-licence-shape")),
        ],
    );
    assert_table(
        Rule::Phone,
        &[
            ("13800000000", Plain),
            ("+86 138 0000 0000", Plain),
            ("+86 +86 138 0000 0000", Plain),
            ("0533-6960001", Plain),
            ("(0533)6960001", Plain),
            ("6960001", Plain),
            ("4000000000", Plain),
            ("123", Wrong("phone-shape")),
            ("1380000000a", Wrong("phone-shape")),
        ],
    );
}

#[test]
fn normalising_says_whether_it_changed_the_text() {
    assert!(!check(Rule::Uscc, "91370322MAYY000184").changed);
    let changed = check(Rule::RealEstateCertificate, "鲁（2018）高青县不动产权第0000001号");
    assert!(changed.changed);
    assert_eq!(changed.normalised, "鲁(2018)高青县不动产权第0000001号");
    assert_eq!(normalise(Rule::MarriageCertificate, "j 3703222018000001"), "J370322-2018-000001");
    assert_eq!(
        normalise(Rule::PublicPlaceLicence, "鲁卫公证字〔2018〕第370322-000001号"),
        "鲁卫公证字[2018]第370322-000001号"
    );
}

/// Every single-character change and every swap of neighbours of the valid vectors of the strong codes is noticed.
#[test]
fn no_slip_of_the_finger_passes_a_strong_code() {
    for (rule, code) in [
        (Rule::Uscc, "91370322MAYY000184"),
        (Rule::Uscc, "51370322MJYY000618"),
        (Rule::CitizenId, "370399198002290012"),
        (Rule::CitizenId, "11010519491231002X"),
    ] {
        let passes = |characters: &[char]| {
            let text: String = characters.iter().collect();
            matches!(check(rule, &text).verdict, Verdict::Valid | Verdict::ValidWithWarning(_))
        };
        let mut characters: Vec<char> = code.chars().collect();
        for place in 0..characters.len() {
            let original = characters[place];
            for other in ('0'..='9').chain('A'..='Z').filter(|other| *other != original) {
                characters[place] = other;
                assert!(!passes(&characters), "{rule}: a change at {place}");
            }
            characters[place] = original;
            if place > 0 && characters[place - 1] != original {
                characters.swap(place - 1, place);
                assert!(!passes(&characters), "{rule}: a swap at {place}");
                characters.swap(place - 1, place);
            }
        }
        assert!(passes(&characters));
    }
}

#[test]
fn a_masked_number_is_never_a_holder() {
    let masked = check_holder(Scheme::CitizenId, "3703991985****0021", Tolerance::TEST);
    assert_eq!(masked.verdict.finding().unwrap().rule, "masked-holder");
    let passport = check_holder(Scheme::Passport, "E99＊＊＊＊01", Tolerance::TEST);
    assert_eq!(passport.verdict.finding().unwrap().rule, "masked-holder");
    assert_eq!(check_holder(Scheme::CitizenId, "370399198506150021", Tolerance::TEST).verdict, Verdict::Valid);
    assert_eq!(
        check_holder(Scheme::VehiclePlate, "鲁C·99999", Tolerance::TEST).verdict,
        Verdict::RightShapeNoCheckDigit
    );
    assert!(!check_holder(Scheme::Passport, " ", Tolerance::TEST).verdict.is_acceptable());
    assert!(!check_holder(Scheme::Project, &"9".repeat(65), Tolerance::TEST).verdict.is_acceptable());
}

#[test]
fn synthetic_people_are_remarked_on_outside_test_mode() {
    for (rule, number) in [
        (Rule::CitizenId, "370399198506150021"),
        (Rule::DisabilityCertificate, "37039919850615002142"),
        (Rule::Division, "370399"),
    ] {
        let live = check_with(rule, number, Tolerance::LIVE).verdict;
        assert_eq!(live.finding().unwrap().rule, "test-area");
        assert!(live.is_acceptable());
    }
}

#[test]
fn names_read_back_and_findings_are_distinct() {
    for rule in Rule::ALL {
        assert_eq!(rule.as_str().parse::<Rule>().unwrap(), *rule);
    }
    for scheme in Scheme::ALL {
        assert_eq!(scheme.as_str().parse::<Scheme>().unwrap(), scheme);
        assert_eq!(serde_json::to_value(scheme).unwrap(), scheme.as_str());
    }
    let names: std::collections::HashSet<_> = Finding::ALL.iter().map(|finding| finding.rule).collect();
    assert_eq!(names.len(), Finding::ALL.len());
    assert!("no-rule".parse::<Rule>().is_err() && "no-scheme".parse::<Scheme>().is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_check_panic_and_normalising_twice_is_normalising_once(text in "\\PC{0,40}") {
        for rule in Rule::ALL {
            let checked = check(*rule, &text);
            assert_eq!(normalise(*rule, &checked.normalised), checked.normalised);
        }
        for scheme in Scheme::ALL {
            let _ = check_holder(scheme, &text, Tolerance::LIVE);
        }
    }

    #[test]
    fn text_near_the_grammar_makes_no_check_panic(text in "[0-9A-Z*字号第鲁()\\[\\].\\-]{1,40}") {
        for rule in Rule::ALL {
            let _ = check(*rule, &text);
        }
    }
}
