//! Columns of text for people.

use crate::report::{columns, cut, wrapped};

/// What stands between two columns.
const GAP: usize = 2;
/// Columns that a wrapped last column needs to be readable.
const NARROWEST: usize = 24;
/// Where a last column stands that has no room beside the others.
const INDENT: usize = 4;

/// Rows whose columns are as wide as their widest cell.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts with the heads of the columns.
    pub(super) fn new(heads: &[&str]) -> Self {
        let mut table = Self { rows: Vec::new() };
        table.add(heads);
        table
    }

    /// Adds a row.
    pub(super) fn add(&mut self, cells: &[&str]) {
        self.rows.push(cells.iter().map(|cell| cell.replace('\n', " ")).collect());
    }

    /// Writes the rows in lines of at most `width` columns: the last column is wrapped under itself, and where it has
    /// no room for that, under its row. Only what is too wide before it is cut. `head` dresses the first line.
    pub(super) fn render(&self, width: usize, head: impl Fn(&str) -> String) -> String {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |place: usize| self.rows.iter().filter_map(|row| row.get(place)).map(|cell| columns(cell)).max();
        let widths: Vec<usize> = (0..count).map(|place| widest(place).unwrap_or(0)).collect();
        let before: usize = widths.iter().take(count.saturating_sub(1)).map(|width| width + GAP).sum();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let (last, firsts) = row.split_last().expect("a row has a cell");
            let mut line = String::new();
            for (cell, width) in firsts.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width + GAP - columns(cell)));
            }
            let fits = columns(&line) + columns(last) <= width;
            let lines = match fits {
                true => format!("{line}{last}").trim_end().to_owned(),
                false if width >= before + NARROWEST => {
                    format!("{line}{}", wrapped(last, width, before).trim_start())
                }
                false => format!("{}\n{}", cut(line.trim_end(), width), wrapped(last, width, INDENT)),
            };
            text.push_str(&if number == 0 { head(&lines) } else { lines });
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let mut table = Table::new(&["run", "cases"]);
        table.add(&["我们", "1"]);
        table.add(&["b", "a long cell\nof two lines, wrapped"]);
        let narrow = "run   cases\n我们  1\nb\n    a long cell of\n    two lines,\n    wrapped\n";
        assert_eq!(table.render(20, str::to_owned), narrow);
        let wide = "run   cases\n我们  1\nb     a long cell of two lines,\n      wrapped\n";
        assert_eq!(table.render(32, str::to_owned), wide);
    }
}
