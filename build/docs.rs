//! Renders the documentation as the pages below `/docs/`, so that the running program needs no parser for Markdown.
//!
//! Each Markdown file is an HTML page, and each file of the deployment that a page links to is served as plain text.
//! Links between them become relative addresses. If the file of a link is not served, only the text of the link stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    io::Write as _,
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html::push_html};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Folders whose Markdown files are pages. Their other files are served if a page links to them, except for pictures
/// and programs.
pub const FOLDERS: [&str; 3] = ["docs", "deploy", "grafana"];

/// Files in the root of the repository that are served.
pub const FILES: [&str; 7] =
    ["README.md", "README.zh-CN.md", "CHANGELOG.md", "SECURITY.md", "BENCHMARKS.md", "config.example.yaml", "LICENSE"];

/// The style sheet of the status page, which the pages share.
pub const STYLE: &str = "src/site/page/style.css";

/// The texts around a page.
struct Texts {
    tag: &'static str,
    variant: &'static str,
    home: &'static str,
    status_page: &'static str,
    documentation: &'static str,
    contents: &'static str,
    all_pages: &'static str,
    table: &'static str,
    other_name: &'static str,
    other_tag: &'static str,
}

const ENGLISH: Texts = Texts {
    tag: "en",
    variant: "English",
    home: "README",
    status_page: "Status page",
    documentation: "Documentation",
    contents: "On this page",
    all_pages: "All pages",
    table: "Table",
    other_name: "中文",
    other_tag: "zh-CN",
};

const CHINESE: Texts = Texts {
    tag: "zh-CN",
    variant: "Chinese",
    home: "README.zh-CN",
    status_page: "状态页",
    documentation: "文档",
    contents: "本页内容",
    all_pages: "全部页面",
    table: "表格",
    other_name: "English",
    other_tag: "en",
};

/// The pages and the files that pages link to, by their path in the repository.
type Sources = BTreeMap<String, String>;

/// Writes the compressed documents to the directory `out`, and `documents.rs` with the array `DOCUMENTS` that lists
/// them.
pub fn build(root: &Path, out: &Path) -> Result<()> {
    let sources = sources(root)?;
    let directory = out.join("docs");
    fs::create_dir_all(&directory)?;
    let mut documents = Vec::new();
    let mut add = |address: &str, variant: &str, kind: &str, content: &str| -> Result<()> {
        let file = directory.join(format!("{}.gz", address.replace('/', "+")));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content.as_bytes())?;
        fs::write(&file, encoder.finish()?)?;
        documents.push(format!("    ServedFile::new({address:?}, {variant}, {kind}, include_bytes!({file:?})),\n"));
        Ok(())
    };
    for (path, text) in &sources {
        if path.ends_with(".md") {
            let texts = texts_of(path);
            add(&address(path), &format!("Some(Language::{})", texts.variant), "HTML", &page(path, text, &sources))?;
        } else {
            add(&address(path), "None", "PLAIN", text)?;
        }
    }
    add("style.css", "None", "CSS", &fs::read_to_string(root.join(STYLE))?)?;
    let table = format!("static DOCUMENTS: [ServedFile; {}] = [\n{}];\n", documents.len(), documents.concat());
    fs::write(out.join("documents.rs"), table)?;
    Ok(())
}

fn texts_of(path: &str) -> &'static Texts {
    if path.ends_with(".zh-CN.md") { &CHINESE } else { &ENGLISH }
}

fn sources(root: &Path) -> Result<Sources> {
    let mut pages = BTreeSet::from(FILES.map(str::to_owned));
    let mut files = BTreeSet::from(FILES.map(str::to_owned));
    for folder in FOLDERS {
        visit(root, folder, &mut files)?;
    }
    pages.extend(files.iter().filter(|path| path.ends_with(".md")).cloned());
    let mut sources = Sources::new();
    for path in pages.iter().filter(|path| root.join(path).is_file()) {
        sources.insert(path.clone(), fs::read_to_string(root.join(path))?);
    }
    let mut linked = BTreeSet::new();
    for (path, text) in &sources {
        for event in Parser::new_ext(text, options()) {
            if let Event::Start(Tag::Link { dest_url, .. }) = event {
                linked.insert(resolve(path, dest_url.split('#').next().unwrap_or_default()));
            }
        }
    }
    for path in linked.intersection(&files).filter(|path| root.join(path).is_file()) {
        sources.insert(path.clone(), fs::read_to_string(root.join(path))?);
    }
    Ok(sources)
}

