//! Plain tables: columns as wide as they need to be, numbers to the right.

use std::ops::Range;

/// A table with two lines of headers; the first column is text, the others are numbers.
#[derive(Debug)]
pub(super) struct TextTable {
    /// Two lines a column: what, and its unit or statistic.
    headers: Vec<[String; 2]>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

/// Between columns.
const GAP: usize = 2;

impl TextTable {
    pub(super) fn new<T: AsRef<str>>(indent: usize, headers: &[[T; 2]]) -> Self {
        let owned = |[first, second]: &[T; 2]| [first, second].map(|text| text.as_ref().to_owned());
        Self { headers: headers.iter().map(owned).collect(), rows: Vec::new(), indent }
    }

    pub(super) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Returns the lines, those of the headers first; a line of headers that says nothing is left
    /// out.
    pub(super) fn lines(&self) -> Vec<String> {
        self.blocks(usize::MAX).concat()
    }

    /// Returns the table in blocks of lines at most `most` wide: columns that do not fit go to a
    /// further block, beside the first column again.
    pub(super) fn blocks(&self, most: usize) -> Vec<Vec<String>> {
        let headers = [0, 1].map(|line| {
            let cells = self.headers.iter().map(|header| header[line].clone());
            cells.collect::<Vec<String>>()
        });
        let said = headers.iter().filter(|cells| cells.iter().any(|cell| !cell.is_empty()));
        let all: Vec<&Vec<String>> = said.chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.headers.len())
            .map(|column| all.iter().map(|row| width(&row[column])).max().unwrap_or(0))
            .collect();
        let mut blocks = Vec::new();
        let mut next = 1;
        while next < widths.len() {
            let first = next;
            let mut total = self.indent + widths[0];
            while next < widths.len() && (next == first || total + GAP + widths[next] <= most) {
                total += GAP + widths[next];
                next += 1;
            }
            let line = |row: &&Vec<String>| self.line(row, first..next, &widths);
            blocks.push(all.iter().map(line).collect());
        }
        blocks
    }

    fn line(&self, row: &[String], columns: Range<usize>, widths: &[usize]) -> String {
        let mut line = " ".repeat(self.indent);
        line.push_str(&row[0]);
        line.push_str(&" ".repeat(widths[0] - width(&row[0])));
        for column in columns {
            line.push_str(&" ".repeat(GAP + widths[column] - width(&row[column])));
            line.push_str(&row[column]);
        }
        line.trim_end().to_owned()
    }
}

/// Columns on a terminal: none of our characters is wide.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_line_up_on_the_right() {
        let mut table = TextTable::new(1, &[["", "name"], ["x", "(ms)"]]);
        table.push(vec!["a".into(), "1.0".into()]);
        table.push(vec![String::new(), "±0.25".into()]);
        assert_eq!(table.lines(), ["           x", " name   (ms)", " a       1.0", "       ±0.25"]);
    }

    #[test]
    fn what_is_too_wide_goes_below() {
        let mut table = TextTable::new(0, &[["name", ""], ["one", ""], ["two", ""]]);
        table.push(vec!["a".into(), "1".into(), "2".into()]);
        assert_eq!(table.blocks(10), [["name  one", "a       1"], ["name  two", "a       2"]]);
        assert_eq!(table.blocks(14).len(), 1);
    }
}
