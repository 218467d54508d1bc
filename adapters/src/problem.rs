//! What is wrong with a file or a row, said so that the department's own people can mend it.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $zh:literal, $en:literal;)*) => {
        /// Why a file or row was not taken as it stands. The names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason { $($(#[$doc])* #[serde(rename = $text)] $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The stable name.
            pub fn as_str(self) -> &'static str { match self { $(Reason::$name => $text,)* } }

            /// What to do, in Chinese.
            pub fn zh(self) -> &'static str { match self { $(Reason::$name => $zh,)* } }

            /// What to do, in English.
            pub fn en(self) -> &'static str { match self { $(Reason::$name => $en,)* } }
        }
    };
}

reasons! {
    /// Neither UTF-8, UTF-16 nor GB18030 over the whole file.
    EncodingUnknown = "encoding_unknown",
        "文件既不是 UTF-8、UTF-16，也不是 GB18030；请另存为 UTF-8 编码的 CSV 后重新放入", "the file is neither UTF-8, UTF-16 nor GB18030; save it as CSV in UTF-8 and drop it again";
    /// A quotation mark is never closed.
    QuoteOpen = "quote_open",
        "引号没有闭合；请从所示行起补上右引号", "a quotation mark is never closed; close it, beginning at the line named";
    /// Text after a closing quotation mark.
    QuoteMisplaced = "quote_misplaced",
        "右引号之后还有文字；单元格内的引号须写成两个", "there is text after a closing quotation mark; a mark inside a cell is written twice";
    /// A record of more than 1 MiB, 50 lines or 1,000 columns.
    RecordTooLong = "record_too_long",
        "一条记录超过 1 MiB、50 行或 1000 列；多半是引号没有闭合", "one record is longer than 1 MiB, 50 lines or 1,000 columns; most likely a quotation mark is missing";
    /// No row among the first thirty holds the mapped headings.
    HeadingMissing = "heading_missing",
        "前 30 行中没有表头；请保留表头行，或改正映射中的列名", "no heading row among the first 30; keep the heading row, or correct the column names of the mapping";
    /// The heading row lacks a mapped column.
    ColumnMissing = "column_missing",
        "表头缺少映射所需的列；请补上该列，或改正映射中的列名", "the heading row lacks a column that the mapping needs; add it, or correct the mapping";
    /// A mapped heading stands twice.
    HeadingTwice = "heading_twice",
        "同一列名在表头中出现两次；请删去或改名其中一列", "a column name stands twice in the heading row; remove or rename one of them";
    /// The heading row stands again among the data.
    HeadingRepeated = "heading_repeated",
        "数据中又出现表头行；请删去该行", "the heading row stands again among the data; remove the row";
    /// More or fewer cells than headings: columns have shifted.
    ColumnsShifted = "columns_shifted",
        "单元格数与表头不符，列已错位；请检查该行的分隔符和引号", "the row has another number of cells than the heading; look at its separators and quotation marks";
    /// The file was written to while it was read.
    ChangedWhileRead = "changed_while_read",
        "文件在读取时被改动；请写完后再放入，或先用 .tmp 后缀", "the file was changed while it was read; drop it when it is complete, or name it .tmp first";
    /// More rows than the configuration admits.
    TooManyRows = "too_many_rows",
        "行数超过配置的上限；请拆分文件或提高 max_rows", "the file has more rows than max_rows; split it or raise the limit";
    /// Not JSON, or JSON that two readers could take differently.
    JsonUnreadable = "json_unreadable",
        "文件不是有效的 JSON；请按所示行改正后重新放入", "the file is no valid JSON; correct it at the line named and drop it again";
    /// A JSON value that is an object or a nested list.
    ValueNotPlain = "value_not_plain",
        "该位置的 JSON 值不是单个文字或文字列表；请在映射中写明其下一级路径", "the JSON value at this path is no plain text or list of texts; name a path below it in the mapping";
    /// No record of the file has a mapped column.
    ColumnUnseen = "column_unseen",
        "文件中没有任何记录含有该列，已按空值处理；请核对映射中的路径", "no record of the file has this column, it was taken as empty; check the path in the mapping";
    /// The content is not what the file's name says, or a kind of table that is not read.
    FormatMismatch = "format_mismatch",
        "文件内容与扩展名不符，或不是可读取的格式；请另存为 .xlsx 或 UTF-8 编码的 .csv", "the content is not what the name says, or a format that is not read; save it as .xlsx or as .csv in UTF-8";
    /// A workbook larger than the configuration admits.
    FileTooLarge = "file_too_large",
        "工作簿超过配置的大小上限；请拆分或改用 CSV，或提高 sheet.max_mib", "the workbook is larger than the configuration admits; split it, use CSV, or raise sheet.max_mib";
    /// A workbook with parts that no table needs, or built to harm its reader.
    WorkbookUnsafe = "workbook_unsafe",
        "工作簿含有宏、外部链接、加密或异常部件；请只保留数据，另存为普通 .xlsx", "the workbook has macros, links outside, encryption or unusual parts; keep the data alone and save it as a plain .xlsx";
    /// A workbook that is damaged.
    WorkbookUnreadable = "workbook_unreadable",
        "工作簿已损坏或不是标准格式；请用制表软件打开并另存后重新放入", "the workbook is damaged or not of the standard form; open it in the spreadsheet program, save it anew and drop it again";
    /// A workbook that needs more memory or time than admitted.
    WorkbookTooHeavy = "workbook_too_heavy",
        "读取该工作簿需要的内存或时间超过上限；请拆分或改用 CSV，或提高 sheet.memory_mib", "reading the workbook needs more memory or time than admitted; split it, use CSV, or raise sheet.memory_mib";
    /// More than one sheet has the heading.
    SheetUnclear = "sheet_unclear",
        "不止一个工作表含有所需表头；请在配置中写明 sheet.name", "more than one sheet has the heading; name one in the configuration as sheet.name";
    /// A formula in a mapped column.
    FormulaRefused = "formula_refused",
        "所示单元格是公式，保存的结果可能已过时；请粘贴为数值，或在配置中允许 sheet.formulas", "the cell named is a formula whose saved result may be stale; paste it as a value, or allow sheet.formulas";
    /// A cell that shows an error.
    CellError = "cell_error",
        "所示单元格显示错误值（如 #N/A）；请改正后重新导出", "the cell named shows an error such as #N/A; correct it and export again";
    /// 15 digits and more, stored as a number.
    NumberTooLong = "number_too_long",
        "所示单元格的编号以数字存储，15 位以上会丢失末位和前导零；请把该列设为文本后重新录入", "the cell named is stored as a number, which loses digits behind the fifteenth and leading zeros; make the column text and enter it again";
    /// A mapped cell is merged with others.
    MergedCells = "merged_cells",
        "所示单元格与其他单元格合并，只有左上角有值；请取消合并并逐行填写", "the cell named is merged with others and only the first has a value; unmerge them and fill every row";
    /// Rows or columns that are hidden were read as well.
    HiddenCells = "hidden_cells",
        "工作表中有隐藏的行或列，也已读取；请确认它们应当归集", "the sheet has hidden rows or columns, which were read as well; make sure that they are meant";
    /// The watched folder is not there.
    FolderMissing = "folder_missing",
        "投放文件夹不存在或不可读，该数据源等待；请建立该文件夹、挂载共享，或改正 file.folder，之后自动继续", "the folder is not there or cannot be read, so the source waits; make the folder, mount the share, or correct file.folder, and it goes on by itself";
    /// The hub does not have the record type as one of this department.
    TypeNotYours = "type_not_yours",
        "枢纽未将该证照类型登记给本部门，该数据源等待；请县大数据中心登记（weft admin department），或改正 mapping.record_type，之后自动继续", "the hub does not have this record type as one of the department's, so the source waits; let the operator register it, or correct mapping.record_type, and it goes on by itself";
    /// The hub lost a record of which nothing is kept any more.
    LostAtHub = "lost_at_hub",
        "枢纽缺少该记录或其内容不同，本地已无可补送的内容；请由本部门系统重新推送或重新放入文件", "the hub lacks the record or has another content, and nothing of it is kept here to send again; have the department's system post it, or drop its file, once more";
    /// Almost every row of a unit fails.
    MostlyFailed = "mostly_failed",
        "几乎所有行都有问题，该数据源已停止，未发送任何一行；请核对导出文件与映射，改正后自动继续", "almost every row fails, so the source has stopped and nothing of it was sent; check export and mapping, it goes on by itself when they are mended";
    /// Too many versions stand out of order.
    OutOfOrder = "out_of_order",
        "文件中过多记录的版本次序颠倒；请按日期升序导出", "too many versions of records stand out of order; export in ascending order of date";
    /// A field of the natural key is empty.
    KeyMissing = "key_missing",
        "缺少确定记录身份的字段；请在本部门系统中补上", "a field that identifies the record is empty; fill it in the department's system";
    /// Not a date in any known form.
    DateUnreadable = "date_unreadable",
        "无法识别的日期；可用 2018-12-13、2018/12/13、20181213、2018年12月13日，表格序列号须在映射中写 serial", "not a date in a known form: 2018-12-13, 2018/12/13, 20181213, 2018年12月13日; a spreadsheet's count of days needs serial in the mapping";
    /// A date that does not exist.
    DateImpossible = "date_impossible",
        "日期不存在；请在本部门系统中改正", "this date does not exist; correct it in the department's system";
    /// Not a number.
    NumberUnreadable = "number_unreadable",
        "不是数字；请改正，或在映射中写明单位", "not a number; correct it, or name the unit in the mapping";
    /// A code that the dictionary does not have.
    NotInDictionary = "not_in_dictionary",
        "对照表中没有该值；请改正该值，或在映射的对照表中补上", "the mapping's dictionary does not have this value; correct it, or add it to the dictionary";
    /// Names and numbers of several holders do not pair.
    HoldersUneven = "holders_uneven",
        "持证主体的姓名、证件号码、证件类型个数不一致；请逐一对应", "names, numbers and kinds of the holders differ in count; give one of each per holder";
    /// The version or date column cannot be read.
    OrderUnreadable = "order_unreadable",
        "版本或日期列为空或无法识别，不能排定先后；请补上", "the version or date column is empty or unreadable, so the row has no place in order; fill it";
    /// An earlier line of the same record, and no column says which is newer.
    SupersededInFile = "superseded_in_file",
        "同一记录在文件中出现多次，以后一行为准；请核对，或在映射中指定排序列", "the record stands in the file more than once and the later line was taken; check it, or map a column that orders versions";
    /// The same row again.
    DuplicateRow = "duplicate_row",
        "重复行，内容相同，只取一次；请删去", "the same row again, taken once; remove it";
    /// Older than what was already published.
    OlderThanPublished = "older_than_published",
        "该行早于已归集的版本，未采用；如确需更正请更新日期列", "the row is older than the version already published and was not taken; if it is right, renew its date";
    /// The event does not fit the record's status.
    StepNotAllowed = "step_not_allowed",
        "该事件与记录的现行状态不符；请核对登记状态", "the event does not fit the record's present status; check the status in the department's system";
    /// The record ended for good, and the row says otherwise.
    StatusFinal = "status_final",
        "记录已撤销、吊销或注销；如登记有误，须由两人确认更正", "the record was rescinded, revoked or cancelled; if that was wrong, a correction confirmed by two persons is needed";
    /// Cells are in the record in another form than in the source.
    Normalised = "normalised",
        "写法已规范化，内容不变；请核对示例，无需处理", "the form of cells was made regular, what they say is the same; look at the example, nothing is to be done";
    /// A record's row is not in the snapshot any more.
    RowVanished = "row_vanished",
        "该行已从全量数据中消失；请核对是否注销或误删，需要时在映射中配置 vanished.event", "the row is not in the snapshot any more; see whether it ended or was deleted by mistake, and configure vanished.event if it is to become an event";
    /// So much vanished from a snapshot that it is not believed.
    TooManyVanished = "too_many_vanished",
        "全量数据比上次明显减少，未作消失处理；请核对导出是否完整，确属减少时提高 vanished.limit_percent", "the snapshot is much smaller than the last one, so nothing was taken as vanished; see whether the export is whole, and if it is, raise vanished.limit_percent";
    /// Rows that cannot be read keep vanished rows from becoming events.
    VanishedDoubtful = "vanished_doubtful",
        "有行无法识别，消失的行未转为事件；请先改正无法识别的行", "rows could not be read, so vanished ones did not become events; correct those rows first";
    /// The file was done before, under the same mapping.
    AlreadyDone = "already_done",
        "内容相同的文件已处理过；无需再放", "a file of the same content was processed before; nothing to do";
    /// The row's watermark is NULL.
    WatermarkMissing = "watermark_missing",
        "水位列为空，无法得知该行何时变动，只能每次重读；请在本部门系统中补上", "the watermark column is empty, so nothing tells when the row changes and it is read every time; fill it in the department's system";
    /// A cell of a database is no text in the encoding configured.
    TextUnreadable = "text_unreadable",
        "所示列的内容不是所配置编码的文字；请在本部门系统中改正该行，或改正 odbc.encoding", "the column named is no text in the encoding configured; correct the row in the department's system, or correct odbc.encoding";
    /// The account of a database can do more than read.
    AccountCanWrite = "account_can_write",
        "数据库账号不止有只读权限；请换用只读账号", "the database account can do more than read; use one that can only read";
    /// Whether the account can do more than read cannot be told.
    RightsUnknown = "rights_unknown",
        "无法得知数据库账号是否只读；请向数据库管理员核实", "whether the database account can only read cannot be told; ask whoever runs the database";
    /// The hub refused the record at the door.
    Rejected = "rejected",
        "枢纽拒收；请按所列问题改正后重新导出", "the hub refused the record; correct what it names and export again";
    /// The hub does not accept the sealing key or the sender yet.
    KeyNotAccepted = "key_not_accepted",
        "枢纽尚未认可签章密钥或发送方；请县大数据中心确认密钥指纹，届时自动重发", "the hub does not accept the sealing key or the sender yet; let the operator confirm the key, it is then sent again by itself";
    /// The hub took the record and refused it when applying.
    Quarantined = "quarantined",
        "枢纽已隔离该记录；请按所列问题改正后重新导出", "the hub put the record into quarantine; correct what it names and export again";
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a whole file (or answer of a source) was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}: {detail}", line.map(|line| format!(" at line {line}")).unwrap_or_default())]
pub struct Refused {
    /// The reason.
    pub reason: Reason,
    /// The line, from 1, where it was seen.
    pub line: Option<u64>,
    /// The column's heading, if one is at fault.
    pub column: Option<String>,
    /// What the reason alone does not say (a byte, a heading); never a value of a record.
    pub detail: String,
}

