//! Certificates: readable, in force, for how long.

use jiff::Timestamp;
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

use super::finding::{Findings, Said};

const DAY: i64 = 86_400;
/// Certificates live 90 days and renew themselves from day 60; what has less than this left did not.
const SOON_DAYS: i64 = 20;
/// Nothing is ready with less.
const LAST_DAYS: i64 = 1;

const UNREADABLE: Said = Said {
    wrong: ("证书无法读取", "the certificate cannot be read"),
    remedy: ("更换为 PEM 格式的证书", "put a certificate in PEM in its place"),
};
const ENDED: Said = Said {
    wrong: ("证书已过期或即将过期", "the certificate has ended, or ends within a day"),
    remedy: ("换发证书：适配器或窗口重新入网或续期", "have a new one made: join again, or renew"),
};
const EARLY: Said = Said {
    wrong: ("证书尚未生效", "the certificate is not in force yet"),
    remedy: ("检查本机时钟", "check this machine's clock"),
};
const SOON: Said = Said {
    wrong: ("证书即将过期而未自动续期", "the certificate ends soon and was not renewed by itself"),
    remedy: ("检查进程是否运行、能否连接枢纽", "see that the process runs and reaches the hub"),
};

/// Looks at the first certificate of a PEM text; gives its DNS names.
pub(super) fn look(check: &'static str, pem: &[u8], now: Timestamp, findings: &mut Findings) -> Vec<String> {
    let Ok((_, pem)) = parse_x509_pem(pem) else {
        findings.fail(check, UNREADABLE, "not PEM");
        return Vec::new();
    };
    let Ok(certificate) = pem.parse_x509() else {
        findings.fail(check, UNREADABLE, "not X.509");
        return Vec::new();
    };
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let days = (until - now.as_second()).div_euclid(DAY);
    let detail = format!("{} ({days} d)", crate::verify::moment(until));
    match days {
        _ if now.as_second() < from => findings.fail(check, EARLY, crate::verify::moment(from)),
        ..LAST_DAYS => findings.fail(check, ENDED, detail),
        LAST_DAYS..SOON_DAYS => findings.warn(check, SOON, detail),
        _ => findings.ok(check, detail),
    }
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn ages_are_told_apart() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["hub.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        for (now, level) in [
            ("2025-12-31T00:00:00Z", "fail"),
            ("2026-02-01T00:00:00Z", "ok"),
            ("2026-03-20T00:00:00Z", "warn"),
            ("2026-03-31T12:00:00Z", "fail"),
            ("2026-05-01T00:00:00Z", "fail"),
        ] {
            let mut findings = Findings::default();
            assert_eq!(look("c", pem.as_bytes(), now.parse().unwrap(), &mut findings), ["hub.example"]);
            assert_eq!(findings.report().json()[0]["level"], level, "{now}");
        }
        let mut findings = Findings::default();
        look("c", b"nonsense", Timestamp::UNIX_EPOCH, &mut findings);
        assert_eq!(findings.report().json()[0]["level"], "fail");
    }
}
