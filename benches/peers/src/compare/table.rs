//! Aligned tables: the first column to the left, the others to the right, with
//! a heading over each group of columns.

use std::fmt;

const GAP: usize = 2;

/// Columns under one heading; a column's own heading may be empty.
pub struct Group {
    heading: String,
    columns: &'static [&'static str],
}

impl Group {
    pub fn new(heading: impl Into<String>, columns: &'static [&'static str]) -> Self {
        let heading = match (heading.into(), columns) {
            // A rule will show which columns the heading stands over.
            (heading, [_, _, ..]) => format!("- {heading} -"),
            (heading, _) => heading,
        };
        Self { heading, columns }
    }
}

pub struct Table {
    groups: Vec<Group>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(groups: Vec<Group>) -> Self {
        Self {
            groups,
            rows: Vec::new(),
        }
    }

    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    fn headings(&self) -> Vec<String> {
        let columns = self.groups.iter().flat_map(|group| group.columns);
        columns.map(|&heading| heading.to_owned()).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headings().iter().map(|cell| width(cell)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(cell));
            }
        }
        let mut first = 0;
        for group in &self.groups {
            let end = first + group.columns.len();
            let missing = width(&group.heading).saturating_sub(span(&widths[first..end]));
            widths[first] += missing;
            first = end;
        }
        widths
    }

    fn write_groups(&self, f: &mut fmt::Formatter<'_>, widths: &[usize]) -> fmt::Result {
        let mut line = String::new();
        let mut first = 0;
        for group in &self.groups {
            let end = first + group.columns.len();
            let total = span(&widths[first..end]);
            if first > 0 {
                line += &" ".repeat(GAP);
            }
            if group.columns.len() > 1 {
                line += &format!("{:-^total$}", group.heading);
            } else {
                line += &format!("{:>total$}", group.heading);
            }
            first = end;
        }
        writeln!(f, "{}", line.trim_end())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        self.write_groups(f, &widths)?;
        write_row(f, &self.headings(), &widths)?;
        self.rows
            .iter()
            .try_for_each(|row| write_row(f, row, &widths))
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &[String], widths: &[usize]) -> fmt::Result {
    let mut line = String::new();
    for (index, (cell, &width)) in row.iter().zip(widths).enumerate() {
        if index == 0 {
            line += &format!("{cell:<width$}");
        } else {
            line += &format!("{:GAP$}{cell:>width$}", "");
        }
    }
    writeln!(f, "{}", line.trim_end())
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn span(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * (widths.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_columns_and_headings() {
        let mut table = Table::new(vec![
            Group::new("", &["name"]),
            Group::new("a long heading", &["x", "y"]),
            Group::new("last", &[""]),
        ]);
        table.push(vec!["n".into(), "1.00".into(), "22".into(), "7".into()]);
        let expected = "      - a long heading -  last\n\
                        name               x   y\n\
                        n               1.00  22     7\n";
        assert_eq!(table.to_string(), expected);
    }
}
