//! Which entries of the cache a caller means: containerd's filters over BuildKit's fields, as `docker buildx` sends them, and
//! Docker's own of `POST /build/prune`, which are the same in another spelling.

use minke_engine::Filters;

use crate::BuildError;

/// Which entries are meant: those that one of the alternatives takes, each a list of conditions that all hold. Without any
/// alternative it is all entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheFilter(Vec<Vec<Condition>>);

/// What conditions can ask of an entry.
#[derive(Debug, Clone, Copy, Default)]
pub struct CacheFacts<'a> {
    /// What names it.
    pub id: &'a str,
    /// `regular`, `source.local`, `exec.cachemount` …
    pub kind: &'a str,
    /// What it is, for people.
    pub description: &'a str,
    /// Whether a build uses it now.
    pub in_use: bool,
    /// Whether something else has it as well.
    pub shared: bool,
    /// Whether builds change it.
    pub mutable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Flag(Flag, bool),
    Text { field: Field, operator: Operator, value: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    InUse,
    Shared,
    Mutable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    Kind,
    Description,
    /// No entry tells its parents: nothing equals them.
    Parents,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    /// A regular expression is found in it.
    Matches,
}

const OPERATORS: [(&str, Operator); 4] =
    [("==", Operator::Is), ("!=", Operator::IsNot), ("~=", Operator::Matches), ("=", Operator::Is)];

impl CacheFilter {
    /// Reads filters in containerd's form, `FIELD`, `FIELD==VALUE`, `FIELD!=VALUE` or `FIELD~=EXPRESSION`, several of them
    /// with commas between; values may be quoted.
    ///
    /// # Errors
    /// Names a field that there isn't, or what can't be asked of one.
    pub fn read(alternatives: &[String]) -> Result<Self, BuildError> {
        let read = |text: &String| conditions(text).into_iter().map(condition).collect();
        alternatives.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// One condition of Docker's API: a field and its value. An `id` is a regular expression there.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn and(mut self, field: &str, value: &str) -> Result<Self, BuildError> {
        let operator = if field == "id" { Operator::Matches } else { Operator::Is };
        let condition = with_value(field, operator, value)?;
        match self.0.first_mut() {
            Some(conditions) => conditions.push(condition),
            None => self.0.push(vec![condition]),
        }
        Ok(self)
    }

    /// Whether an entry is meant.
    pub fn takes(&self, facts: &CacheFacts<'_>) -> bool {
        let holds = |conditions: &Vec<Condition>| conditions.iter().all(|condition| condition.holds(facts));
        self.0.is_empty() || self.0.iter().any(holds)
    }
}

impl Condition {
    fn holds(&self, facts: &CacheFacts<'_>) -> bool {
        let (field, operator, value) = match self {
            Self::Flag(flag, wanted) => return flag.of(facts) == *wanted,
            Self::Text { field, operator, value } => (field, operator, value),
        };
        let there = match field {
            Field::Id => facts.id,
            Field::Kind => facts.kind,
            Field::Description => facts.description,
            Field::Parents => "",
        };
        match operator {
            Operator::Is => there == value,
            Operator::IsNot => there != value,
            Operator::Matches => !there.is_empty() && Filters::pattern_matches(value, there),
        }
    }
}

impl Flag {
    fn of(self, facts: &CacheFacts<'_>) -> bool {
        match self {
            Self::InUse => facts.in_use,
            Self::Shared => facts.shared,
            Self::Mutable => facts.mutable,
        }
    }
}

/// The conditions of one filter: what is between commas outside of quotes.
fn conditions(text: &str) -> Vec<&str> {
    let mut quoted = false;
    let is_between = |character: char| {
        quoted ^= character == '"';
        character == ',' && !quoted
    };
    text.split(is_between).map(str::trim).filter(|condition| !condition.is_empty()).collect()
}

