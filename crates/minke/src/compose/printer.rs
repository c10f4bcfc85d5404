//! Lines of several containers, each with its container's name in a colour of its own.

use minke_compose::run::logs::Line;

use super::flags::ProjectFlags;
use crate::{failure::Failure, output, terminal};

/// docker compose's colours, in its order.
const COLOURS: [&str; 10] = ["36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1"];

/// How lines are printed.
pub(super) struct Printer {
    prefix: bool,
    colours: bool,
    width: usize,
    /// In the order in which they were met; the place decides the colour.
    names: Vec<String>,
}

impl Printer {
    /// `names` are those whose width is known beforehand.
    pub(super) fn new(
        flags: &ProjectFlags,
        prefix: bool,
        colours: bool,
        names: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        let wanted = match flags.ansi() {
            Some("never") => false,
            Some("always") => true,
            _ => terminal::stdout_is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        Self { prefix, colours: colours && wanted, width, names }
    }

    /// Prints a line to the stream that the container wrote it to.
    ///
    /// # Errors
    /// When the stream can't be written.
    pub(super) fn line(&mut self, line: &Line) -> Result<(), Failure> {
        let mut bytes = self.prefix_of(&line.container).into_bytes();
        bytes.extend_from_slice(&line.text);
        bytes.push(b'\n');
        output::bytes(&bytes, line.error)
    }

    fn prefix_of(&mut self, name: &str) -> String {
        if !self.prefix {
            return String::new();
        }
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.width = self.width.max(name.chars().count());
        let text = format!("{name:<width$}  | ", width = self.width);
        match self.colours {
            true => format!("\x1b[{}m{text}\x1b[0m", COLOURS[at % COLOURS.len()]),
            false => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_padded_to_the_longest() {
        let names = ["web-1".to_owned(), "database-1".to_owned()];
        let mut printer = Printer::new(&ProjectFlags::default(), true, true, names);
        printer.colours = false;
        assert_eq!(printer.prefix_of("web-1"), "web-1       | ");
        printer.colours = true;
        assert_eq!(printer.prefix_of("database-1"), "\x1b[36mdatabase-1  | \x1b[0m");
    }
}
