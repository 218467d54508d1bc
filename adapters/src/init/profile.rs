//! What the cells of a column look like: the part of an answer that no heading can fake.

use std::collections::BTreeMap;

use weft_record::identifier::{self, Rule, Verdict};

use crate::{mapping, text};

/// Different cells that are looked at one by one.
const DISTINCT: usize = 4_000;

/// A column's content.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    /// Cells that are not empty.
    pub(super) filled: usize,
    /// Each different cell, half-width and trimmed, with how often it stands; at most [`DISTINCT`].
    pub(super) cells: BTreeMap<String, usize>,
    shares: Shares,
}

/// Which part of the filled cells has which look, from 0 to 1.
#[derive(Clone, Debug, Default)]
struct Shares {
    identifiers: BTreeMap<Rule, Identified>,
    dates: f64,
    open: f64,
    decimals: f64,
    with_unit: f64,
    integers: f64,
    booleans: f64,
    person: f64,
    organisation: f64,
    authority: f64,
    address: f64,
    long: f64,
}

/// How the cells of a column keep an identifier's rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Identified {
    /// Grammar and check character hold.
    pub(super) valid: f64,
    /// The grammar holds, and there is no check character.
    pub(super) shaped: f64,
    /// The grammar holds and the check character is wrong: it only looks like one.
    pub(super) wrong_check: f64,
}

impl Profile {
    pub(super) fn of<'a>(cells: impl Iterator<Item = &'a str>) -> Self {
        let mut profile = Self::default();
        for cell in cells {
            let folded = text::fold_width(cell);
            let cell = text::trim(&folded);
            if cell.is_empty() {
                continue;
            }
            profile.filled += 1;
            if let Some(count) = profile.cells.get_mut(cell) {
                *count += 1;
            } else if profile.cells.len() < DISTINCT {
                profile.cells.insert(cell.to_owned(), 1);
            }
        }
        profile.shares = profile.look();
        profile
    }

    fn look(&self) -> Shares {
        let share = |test: &dyn Fn(&str) -> bool| self.share(test);
        let identifiers = Rule::ALL.iter().map(|&rule| (rule, self.identified(rule)));
        Shares {
            identifiers: identifiers.filter(|(_, found)| *found != Identified::default()).collect(),
            dates: share(&is_date),
            open: share(&|cell| mapping::OPEN_END.contains(&cell)),
            decimals: share(&|cell| money(cell).is_some()),
            with_unit: share(&|cell| mapping::parse_decimal(cell, &[], 0).is_none() && money(cell).is_some()),
            integers: share(&|cell| cell.len() <= 15 && cell.bytes().all(|byte| byte.is_ascii_digit())),
            booleans: share(&mapping::is_boolean_word),
            person: share(&is_person),
            organisation: share(&is_organisation),
            authority: share(&is_authority),
            address: share(&is_address),
            long: share(&is_long),
        }
    }

    /// Which part of the filled cells passes a test.
    pub(super) fn share(&self, test: &dyn Fn(&str) -> bool) -> f64 {
        let all: usize = self.cells.values().sum();
        let passed: usize = self.cells.iter().filter(|(cell, _)| test(cell)).map(|(_, count)| count).sum();
        if all == 0 { 0.0 } else { passed as f64 / all as f64 }
    }

    fn identified(&self, rule: Rule) -> Identified {
        let mut found = Identified::default();
        let all: usize = self.cells.values().sum();
        for (cell, &count) in &self.cells {
            let part = count as f64 / all as f64;
            match identifier::check(rule, cell).verdict {
                Verdict::Valid | Verdict::ValidWithWarning(_) => found.valid += part,
                Verdict::RightShapeNoCheckDigit => found.shaped += part,
                Verdict::Wrong(finding) if finding.rule.ends_with("-check") => found.wrong_check += part,
                Verdict::Wrong(_) => {}
            }
        }
        found
    }

    pub(super) fn identifier(&self, rule: Rule) -> Identified {
        self.shares.identifiers.get(&rule).copied().unwrap_or_default()
    }

    /// Whether the cells are an identifier whose check characters are right.
    pub(super) fn is_identifier(&self) -> bool {
        self.shares.identifiers.values().any(|found| found.valid > 0.5)
    }

    /// The same, or the cells have the grammar of one that has no check characters.
    pub(super) fn is_numbered(&self) -> bool {
        self.shares.identifiers.values().any(|found| found.valid + found.shaped > 0.5)
    }

    /// Which part of the cells is different from the others.
    pub(super) fn variety(&self) -> f64 {
        if self.filled == 0 { 0.0 } else { self.cells.len() as f64 / self.filled.min(DISTINCT) as f64 }
    }

    /// Whether there are few different cells, as of a closed list.
    pub(super) fn repeats(&self) -> bool {
        self.cells.len() <= 60
    }

    /// Dates, and words for an open end beside some of them.
    pub(super) fn dates(&self) -> f64 {
        if self.shares.dates > 0.0 { self.shares.dates + self.shares.open } else { 0.0 }
    }

    /// Days as a spreadsheet counts them from 1900, where it was not told to show them as dates: 1954 to 2119.
    pub(super) fn serials(&self) -> f64 {
        self.share(&|cell| cell.parse::<f64>().is_ok_and(|day| (20_000.0..80_000.0).contains(&day)))
    }

    pub(super) fn decimals(&self) -> f64 {
        self.shares.decimals
    }

    /// Amounts that carry their unit.
    pub(super) fn with_unit(&self) -> f64 {
        self.shares.with_unit
    }

    pub(super) fn integers(&self) -> f64 {
        self.shares.integers
    }

    pub(super) fn booleans(&self) -> f64 {
        self.shares.booleans
    }

    pub(super) fn person(&self) -> f64 {
        self.shares.person
    }

    pub(super) fn organisation(&self) -> f64 {
        self.shares.organisation
    }

    pub(super) fn authority(&self) -> f64 {
        self.shares.authority
    }

    pub(super) fn address(&self) -> f64 {
        self.shares.address
    }

    pub(super) fn long(&self) -> f64 {
        self.shares.long
    }

    /// Whether the cells are plainly no free text: numbers, dates, identifiers.
    pub(super) fn is_coded(&self) -> bool {
        let bare = |cell: &str| !cell.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        self.dates() > 0.5 || self.share(&bare) > 0.5
    }

    /// Whether the dates say what they mean only with a count from 1900 or 1904, or as the last day of years.
    pub(super) fn has(&self, test: &dyn Fn(&str) -> bool) -> bool {
        self.cells.keys().any(|cell| test(cell))
    }
}

