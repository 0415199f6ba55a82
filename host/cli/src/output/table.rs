//! Tables with aligned columns.

use super::style::{Style, printable};

/// A table; cells are made printable when they are added.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// How a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// As it is.
    Plain,
    /// Green.
    Good,
    /// Red.
    Bad,
    /// Yellow.
    Odd,
    /// Grey.
    Faint,
}

#[derive(Debug)]
struct Cell {
    text: String,
    look: Look,
}

impl Table {
    /// A table with these column names.
    pub(crate) fn new<S: AsRef<str>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { head: head.into_iter().map(|name| printable(name.as_ref()).into_owned()).collect(), rows: Vec::new() }
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row.
    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.looked(cells.into_iter().map(|cell| (cell, Look::Plain)));
    }

    /// Adds a row of cells with a look.
    pub(crate) fn looked<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = (S, Look)>) {
        let cells = cells.into_iter().map(|(text, look)| Cell { text: printable(text.as_ref()).into_owned(), look });
        self.rows.push(cells.collect());
    }

    /// The table as lines, each with `indent` before it. Cells longer than `widest` characters are cut.
    pub(crate) fn render(&self, style: Style, indent: &str, widest: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).chain([self.head.len()]).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for (width, name) in widths.iter_mut().zip(&self.head) {
            *width = name.chars().count();
        }
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count().min(widest));
            }
        }
        let mut out = String::new();
        if self.head.iter().any(|name| !name.is_empty()) {
            let head: Vec<_> = self.head.iter().map(|name| (name.clone(), style.bold(name))).collect();
            out.push_str(&line(indent, &widths, head));
        }
        for row in &self.rows {
            let cells = row.iter().map(|cell| {
                let text = cut(&cell.text, widest);
                let shown = match cell.look {
                    Look::Plain => text.clone(),
                    Look::Good => style.green(&text),
                    Look::Bad => style.red(&text),
                    Look::Odd => style.yellow(&text),
                    Look::Faint => style.dim(&text),
                };
                (text, shown)
            });
            out.push_str(&line(indent, &widths, cells));
        }
        out
    }
}

/// One line; the last cell is not padded.
fn line(indent: &str, widths: &[usize], cells: impl IntoIterator<Item = (String, String)>) -> String {
    let mut out = indent.to_owned();
    let mut pending = 0;
    for (width, (plain, shown)) in widths.iter().zip(cells) {
        out.extend(std::iter::repeat_n(' ', pending));
        out.push_str(&shown);
        pending = width.saturating_sub(plain.chars().count()) + 2;
    }
    let kept = out.trim_end().len();
    out.truncate(kept);
    out.push('\n');
    out
}

fn cut(text: &str, widest: usize) -> String {
    if text.chars().count() <= widest {
        return text.to_owned();
    }
    text.chars().take(widest.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_long_cells_cut() {
        let mut table = Table::new(["NAME", "STATE"]);
        table.row(["web", "running"]);
        table.looked([("a-longer-name", Look::Plain), ("stopped for good", Look::Bad)]);
        assert_eq!(
            table.render(Style::new(false), "  ", 10),
            "  NAME        STATE\n  web         running\n  a-longer-…  stopped f…\n"
        );
        assert_eq!(
            table.render(Style::new(true), "", 80),
            "\u{1b}[1mNAME\u{1b}[0m           \u{1b}[1mSTATE\u{1b}[0m\nweb            running\na-longer-name  \u{1b}[1;31mstopped for good\u{1b}[0m\n"
        );
    }
}