impl Refused {
    /// A refusal at a line.
    pub fn new(reason: Reason, line: Option<u64>, detail: impl Into<String>) -> Self {
        Self { reason, line, column: None, detail: detail.into() }
    }
}

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowProblem {
    /// The file's name, without its folder.
    pub file: String,
    /// The line where the row begins, from 1, title lines counted.
    pub line: u64,
    /// The heading of the column at fault; empty for the row as a whole.
    pub column: String,
    /// The stable reason.
    pub reason: Reason,
    /// The cell's value; `****` where the field is restricted or sensitive; empty for a row as a whole.
    pub value: String,
    /// What happened and what to do, in Chinese.
    pub zh: String,
    /// The same in English.
    pub en: String,
    /// The record goes on its way in spite of it.
    pub note: bool,
}

impl RowProblem {
    /// A problem told in the words of its reason. The file is filled in by whoever knows it.
    pub fn new(line: u64, column: impl Into<String>, reason: Reason) -> Self {
        Self {
            file: String::new(),
            line,
            column: column.into(),
            reason,
            value: String::new(),
            zh: reason.zh().to_owned(),
            en: reason.en().to_owned(),
            note: false,
        }
    }

    /// Shows the value, or hides it when the field is not public.
    #[must_use]
    pub fn value(mut self, value: &str, hidden: bool) -> Self {
        self.value = if hidden { "****".to_owned() } else { value.chars().take(80).collect() };
        self
    }