fn is_date(cell: &str) -> bool {
    mapping::parse_day(cell, None).is_ok_and(|day| (1900..=2199).contains(&day.year()) || day.year() == 9999)
}

fn money(cell: &str) -> Option<String> {
    mapping::parse_money(cell, mapping::Money::Yuan, mapping::Money::Yuan)
}

/// Surnames of the great part of all people; two-character ones are found by their first.
const SURNAMES: &str = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏窦章云苏潘葛范彭郎鲁韦马苗方俞任袁柳\
    鲍史唐费薛雷贺倪汤滕殷罗毕郝安常于傅齐康伍余顾孟黄穆萧尹姚邵汪祁毛狄戴宋庞熊纪舒屈项祝董梁杜阮蓝闵季贾路江童郭梅盛林钟徐邱骆高夏蔡\
    田胡凌霍虞万柯卢莫房丁邓洪包左石崔龚程邢裴陆荣翁段侯宁仇甘武符刘景詹龙叶黎薄印白蒲邰鄂赖卓屠池乔闻党翟谭劳申冉桑桂牛边燕尚温庄晏\
    柴瞿阎慕连习艾容向古易廖庾耿匡寇广东殷欧利蔚越师巩聂曾关查游竺盖司上官诸闫肖付代岳亓解逯孟宫巴焦车吉桥沙楚冷辛";

pub(super) fn is_person(cell: &str) -> bool {
    let characters: Vec<char> = cell.chars().collect();
    let han = characters.iter().all(|c| ('\u{4e00}'..='\u{9fff}').contains(c) || *c == '·');
    han && (2..=4).contains(&characters.len()) && SURNAMES.contains(characters[0])
}

const ORGANISATION: [&str; 32] = [
    "公司",
    "店",
    "厂",
    "商行",
    "合作社",
    "中心",
    "超市",
    "商场",
    "馆",
    "集团",
    "经营部",
    "门市部",
    "工作室",
    "农场",
    "学校",
    "幼儿园",
    "医院",
    "诊所",
    "协会",
    "基金会",
    "酒楼",
    "饭庄",
    "餐厅",
    "食堂",
    "企业",
    "事务所",
    "合伙)",
    "服务部",
    "小吃部",
    "便利店",
    "研究院",
    "车队",
];

pub(super) fn is_organisation(cell: &str) -> bool {
    cell.chars().count() >= 4 && ORGANISATION.iter().any(|end| cell.ends_with(end))
}

const AUTHORITY: [&str; 10] =
    ["局", "委员会", "人民政府", "厅", "登记中心", "管理所", "监督所", "街道办事处", "运输服务中心", "联合会"];

fn is_authority(cell: &str) -> bool {
    cell.chars().count() >= 4 && AUTHORITY.iter().any(|end| cell.ends_with(end))
}

fn is_address(cell: &str) -> bool {
    let place = ["省", "市", "县", "区", "镇", "乡", "街道"].iter().any(|word| cell.contains(word));
    let exact =
        ["号", "路", "街", "村", "小区", "大厦", "楼", "室", "园", "巷", "院内"].iter().any(|word| cell.contains(word));
    place && exact && cell.chars().count() >= 6 && !is_organisation(cell)
}

fn is_long(cell: &str) -> bool {
    cell.chars().count() >= 10 && cell.contains(['。', '；', ';', '、', '，']) && !is_address(cell)
}
