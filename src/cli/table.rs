//! Columns of text for people.

use crate::report::{columns, cut};

/// What stands between two columns.
const GAP: usize = 2;

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

    /// Writes the rows, each in one line of at most `width` columns, the last column cut where it does not fit.
    /// `head` dresses the first line.
    pub(super) fn render(&self, width: usize, head: impl Fn(&str) -> String) -> String {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |place: usize| self.rows.iter().filter_map(|row| row.get(place)).map(|cell| columns(cell)).max();
        let widths: Vec<usize> = (0..count).map(|place| widest(place).unwrap_or(0)).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width + GAP - columns(cell)));
            }
            let line = cut(line.trim_end(), width);
            text.push_str(&if number == 0 { head(&line) } else { line });
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
        table.add(&["b", "a long cell\nof two lines"]);
        assert_eq!(table.render(20, str::to_owned), "run   cases\n我们  1\nb     a long cell o…\n");
    }
}