fn condition(text: &str) -> Result<Condition, BuildError> {
    let end = text.find(['=', '!', '~']).unwrap_or(text.len());
    let (field, rest) = text.split_at(end);
    if rest.is_empty() {
        return with_value(field, Operator::IsNot, "");
    }
    let found = OPERATORS.iter().find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?)));
    let (operator, value) = found.ok_or_else(|| {
        BuildError::Failed(format!(
            "invalid filter {text:?} of the build cache: expected ==, != or ~= after {field:?}"
        ))
    })?;
    with_value(field, *operator, value.trim_matches('"'))
}

/// A flag that is named is set, whether by itself or with `true`.
fn with_value(field: &str, operator: Operator, value: &str) -> Result<Condition, BuildError> {
    let invalid =
        |why: &str| BuildError::Failed(format!("invalid filter {field:?} of the build cache: {why}"));
    let (flag, set) = match field {
        "inuse" => (Flag::InUse, true),
        "shared" => (Flag::Shared, true),
        "private" => (Flag::Shared, false),
        "mutable" => (Flag::Mutable, true),
        "immutable" => (Flag::Mutable, false),
        text => {
            let field = match text {
                "id" => Field::Id,
                "type" => Field::Kind,
                "description" => Field::Description,
                "parent" | "parents" => Field::Parents,
                _ => {
                    let known =
                        "id, type, description, parents, inuse, shared, private, mutable and immutable";
                    return Err(invalid(&format!("there are {known}")));
                }
            };
            return Ok(Condition::Text { field, operator, value: value.to_owned() });
        }
    };
    let wanted = match (operator, value) {
        (Operator::IsNot, "") | (Operator::Is, "" | "true" | "1") | (Operator::IsNot, "false" | "0") => set,
        (Operator::Is, "false" | "0") | (Operator::IsNot, "true" | "1") => !set,
        _ => return Err(invalid("it is true or false")),
    };
    Ok(Condition::Flag(flag, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: CacheFacts<'static> = CacheFacts {
        id: "abcdef",
        kind: "regular",
        description: "RUN make, then install",
        in_use: false,
        shared: true,
        mutable: false,
    };

    fn takes(alternatives: &[&str]) -> bool {
        let alternatives: Vec<_> = alternatives.iter().map(|&text| text.to_owned()).collect();
        CacheFilter::read(&alternatives).unwrap().takes(&FACTS)
    }

    #[test]
    fn one_alternative_is_enough_and_each_of_its_conditions_is_needed() {
        assert!(takes(&[]));
        assert!(takes(&[""]));
        assert!(takes(&["type==regular,shared"]));
        assert!(takes(&["type==frontend", "id~=^abc"]));
        assert!(!takes(&["type==regular,inuse"]));
        assert!(!takes(&["type==frontend", "id~=^bcd"]));
    }

    #[test]
    fn flags_are_set_by_name_and_by_value() {
        for text in ["shared", "shared==true", "shared!=false", "private==false", "immutable", "inuse=false"]
        {
            assert!(takes(&[text]), "{text}");
        }
        for text in ["private", "shared==false", "shared!=true", "mutable", "inuse==true"] {
            assert!(!takes(&[text]), "{text}");
        }
    }

    #[test]
    fn texts_are_compared_or_looked_through() {
        for text in
            ["id", "id=abcdef", "id!=b", "description~=make", "description==\"RUN make, then install\""]
        {
            assert!(takes(&[text]), "{text}");
        }
        for text in ["parents", "parents==abc", "id==abc", "id!=abcdef", "description~=test", "parents~=.*"] {
            assert!(!takes(&[text]), "{text}");
        }
    }

    #[test]
    fn what_there_is_not_is_refused_by_name() {
        for (text, named) in
            [("colour==red", "colour"), ("shared==perhaps", "true or false"), ("id!abc", "id!abc")]
        {
            let error = CacheFilter::read(&[text.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn conditions_of_the_api_all_hold() {
        let filter = CacheFilter::default().and("id", "cde").unwrap().and("private", "false").unwrap();
        assert!(filter.takes(&FACTS));
        assert!(!filter.and("inuse", "true").unwrap().takes(&FACTS));
    }
}
