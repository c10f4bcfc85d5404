//! `--chmod`: octal, or symbolic as chmod(1) has it.

use super::Chmod;

/// One part of a symbolic mode: `u+rwX`.
struct Clause {
    /// The bits of those it is about.
    who: u32,
    /// Each operation with its permissions.
    operations: Vec<(char, Vec<char>)>,
}

impl Chmod {
    /// Reads a mode.
    ///
    /// # Errors
    /// A text that is none, in the words of BuildKit.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777 && !text.is_empty());
            return mode.map(Self::Octal).ok_or_else(|| {
                format!(
                    "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
                )
            });
        }
        match clauses(text) {
            Some(_) => Ok(Self::Symbolic(text.to_owned())),
            None => Err(format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777, or symbolic as in u=rwX,go-w"
            )),
        }
    }

    /// The mode that a file with this mode gets. Only the lowest 12 bits are looked at and changed.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let kept = mode & !0o7777;
        kept | match self {
            Self::Octal(wanted) => *wanted,
            Self::Symbolic(text) => {
                let clauses = clauses(text).unwrap_or_default();
                clauses.iter().fold(mode & 0o7777, |mode, clause| clause.apply(mode, is_directory))
            }
        }
    }
}

impl Clause {
    fn apply(&self, mut mode: u32, is_directory: bool) -> u32 {
        for (operation, permissions) in &self.operations {
            let bits = permissions.iter().fold(0, |bits, p| bits | self.bits(*p, mode, is_directory));
            mode = match operation {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => mode & !self.cleared(permissions) | bits,
            };
        }
        mode
    }

    /// What one permission means for those that the clause is about.
    fn bits(&self, permission: char, mode: u32, is_directory: bool) -> u32 {
        let class = |shift: u32| {
            let bits = (mode >> shift) & 7;
            (bits | bits << 3 | bits << 6) & self.who
        };
        match permission {
            'r' => 0o444 & self.who,
            'w' => 0o222 & self.who,
            'x' => 0o111 & self.who,
            'X' if is_directory || mode & 0o111 != 0 => 0o111 & self.who,
            's' => {
                (if self.who & 0o700 != 0 { 0o4000 } else { 0 })
                    | (if self.who & 0o070 != 0 { 0o2000 } else { 0 })
            }
            't' if self.who == 0o777 => 0o1000,
            'u' => class(6),
            'g' => class(3),
            'o' => class(0),
            _ => 0,
        }
    }

    /// What `=` takes away first; as in BuildKit what is copied from others leaves the bits of set-user-ID and set-group-ID alone.
    fn cleared(&self, permissions: &[char]) -> u32 {
        let is_copied = permissions.iter().any(|permission| matches!(permission, 'u' | 'g' | 'o'));
        self.who | if is_copied { 0 } else { self.bits('s', 0, false) }
    }
}

/// The parts of a symbolic mode; `None` when it is none.
fn clauses(text: &str) -> Option<Vec<Clause>> {
    text.split(',').map(clause).collect()
}

fn clause(text: &str) -> Option<Clause> {
    let end = text.find(['+', '-', '='])?;
    let mut who = 0;
    for c in text[..end].chars() {
        who |= match c {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => 0o777,
            _ => return None,
        };
    }
    let mut operations: Vec<(char, Vec<char>)> = Vec::new();
    for c in text[end..].chars() {
        match c {
            '+' | '-' | '=' => operations.push((c, Vec::new())),
            'r' | 'w' | 'x' | 'X' | 's' | 't' | 'u' | 'g' | 'o' => operations.last_mut()?.1.push(c),
            _ => return None,
        }
    }
    Some(Clause { who: if who == 0 { 0o777 } else { who }, operations })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(text: &str, mode: u32, wanted: u32) {
        let found = Chmod::new(text).unwrap().apply(mode, false);
        assert_eq!(found, wanted, "{text} of {mode:o}: {found:o}, not {wanted:o}");
    }

    #[test]
    fn an_octal_mode_replaces() {
        becomes("0755", 0o100_644, 0o100_755);
        becomes("4755", 0o644, 0o4755);
    }

    #[test]
    fn a_symbolic_mode_adds_takes_and_copies() {
        becomes("u+x", 0o644, 0o744);
        becomes("go-rwx", 0o755, 0o700);
        becomes("a=r,u+w", 0o777, 0o644);
        becomes("+x", 0o644, 0o755);
        becomes("g=u", 0o640, 0o660);
        becomes("u+s,+t", 0o755, 0o5755);
        becomes("u=rwx", 0o4644, 0o744);
        becomes("u=rw+x-w", 0o000, 0o500);
        becomes("u=g", 0o4755, 0o4555);
        becomes("u+rwx,g-w,o=t", 0o644, 0o740);
    }

    #[test]
    fn a_capital_x_is_for_folders_and_programs() {
        let mode = Chmod::new("a+rX").unwrap();
        assert_eq!(mode.apply(0o600, true), 0o755);
        assert_eq!(mode.apply(0o600, false), 0o644);
        assert_eq!(mode.apply(0o700, false), 0o755);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["8", "10000", "rwx", "u", "z+x", "u+q", "u+x,", "99999999999", "-"] {
            let found = Chmod::new(text);
            assert!(found.is_err() || text == "-", "{text}");
        }
    }
}
