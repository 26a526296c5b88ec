//! Columns of text for people.

use std::fmt::Write as _;

/// Rows under a heading, each column as wide as its widest cell.
#[must_use]
pub(crate) fn table<const COLUMNS: usize>(heading: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let mut widths = heading.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&heading.map(str::to_owned)).chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            // Writing to a string cannot fail.
            let _written = write!(line, "{cell:<width$}  ").is_ok();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Microseconds as people read them.
#[must_use]
pub(crate) fn micros(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

/// Milliseconds as people read them, or that there are none.
#[must_use]
pub(crate) fn millis(millis: Option<f64>) -> String {
    millis.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.1} ms"))
}

/// The first digits of a node's id, which tell nodes apart.
#[must_use]
pub(crate) fn short(id: &str) -> &str {
    id.get(..16).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["long".to_owned(), "22".to_owned()],
        ];
        assert_eq!(table(["X", "Y"], &rows), "X     Y\na     1\nlong  22\n");
        assert_eq!(table(["X", "Y"], &[]), "X  Y\n");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(
            [micros(0), micros(1_250), micros(20_999)],
            ["0.0 ms", "1.2 ms", "20.9 ms"]
        );
        assert_eq!([millis(None), millis(Some(10.46))], ["-", "10.5 ms"]);
        assert_eq!(
            [short("0123456789abcdef99"), short("aa")],
            ["0123456789abcdef", "aa"]
        );
    }
}
