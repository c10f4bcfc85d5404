//! Changes to JSON: by its structure with what the corpus has elsewhere, and now and then to its bytes.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use super::{
    random::Random,
    text::{TEXTS, change_text, scratch},
};

/// The names and values of a corpus.
#[derive(Default)]
pub(super) struct Names {
    keys: Vec<String>,
    values: BTreeMap<String, Vec<Value>>,
}

impl Names {
    pub(super) fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let known = self.values.entry(key.clone()).or_default();
                    if known.is_empty() {
                        self.keys.push(key.clone());
                    }
                    if known.len() < 16 && !known.contains(value) {
                        known.push(value.clone());
                    }
                    self.learn(value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    fn key(&self, random: &mut Random) -> String {
        match self.keys.is_empty() {
            true => String::new(),
            false => random.pick(&self.keys).clone(),
        }
    }

    /// A value that the corpus has under this name, or under any.
    fn value(&self, key: Option<&str>, random: &mut Random) -> Value {
        let own = key.filter(|_| !random.one_in(3)).and_then(|key| self.values.get(key));
        match own.or_else(|| self.values.get(&self.key(random))) {
            Some(values) => random.pick(values).clone(),
            None => scalar(random),
        }
    }
}

/// Changes a value in one to six places and writes it down.
pub(super) fn changed(from: &Value, names: &Names, random: &mut Random) -> Vec<u8> {
    let mut value = from.clone();
    // Most inputs keep their types, or few would be read to the end.
    let is_rough = random.one_in(4);
    for _ in 0..random.changes() {
        let places = count(&value);
        let place = random.below(places);
        Change { names, is_rough, random: &mut *random }.at(&mut value, place, None);
    }
    let mut bytes = serde_json::to_vec(&value).expect("a JSON value can be written");
    if random.one_in(12) {
        scratch(&mut bytes, random);
    }
    bytes
}

/// The value without the field or element that is `at` places on; `None` when there is none.
pub(super) fn without(value: &Value, mut at: usize) -> Option<Value> {
    let mut copy = value.clone();
    remove(&mut copy, &mut at).then_some(copy)
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

struct Change<'a> {
    names: &'a Names,
    /// Whether a value may become one of another type.
    is_rough: bool,
    random: &'a mut Random,
}

impl Change<'_> {
    /// Changes the value that is `at` places on, in the order of reading.
    fn at(&mut self, value: &mut Value, at: usize, key: Option<&str>) {
        if at == 0 {
            return self.change(value, key);
        }
        let mut left = at - 1;
        let mut visit = |key: Option<&str>, child: &mut Value| {
            let size = count(child);
            if left < size {
                self.at(child, left, key);
                return Some(());
            }
            left -= size;
            None
        };
        match value {
            Value::Object(fields) => {
                let _found = fields.iter_mut().find_map(|(key, child)| visit(Some(key), child));
            }
            Value::Array(items) => {
                let _found = items.iter_mut().find_map(|child| visit(None, child));
            }
            _ => {}
        }
    }

    fn change(&mut self, value: &mut Value, key: Option<&str>) {
        match value {
            _ if self.is_rough && self.random.one_in(6) => *value = scalar(self.random),
            _ if self.is_rough && self.random.one_in(5) => {
                *value = self.names.value(key, self.random);
            }
            Value::Object(fields) => change_object(fields, self.names, self.random),
            Value::Array(items) => change_array(items, self.names, self.is_rough, self.random),
            Value::String(text) => change_text(text, self.random),
            Value::Number(number) => *value = changed_number(number, self.random),
            Value::Bool(flag) => *flag = !*flag,
            Value::Null => *value = self.names.value(key, self.random),
        }
    }
}

fn changed_number(number: &Number, random: &mut Random) -> Value {
    let number = number.as_i64().unwrap_or(i64::MAX);
    let changed = match random.below(5) {
        0 => number.wrapping_neg(),
        1 => number.wrapping_add(1),
        2 => number.wrapping_sub(1),
        3 => number.wrapping_shl(random.below(64) as u32),
        _ => random.next() as i64,
    };
    changed.into()
}

fn scalar(random: &mut Random) -> Value {
    match random.below(10) {
        0 => Value::Null,
        1 => random.one_in(2).into(),
        2 => json!([]),
        3 => json!({}),
        4 => json!(1e308),
        5 => (*random.pick(&[0, -1, 1, i64::MIN, i64::MAX, 4_294_967_295, 1 << 31])).into(),
        6 => u64::MAX.into(),
        7 => "x".repeat(1 << random.below(14)).into(),
        8 => (0..random.below(200)).fold(Value::Null, |inner, _| json!([inner])),
        _ => (*random.pick(&TEXTS)).into(),
    }
}

fn change_object(fields: &mut Map<String, Value>, names: &Names, random: &mut Random) {
    let keys: Vec<String> = fields.keys().cloned().collect();
    match (random.below(3), keys.is_empty()) {
        (0, false) => drop(fields.remove(random.pick(&keys).as_str())),
        (1, false) => {
            let moved = fields.remove(random.pick(&keys).as_str()).unwrap_or_default();
            fields.insert(names.key(random), moved);
        }
        _ => {
            let key = if random.one_in(8) { (*random.pick(&TEXTS)).to_owned() } else { names.key(random) };
            let value = names.value(Some(&key), random);
            fields.insert(key, value);
        }
    }
}

fn change_array(items: &mut Vec<Value>, names: &Names, is_rough: bool, random: &mut Random) {
    match (random.below(4), items.is_empty()) {
        (0, false) => drop(items.remove(random.below(items.len()))),
        (1, false) => {
            let again = random.pick(items).clone();
            let times = 1 << random.below(6);
            items.extend(std::iter::repeat_n(again, times));
        }
        (2, false) => {
            let (one, other) = (random.below(items.len()), random.below(items.len()));
            items.swap(one, other);
        }
        _ if is_rough => items.push(names.value(None, random)),
        (_, true) => items.push((*random.pick(&TEXTS)).into()),
        _ => {
            let mut again = random.pick(items).clone();
            if let Value::String(text) = &mut again {
                change_text(text, random);
            }
            items.push(again);
        }
    }
}

fn remove(value: &mut Value, at: &mut usize) -> bool {
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                if *at == 0 {
                    fields.remove(&name);
                    return true;
                }
                *at -= 1;
                if fields.get_mut(&name).is_some_and(|child| remove(child, at)) {
                    return true;
                }
            }
            false
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                if *at == 0 {
                    items.remove(index);
                    return true;
                }
                *at -= 1;
                if remove(&mut items[index], at) {
                    return true;
                }
            }
            false
        }
        _ => false,
    }
}
