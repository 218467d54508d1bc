//! Pages for people: what each reason means and what to do, made from `docs/errors/`.

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use include_dir::{Dir, include_dir};
use weft_proto::Reason;
use weft_record::problem;

static PAGES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../docs/errors");

const STYLE: &str = "body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:16px/1.6 system-ui,sans-serif;color:#1b2430;\
background:#fbfaf7}h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse}td,th{border:1px solid #c9c4b8;\
padding:.3rem .6rem;text-align:left}pre{background:#efece4;padding:.8rem;overflow:auto}code{font:14px/1.5 ui-monospace,monospace;\
background:#efece4}a{color:#7a3b1d}@media(prefers-color-scheme:dark){body{color:#e8e4da;background:#191b1f}pre,code{background:#262a30}\
a{color:#e0a483}td,th{border-color:#4a4f58}}\n";

pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=3600")], STYLE)
        .into_response()
}

pub(super) async fn index() -> Html<String> {
    let links = [
        ("/readyz", "就绪 · readiness"),
        ("/metrics", "指标 · metrics"),
        ("/errors", "原因代码 · reasons"),
        ("/.well-known/jwks.json", "现势声明公钥 · key of statements"),
    ];
    let items: String = links.iter().map(|(to, text)| format!("<li><a href=\"{to}\">{text}</a></li>\n")).collect();
    page("Weft 纬", &format!("<h1>Weft 纬</h1>\n<ul>\n{items}</ul>\n"))
}

pub(super) async fn reasons() -> Html<String> {
    let items: String =
        names().iter().map(|name| format!("<li><a href=\"/errors/{name}\">{name}</a></li>\n")).collect();
    page("原因代码 · reasons", &format!("<h1>原因代码 · reasons</h1>\n<ul>\n{items}</ul>\n"))
}

pub(super) async fn reason(Path(name): Path<String>) -> Response {
    // Only names of the closed set reach the embedded folder.
    if !names().contains(&name) {
        return (StatusCode::NOT_FOUND, "没有这个原因代码 / there is no such reason\n").into_response();
    }
    let text = PAGES.get_file(format!("{name}.md")).and_then(|file| file.contents_utf8());
    let body = text.map_or_else(|| from_texts(&name), html);
    page(&name, &body).into_response()
}

/// Every reason that has a page or texts of its own, by name.
fn names() -> Vec<String> {
    let mut names: Vec<String> = PAGES
        .files()
        .filter_map(|file| file.path().file_stem()?.to_str().map(str::to_owned))
        .chain(Reason::ALL.iter().map(|reason| reason.as_str().to_owned()))
        .chain(problem::Reason::ALL.iter().map(|reason| reason.as_str().to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A reason without a page is told in its own words.
fn from_texts(name: &str) -> String {
    let request = Reason::ALL.iter().find(|reason| reason.as_str() == name).map(|reason| (reason.zh(), reason.en()));
    let (zh, en) = request.unwrap_or_default();
    format!("<h1>{}</h1>\n<p>{}</p>\n<p>{}</p>\n", escaped(name), escaped(zh), escaped(en))
}

fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html>\n<html lang=\"zh-CN\">\n<head><meta charset=\"utf-8\"><title>{}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/style.css\"></head>\n\
         <body>\n{body}</body>\n</html>\n",
        escaped(title)
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The Markdown of `docs/errors/`: headings, paragraphs, lists, tables, fenced blocks, `code` and links to other pages.
fn html(markdown: &str) -> String {
    let mut out = String::new();
    let mut open = Block::None;
    for line in markdown.lines() {
        if open == Block::Fence {
            if line.starts_with("```") {
                close(&mut out, &mut open);
            } else {
                out.push_str(&escaped(line));
                out.push('\n');
            }
            continue;
        }
        let is_rule = line.starts_with("|--") || line.starts_with("| --") || line.starts_with("|:-");
        if is_rule {
            continue;
        }
        let (block, text) = block_of(line);
        if block != open {
            close(&mut out, &mut open);
            out.push_str(block.begin());
            open = block;
        }
        push_line(&mut out, block, text);
    }
    close(&mut out, &mut open);
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    Heading(u8),
    List,
    Table,
    Fence,
    Paragraph,
}

impl Block {
    fn begin(self) -> &'static str {
        match self {
            Self::List => "<ul>\n",
            Self::Table => "<table>\n",
            Self::Fence => "<pre>",
            Self::Paragraph => "<p>",
            Self::None | Self::Heading(_) => "",
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::List => "</ul>\n",
            Self::Table => "</table>\n",
            Self::Fence => "</pre>\n",
            Self::Paragraph => "</p>\n",
            Self::None | Self::Heading(_) => "",
        }
    }
}

fn close(out: &mut String, open: &mut Block) {
    out.push_str(open.end());
    *open = Block::None;
}

fn block_of(line: &str) -> (Block, &str) {
    if line.trim().is_empty() {
        (Block::None, "")
    } else if line.starts_with("```") {
        (Block::Fence, "")
    } else if let Some(text) = line.strip_prefix("# ") {
        (Block::Heading(1), text)
    } else if let Some(text) = line.strip_prefix("## ") {
        (Block::Heading(2), text)
    } else if let Some(text) = line.strip_prefix("- ") {
        (Block::List, text)
    } else if line.starts_with('|') {
        (Block::Table, line)
    } else {
        (Block::Paragraph, line)
    }
}

fn push_line(out: &mut String, block: Block, text: &str) {
    match block {
        Block::Heading(level) => out.push_str(&format!("<h{level}>{}</h{level}>\n", inline(text))),
        Block::List => out.push_str(&format!("<li>{}</li>\n", inline(text))),
        Block::Table => {
            let cells = text.trim().trim_matches('|').split('|');
            let row: String = cells.map(|cell| format!("<td>{}</td>", inline(cell.trim()))).collect();
            out.push_str(&format!("<tr>{row}</tr>\n"));
        }
        Block::Paragraph => {
            out.push_str(&inline(text));
            out.push('\n');
        }
        Block::None | Block::Fence => {}
    }
}

/// `code` and `[text](page.md)`; everything else is text.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            out.push_str(&format!("<code>{}</code>", escaped(part)));
        } else {
            out.push_str(&links(part));
        }
    }
    out
}

fn links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, label, target, after)) = next_link(rest) {
        out.push_str(&escaped(before));
        out.push_str(&format!("<a href=\"/errors/{}\">{}</a>", escaped(target), escaped(label)));
        rest = after;
    }
    out.push_str(&escaped(rest));
    out
}

/// The first link to another page of the folder: (text before, label, its name, text after).
fn next_link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (label, rest) = rest.split_once("](")?;
    let (target, after) = rest.split_once(')')?;
    Some((before, label, target.strip_suffix(".md")?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_html_and_nothing_slips_through() {
        let made = html(
            "# a\n\n| x | `y` |\n|---|---|\n| 1 | 2 |\n\nsee [b](b.md) & <script>\n\n- one\n- two\n\n```text\n<b>`\n```\n",
        );
        assert_eq!(
            made,
            "<h1>a</h1>\n<table>\n<tr><td>x</td><td><code>y</code></td></tr>\n<tr><td>1</td><td>2</td></tr>\n</table>\n\
             <p>see <a href=\"/errors/b\">b</a> &amp; &lt;script&gt;\n</p>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n\
             <pre>&lt;b&gt;`\n</pre>\n"
        );
    }

    #[test]
    fn every_reason_has_a_page() {
        let names = names();
        for name in Reason::ALL.iter().map(|reason| reason.as_str()) {
            assert!(names.iter().any(|one| one == name), "{name}");
        }
    }
}