/// Adds the text files of a folder.
fn visit(root: &Path, folder: &str, found: &mut BTreeSet<String>) -> Result<()> {
    if !root.join(folder).is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = format!("{folder}/{}", entry.file_name().to_str().ok_or("a file name is not UTF-8")?);
        if entry.file_type()?.is_dir() {
            visit(root, &path, found)?;
        } else if !path.ends_with(".png") && !path.ends_with(".py") {
            found.insert(path);
        }
    }
    Ok(())
}

/// The address of a document below `/docs/`.
fn address(path: &str) -> String {
    let path = path.strip_prefix("docs/").unwrap_or(path);
    path.strip_suffix(".md").unwrap_or(path).to_owned()
}

/// The path that a link of a page leads to.
fn resolve(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The relative address of one document from another.
fn relative(from: &str, to: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
    let folders = from.len().min(to.len()) - 1;
    let shared = (0..folders).take_while(|&at| from.get(at) == to.get(at)).count();
    let up = std::iter::repeat_n("..", from.len() - 1 - shared);
    let address: Vec<&str> = up.chain(to.into_iter().skip(shared)).collect();
    format!("./{}", address.join("/"))
}

fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_GFM | Options::ENABLE_STRIKETHROUGH
}

/// A Markdown file as HTML events, its title, and its headings of the second level with their anchors.
struct Rendered<'a> {
    events: Vec<Event<'a>>,
    title: String,
    sections: Vec<(String, String)>,
    anchors: BTreeSet<String>,
    /// The index of the first event of the open heading, and its text.
    heading: Option<(usize, String)>,
    /// For each open link, whether it is kept.
    links: Vec<bool>,
}

impl<'a> Rendered<'a> {
    fn new(path: &str, text: &'a str, sources: &Sources) -> Self {
        let mut rendered = Rendered {
            events: Vec::new(),
            title: path.to_owned(),
            sections: Vec::new(),
            anchors: BTreeSet::new(),
            heading: None,
            links: Vec::new(),
        };
        for event in Parser::new_ext(text, options()) {
            if let (Event::Text(text) | Event::Code(text), Some((_, heading))) = (&event, &mut rendered.heading) {
                heading.push_str(text);
            }
            rendered.add(event, path, sources);
        }
        rendered
    }

    fn add(&mut self, event: Event<'a>, path: &str, sources: &Sources) {
        match event {
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = served(path, &dest_url, sources).map(CowStr::from);
                self.links.push(dest_url.is_some());
                let link = dest_url.map(|dest_url| Event::Start(Tag::Link { link_type, dest_url, title, id }));
                self.events.extend(link);
            }
            Event::End(TagEnd::Link) if self.links.pop() == Some(false) => {}
            // Images are not served. Their text remains.
            Event::Start(Tag::Image { .. }) => self.events.push(Event::Start(Tag::Emphasis)),
            Event::End(TagEnd::Image) => self.events.push(Event::End(TagEnd::Emphasis)),
            Event::Html(text) | Event::InlineHtml(text) => self.events.push(Event::Text(text)),
            // A table that is wider than the screen scrolls separately from the page, and `tabindex` lets the keyboard
            // scroll it.
            Event::Start(Tag::Table(alignments)) => {
                let label = texts_of(path).table;
                let open = format!("<div class=\"wide\" role=\"group\" aria-label=\"{label}\" tabindex=\"0\">");
                self.events.extend([Event::Html(open.into()), Event::Start(Tag::Table(alignments))]);
            }
            Event::End(TagEnd::Table) => {
                self.events.extend([Event::End(TagEnd::Table), Event::Html("</div>\n".into())]);
            }
            Event::Start(Tag::CodeBlock(_)) => self.events.push(Event::Html("<pre tabindex=\"0\"><code>".into())),
            Event::End(TagEnd::CodeBlock) => self.events.push(Event::Html("</code></pre>\n".into())),
            Event::Start(Tag::Heading { .. }) => {
                self.heading = Some((self.events.len(), String::new()));
                self.events.push(event);
            }
            Event::End(TagEnd::Heading(level)) => {
                self.end_heading(level as u8);
                self.events.push(event);
            }
            event => self.events.push(event),
        }
    }

    fn end_heading(&mut self, level: u8) {
        let Some((start, text)) = self.heading.take() else { return };
        let anchor = anchor(&text, &mut self.anchors);
        if let Some(Event::Start(Tag::Heading { id, .. })) = self.events.get_mut(start) {
            *id = Some(anchor.clone().into());
        }
        match level {
            1 => self.title = text,
            2 => self.sections.push((anchor, text)),
            _ => {}
        }
    }
}