    /// Names the file.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
    }

    /// Says more than the reason does; without values.
    #[must_use]
    pub fn because(mut self, zh: &str, en: &str) -> Self {
        self.zh = format!("{}：{zh}", self.zh);
        self.en = format!("{}: {en}", self.en);
        self
    }

    /// Nothing is lost by it: the record goes on its way.
    #[must_use]
    pub fn as_note(mut self) -> Self {
        self.note = true;
        self
    }

    /// The refusal of a whole file as a line of the same table.
    pub fn of_file(file: &str, refused: &Refused) -> Self {
        let problem = Self::new(refused.line.unwrap_or(0), refused.column.clone().unwrap_or_default(), refused.reason);
        let problem = problem.in_file(file);
        if refused.detail.is_empty() { problem } else { problem.because(&refused.detail, &refused.detail) }
    }
}

/// The problems of a file as CSV for the department's people: without values, safe to open in a spreadsheet.
pub fn report_csv(problems: &[RowProblem]) -> String {
    let mut out = String::from("\u{feff}行号 line,列 column,原因 reason,说明,what to do\r\n");
    for problem in problems {
        let cells = [&problem.line.to_string(), &problem.column, problem.reason.as_str(), &problem.zh, &problem.en];
        out.push_str(&cells.map(safe_cell).join(","));
        out.push_str("\r\n");
    }
    out
}

