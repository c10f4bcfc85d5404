//! Columns from text with tabs, as Go's text/tabwriter with Docker's settings makes them: at least 10 wide, 3
//! spaces between, and nothing after a line's last cell. Scripts cut these tables by position.
//!
//! On a terminal that is too narrow, the widest cells end in `…` instead of wrapping; ids and names stay whole.

use std::borrow::Cow;

/// Least width of a column.
const MIN_WIDTH: usize = 10;
/// Spaces after a column.
const PADDING: usize = 3;
/// A column is never narrowed below this.
const NARROWEST: usize = 8;

/// Aligns lines of tab-separated cells; `width` are the terminal's columns, to fit into.
pub(super) fn align(text: &str, width: Option<usize>) -> String {
    let mut lines: Vec<Vec<Cow<'_, str>>> =
        text.lines().map(|line| line.split('\t').map(Cow::Borrowed).collect()).collect();
    if let Some(width) = width {
        narrow(&mut lines, width);
    }
    let widths = column_widths(&lines);
    let mut out = String::new();
    for (line, widths) in lines.iter().zip(&widths) {
        for (at, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if at + 1 < line.len() {
                let used = cell.chars().count();
                out.extend(std::iter::repeat_n(' ', widths[at].saturating_sub(used)));
            }
        }
        out.push('\n');
    }
    out
}

/// For each line the widths of its columns. A column is a run of lines that all have a further cell after it:
/// that is how tabwriter delimits them.
fn column_widths(lines: &[Vec<Cow<'_, str>>]) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|line| vec![0; line.len()]).collect();
    let most = lines.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..most.saturating_sub(1) {
        let mut from = 0;
        while from < lines.len() {
            let run = lines[from..].iter().take_while(|line| line.len() > column + 1).count();
            let block = from..from + run;
            let widest = lines[block.clone()].iter().map(|line| line[column].chars().count() + PADDING).max();
            for line in &mut widths[block] {
                line[column] = widest.unwrap_or(0).max(MIN_WIDTH);
            }
            from += run.max(1);
        }
    }
    widths
}

/// Shortens the widest cells until the table fits, if it can.
fn narrow(lines: &mut [Vec<Cow<'_, str>>], width: usize) {
    let Some(titles) = lines.first().cloned() else { return };
    let mut limits: Vec<usize> = (0..titles.len())
        .map(|at| {
            lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let keeps =
        |at: usize| titles[at].contains("ID") || titles[at].contains("NAME") || titles[at] == "REPOSITORY";
    let total = |limits: &[usize]| {
        let (last, before) = limits.split_last().map_or((0, &[][..]), |(last, before)| (*last, before));
        before.iter().map(|limit| (limit + PADDING).max(MIN_WIDTH)).sum::<usize>() + last
    };
    while total(&limits) > width {
        let floor = |at: usize| titles[at].chars().count().max(NARROWEST);
        let widest = (0..limits.len())
            .filter(|at| !keeps(*at) && limits[*at] > floor(*at))
            .max_by_key(|at| limits[*at]);
        match widest {
            Some(at) => limits[at] -= 1,
            None => break,
        }
    }
    for line in lines.iter_mut() {
        for (cell, limit) in line.iter_mut().zip(&limits) {
            if cell.chars().count() > *limit {
                *cell = cell.chars().take(limit.saturating_sub(1)).chain(['…']).collect::<String>().into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_at_least_ten_wide_and_three_apart() {
        assert_eq!(align("A\tB\tC\n1\t2\t3\n", None), "A         B         C\n1         2         3\n");
        assert_eq!(
            align("NAME\tX\na-name-of-17-char\ty\n", None),
            "NAME                X\na-name-of-17-char   y\n"
        );
        assert_eq!(align("A\tB\n\t\n", None), "A         B\n          \n");
    }

    #[test]
    fn a_line_with_fewer_cells_ends_the_column() {
        assert_eq!(
            align("a-very-long-cell\tx\nplain\nb\ty\n", None),
            "a-very-long-cell   x\nplain\nb         y\n"
        );
    }

    #[test]
    fn a_table_fits_the_terminal_by_shortening_the_widest_cells_but_not_names() {
        let text =
            "ID\tCOMMAND\tNAMES\n123456789012\t\"a-very-long-command-with-arguments\"\ta-rather-long-name\n";
        let narrow = align(text, Some(60));
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        assert!(
            narrow.contains("…") && narrow.contains("a-rather-long-name") && narrow.contains("123456789012")
        );
        assert_eq!(align(text, Some(200)), align(text, None));
        assert!(align(text, Some(5)).contains("a-rather-long-name"));
    }
}
