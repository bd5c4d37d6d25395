//! Plain tables: columns as wide as they need to be, numbers to the right.

/// A table with two lines of headers; the first column is text, the others are numbers.
#[derive(Debug)]
pub(super) struct TextTable {
    /// Two lines a column: what, and its unit or statistic.
    headers: Vec<[&'static str; 2]>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

/// Between columns.
const GAP: usize = 2;

impl TextTable {
    pub(super) fn new(indent: usize, headers: &[[&'static str; 2]]) -> Self {
        Self { headers: headers.to_vec(), rows: Vec::new(), indent }
    }

    pub(super) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Returns the lines, those of the headers first; a line of headers that says nothing is left
    /// out.
    pub(super) fn lines(&self) -> Vec<String> {
        let headers = [0, 1].map(|line| {
            let cells = self.headers.iter().map(|header| header[line].to_owned());
            cells.collect::<Vec<String>>()
        });
        let said = headers.iter().filter(|cells| cells.iter().any(|cell| !cell.is_empty()));
        let all: Vec<&Vec<String>> = said.chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.headers.len())
            .map(|column| all.iter().map(|row| width(&row[column])).max().unwrap_or(0))
            .collect();
        all.into_iter().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = " ".repeat(self.indent);
        for (column, (cell, wide)) in row.iter().zip(widths).enumerate() {
            let padding = " ".repeat(wide - width(cell));
            if column == 0 {
                line.push_str(cell);
                line.push_str(&padding);
            } else {
                line.push_str(&" ".repeat(GAP));
                line.push_str(&padding);
                line.push_str(cell);
            }
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
}