/// The address of a link's target; `None` if it is not served.
fn served(page: &str, link: &str, sources: &Sources) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") || link.starts_with('#') {
        return Some(link.to_owned());
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = resolve(page, file);
    let address = relative(&address(page), &address(&target));
    let anchor = anchor.map_or(String::new(), |anchor| format!("#{anchor}"));
    sources.contains_key(&target).then(|| format!("{address}{anchor}"))
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str, taken: &mut BTreeSet<String>) -> String {
    let slug = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    let anchor: String = heading.chars().filter_map(slug).collect();
    let numbered = (1..).map(|number| format!("{anchor}-{number}"));
    let mut names = [anchor.clone()].into_iter().chain(numbered);
    let free = names.find(|name| !taken.contains(name)).unwrap_or(anchor);
    taken.insert(free.clone());
    free
}

fn escaped(text: &str) -> String {
    let mut html = String::new();
    push_html(&mut html, [Event::Text(text.into())].into_iter());
    html.replace('"', "&quot;")
}

/// A list of links.
fn list(links: impl Iterator<Item = (String, String)>) -> String {
    let items = links.map(|(address, text)| format!("<li><a href=\"{address}\">{}</a></li>\n", escaped(&text)));
    format!("<ul>\n{}</ul>\n", items.collect::<String>())
}

/// The HTML page of a Markdown file.
fn page(path: &str, text: &str, sources: &Sources) -> String {
    let texts = texts_of(path);
    let Rendered { events, title, sections, .. } = Rendered::new(path, text, sources);
    let mut body = String::new();
    push_html(&mut body, events.into_iter());
    let own = address(path);
    if own == texts.home {
        body += &all_pages(texts, sources);
    }
    let contents = if sections.len() > 3 {
        let links = list(sections.into_iter().map(|(anchor, text)| (format!("#{anchor}"), text)));
        format!("<details class=\"card\">\n<summary>{}</summary>\n{links}</details>\n", texts.contents)
    } else {
        String::new()
    };
    let Texts { tag, status_page, documentation, all_pages, home, .. } = texts;
    let (root, home) = (relative(&own, ""), relative(&own, home));
    format!(
        "<!DOCTYPE html>
<html lang=\"{tag}\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>{title} · metastudio-exporter</title>
<link rel=\"stylesheet\" href=\"{root}style.css\">
</head>
<body class=\"docs\">
<header>
<nav aria-label=\"{documentation}\"><a href=\"{root}../\">{status_page}</a> · <a href=\"{home}\">{documentation}</a> · \
         <a href=\"{home}#all-pages\">{all_pages}</a>{translation}</nav>
</header>
<main class=\"document\">
{contents}{body}</main>
<footer class=\"small\"><p>metastudio-exporter {version}</p></footer>
</body>
</html>
",
        title = escaped(&title),
        translation = translation(path, sources),
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// The list of all pages of a language, for its README.
fn all_pages(texts: &Texts, sources: &Sources) -> String {
    let is_of_language = |path: &str| path.ends_with(".md") && texts_of(path).tag == texts.tag;
    let pages = sources.iter().filter(|(path, _)| is_of_language(path)).map(|(path, text)| {
        let title = Rendered::new(path, text, sources).title;
        (relative(texts.home, &address(path)), title)
    });
    format!("<h2 id=\"all-pages\">{}</h2>\n{}", texts.all_pages, list(pages))
}

/// A link to the page in the other language, if there is one.
fn translation(path: &str, sources: &Sources) -> String {
    let other = match path.strip_suffix(".zh-CN.md") {
        Some(english) => format!("{english}.md"),
        None => path.replace(".md", ".zh-CN.md"),
    };
    if !sources.contains_key(&other) {
        return String::new();
    }
    let Texts { other_name, other_tag, .. } = texts_of(path);
    let address = relative(&address(path), &address(&other));
    format!(" · <a href=\"{address}\" lang=\"{other_tag}\" hreflang=\"{other_tag}\">{other_name}</a>")
}
