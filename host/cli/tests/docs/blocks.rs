//! Reads the pages: fenced blocks, links, headings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A fenced block.
pub struct Block {
    /// Page and line, such as `docs/jobs.md:12`.
    pub at: String,
    /// First word after the fence.
    pub kind: String,
    /// The other words.
    words: Vec<String>,
    /// Its text, without the indentation of its fence.
    pub text: String,
}

impl Block {
    /// Whether the fence has this word.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|other| other == word)
    }

    /// The value of `name=value` or `name="value"`.
    pub fn value(&self, name: &str) -> Option<String> {
        let prefix = format!("{name}=");
        self.words.iter().find_map(|word| word.strip_prefix(&prefix)).map(|value| value.trim_matches('"').to_owned())
    }
}

/// A page.
pub struct Page {
    /// Its file.
    pub path: PathBuf,
    /// Its file below the root of the repository.
    pub name: String,
    /// Its fenced blocks.
    pub blocks: Vec<Block>,
    /// Targets of its links, with their lines.
    pub links: Vec<(usize, String)>,
    /// What stands between back quotes outside of blocks, with its line.
    pub code: Vec<(usize, String)>,
    /// Its headings, as links name them.
    pub anchors: BTreeSet<String>,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

/// The files below a folder whose names end in `.extension`, sorted.
pub fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The files of all pages.
pub fn page_paths() -> Vec<PathBuf> {
    let mut paths = vec![root().join("README.md")];
    paths.extend(files_below(&root().join("docs"), "md"));
    paths
}

/// All pages.
pub fn pages() -> Vec<Page> {
    page_paths().iter().map(|path| Page::read(path)).collect()
}

/// Words, where quotes keep blanks together.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().expect("never empty").push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn links(line: &str) -> impl Iterator<Item = String> + '_ {
    line.match_indices("](").filter_map(|(at, _)| {
        let rest = line.get(at + 2..)?;
        rest.split(')').next().map(str::to_owned)
    })
}

impl Page {
    /// Reads a page.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
        let mut page = Self {
            path: path.to_owned(),
            name,
            blocks: Vec::new(),
            links: Vec::new(),
            code: Vec::new(),
            anchors: BTreeSet::new(),
        };
        let mut open: Option<(usize, Block)> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let indent = line.len() - line.trim_start().len();
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(info)) => {
                    let mut words = words(info);
                    let kind = if words.is_empty() { String::new() } else { words.remove(0) };
                    let at = format!("{}:{number}", page.name);
                    open = Some((indent, Block { at, kind, words, text: String::new() }));
                }
                (Some(_), Some("")) => page.blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), _) => {
                    let blanks = line.len() - line.trim_start().len();
                    block.text.push_str(line.get(blanks.min(*indent)..).unwrap_or_default());
                    block.text.push('\n');
                }
                (None, None) => {
                    if line.starts_with('#') {
                        page.anchors.insert(anchor(line.trim_start_matches('#')));
                    }
                    page.links.extend(links(line).map(|target| (number, target)));
                    page.code.extend(line.split('`').skip(1).step_by(2).map(|code| (number, code.to_owned())));
                }
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", page.name);
        page
    }
}
