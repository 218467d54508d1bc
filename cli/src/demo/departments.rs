//! The departments of the demo: what each publishes, and how its records come to its adapter.

use weft_proto::v1;

/// A department of the demo.
pub(super) struct Publishing {
    pub(super) code: &'static str,
    pub(super) zh: &'static str,
    pub(super) en: &'static str,
    /// What its system is to its adapter, for people.
    pub(super) kind: &'static str,
    pub(super) sources: &'static [Sample],
}

/// What one source of a department's configuration reads.
pub(super) struct Sample {
    /// The source's name in the configuration.
    pub(super) source: &'static str,
    pub(super) record_type: &'static str,
    pub(super) way: Way,
}

/// How a sample comes to its source.
pub(super) enum Way {
    /// It is dropped into the source's folder.
    File(&'static str),
    /// Its statements make a file of SQLite, once for all sources of the department.
    Database([&'static str; 2]),
    /// It is served over HTTP, page by page.
    Pages(&'static [&'static str]),
    /// It is posted to the adapter.
    Posts(&'static [&'static str]),
}

/// The export of the businesses that the window asks about.
pub(super) const BUSINESSES: &str = "营业执照-20261030.csv";
const DATABASE: [&str; 2] = ["transport/schema.sql", "transport/data.sql"];

pub(super) const PUBLISHING: [Publishing; 6] = [
    Publishing {
        code: "market-regulation",
        zh: "市场监督管理局",
        en: "Market regulation",
        kind: "CSV",
        sources: &[
            Sample { source: "business-licences", record_type: "business-licence", way: Way::File(BUSINESSES) },
            Sample {
                source: "food-business-licences",
                record_type: "food-business-licence",
                way: Way::File("食品经营许可证台账.csv"),
            },
            Sample {
                source: "food-production-licences",
                record_type: "food-production-licence",
                way: Way::File("market-regulation/食品生产许可证.tsv"),
            },
        ],
    },
    Publishing {
        code: "health",
        zh: "卫生健康局",
        en: "Health",
        kind: "XLSX",
        sources: &[
            Sample {
                source: "births", record_type: "birth-certificate", way: Way::File("health/出生医学证明.xlsx")
            },
            Sample {
                source: "hygiene-licences",
                record_type: "public-place-hygiene-licence",
                way: Way::File("health/公共场所卫生许可证.xlsx"),
            },
        ],
    },
    Publishing {
        code: "medical-insurance",
        zh: "医疗保障局",
        en: "Medical insurance",
        kind: "JSON lines",
        sources: &[Sample {
            source: "insurance-proofs",
            record_type: "social-insurance-proof",
            way: Way::File("medical-insurance/参保缴费证明.jsonl"),
        }],
    },
    Publishing {
        code: "transport",
        zh: "交通运输局",
        en: "Transport",
        kind: "SQL",
        sources: &[
            Sample {
                source: "transport-licences",
                record_type: "road-transport-licence",
                way: Way::Database(DATABASE),
            },
            Sample { source: "vehicles", record_type: "vehicle-operation-certificate", way: Way::Database(DATABASE) },
        ],
    },
    Publishing {
        code: "taxation",
        zh: "税务局",
        en: "Taxation",
        kind: "REST",
        sources: &[Sample {
            source: "deed-tax",
            record_type: "deed-tax-proof",
            way: Way::Pages(&["taxation/page-1.json", "taxation/page-2.json", "taxation/page-3.json"]),
        }],
    },
    Publishing {
        code: "disabled-federation",
        zh: "残疾人联合会",
        en: "Disabled persons' federation",
        kind: "push",
        sources: &[Sample {
            source: "disability-certificates",
            record_type: "disability-certificate",
            way: Way::Posts(&[
                "disabled-federation/post-1.json",
                "disabled-federation/post-2.json",
                "disabled-federation/post-3.json",
            ]),
        }],
    },
];

impl Publishing {
    /// What an operator registers: all of it is here from the beginning.
    pub(super) fn registration(&self) -> v1::RegisterDepartmentRequest {
        let types = || self.sources.iter().map(|source| source.record_type.to_owned());
        let coverage = types().map(|record_type| v1::Coverage {
            record_type,
            back_fill_finished: true,
            ..v1::Coverage::default()
        });
        v1::RegisterDepartmentRequest {
            department: self.code.into(),
            name_zh: self.zh.into(),
            name_en: self.en.into(),
            record_types: types().collect(),
            coverage: coverage.collect(),
        }
    }

    /// What is posted to its adapter, in turn; nothing where it reads by itself.
    pub(super) fn posts(&self) -> &'static [&'static str] {
        let posts = self.sources.iter().find_map(|source| match source.way {
            Way::Posts(posts) => Some(posts),
            _ => None,
        });
        posts.unwrap_or_default()
    }
}