/// Problems of any files as CSV, with file and value (hidden where the field is not public), safe to open in a
/// spreadsheet.
pub fn table_csv(problems: &[RowProblem]) -> String {
    let mut out =
        String::from("\u{feff}文件 file,行号 line,列 column,值 value,原因 reason,说明,what to do,提示 note\r\n");
    for problem in problems {
        let (line, note) = (problem.line.to_string(), if problem.note { "1" } else { "" });
        let reason = problem.reason.as_str();
        let cells = [&problem.file, &line, &problem.column, &problem.value, reason, &problem.zh, &problem.en, note];
        out.push_str(&cells.map(safe_cell).join(","));
        out.push_str("\r\n");
    }
    out
}

/// A cell that no spreadsheet takes for a formula: one that begins like one gets an apostrophe (OWASP, CSV injection).
fn safe_cell(text: &str) -> String {
    let guarded = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if guarded.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", guarded.replace('"', "\"\"")) } else { guarded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_no_formula_and_has_no_value() {
        let problem = RowProblem::new(7, "=cmd|' /C calc'!A0", Reason::DateImpossible).value("370399", false);
        let report = report_csv(&[problem]);
        assert!(report.contains("7,'=cmd|' /C calc'!A0,date_impossible,"), "{report}");
        assert!(!report.contains("370399"));
        let value =
            RowProblem::new(8, "名称", Reason::NotInDictionary).value("@SUM(1+1)*cmd|'x'!A1", false).in_file("-a.csv");
        let hidden = RowProblem::new(9, "号码", Reason::KeyMissing).value("370399", true).in_file("\t=b");
        let table = table_csv(&[value, hidden]);
        assert!(table.contains("\n'-a.csv,8,名称,'@SUM(1+1)*cmd|'x'!A1,"), "{table}");
        assert!(table.contains("'\t=b,9,号码,****,") && !table.contains("370399"), "{table}");
    }

    #[test]
    fn names_of_reasons_are_those_of_serde() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{reason}\""));
        }
    }
}
