//! The order of names in YAML: letters before others, and numbers by their value.

use std::cmp::Ordering;

/// Compares as the YAML writer of docker compose does: `a2` before `a10`, letters after everything else, but before it
/// right after a digit.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut after_digit = false;
    for index in 0..a.len().min(b.len()) {
        let (left, right) = (a[index], b[index]);
        if left == right {
            after_digit = left.is_numeric();
            continue;
        }
        return match (left.is_alphabetic(), right.is_alphabetic()) {
            (true, true) => left.cmp(&right),
            (true, false) => first_if(after_digit),
            (false, true) => first_if(!after_digit),
            (false, false) => numbers(&a, &b, index),
        };
    }
    a.len().cmp(&b.len())
}

fn first_if(first: bool) -> Ordering {
    if first { Ordering::Less } else { Ordering::Greater }
}

/// Compares where two names differ in what are no letters.
fn numbers(a: &[char], b: &[char], index: usize) -> Ordering {
    let inside_number = (a[index] == '0' || b[index] == '0')
        && a[..index].iter().rev().take_while(|c| c.is_numeric()).any(|c| *c != '0');
    let value = |text: &[char]| {
        let digits: Vec<char> = text[index..].iter().copied().take_while(|c| c.is_numeric()).collect();
        let start = i64::from(inside_number);
        let number = digits.iter().fold(start, |sum, c| {
            sum.wrapping_mul(10).wrapping_add(i64::from(u32::from(*c)) - i64::from(u32::from('0')))
        });
        (number, digits.len())
    };
    value(a).cmp(&value(b)).then_with(|| a[index].cmp(&b[index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_their_value() {
        let mut names = ["a10", "a2", "b", "A", "a", "a_b", "ab", "web-1", "web_1", "x.1", "01", "1"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, ["1", "01", "A", "a", "a_b", "a2", "a10", "ab", "b", "web-1", "web_1", "x.1"]);
    }
}
