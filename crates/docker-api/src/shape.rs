//! Shapes: which fields an answer has to carry, with Go's zero values for those that are absent.
//!
//! The engine's answers are typed models whose empty fields are left out. Docker's daemon writes `""`, `0`,
//! `[]` or `null` there, and clients rely on it: Go templates fail on a missing field, SDKs on a missing
//! list. A shape is a JSON document (`shapes/*.json`) with the zero value of every field, in Docker's order.
//! The end of a key says more:
//!
//! | key | means |
//! |---|---|
//! | `"Mounts[]"` | a list; the value is the shape of its items; absent is `[]` |
//! | `"Networks{}"` | a map; the value is the shape of its values; absent is `{}` |
//! | `"Cmd!"` | absent is `null` |
//! | `"Health?"` | stays absent |

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// What an answer looks like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// A value of any kind, with its zero.
    Leaf(Value),
    /// An object with these fields first, in this order, and whatever others it has after them.
    Object(Vec<Field>),
    /// A list of such items.
    List(Box<Shape>),
    /// A map to such values.
    Map(Box<Shape>),
}

/// One field of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    name: String,
    shape: Shape,
    absent: Absent,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Absent {
    Zero,
    Null,
    Omit,
}

impl Shape {
    /// A list of such objects, for answers that are lists.
    pub(crate) fn list(&self) -> Self {
        Self::List(Box::new(self.clone()))
    }
}

/// A value with its zero values filled in when it is written.
#[derive(Clone, Copy)]
pub(crate) struct Filled<'a> {
    shape: &'a Shape,
    value: Option<&'a Value>,
}

impl<'a> Filled<'a> {
    pub(crate) fn new(shape: &'a Shape, value: &'a Value) -> Self {
        Self { shape, value: Some(value) }
    }
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.shape, self.value) {
            (Shape::Object(fields), None) => object(serializer, fields, &serde_json::Map::new()),
            (Shape::Object(fields), Some(Value::Object(map))) => object(serializer, fields, map),
            (Shape::List(_), None) => serializer.collect_seq::<[u8; 0]>([]),
            (Shape::List(item), Some(Value::Array(items))) => {
                serializer.collect_seq(items.iter().map(|value| Filled::new(item, value)))
            }
            (Shape::Map(_), None) => serializer.serialize_map(Some(0))?.end(),
            (Shape::Map(item), Some(Value::Object(map))) => {
                serializer.collect_map(map.iter().map(|(name, value)| (name, Filled::new(item, value))))
            }
            (Shape::Leaf(zero), None) => zero.serialize(serializer),
            (_, Some(value)) => value.serialize(serializer),
        }
    }
}

fn object<S: Serializer>(
    serializer: S,
    fields: &[Field],
    map: &serde_json::Map<String, Value>,
) -> Result<S::Ok, S::Error> {
    let mut out = serializer.serialize_map(None)?;
    for field in fields {
        match (map.get(&field.name), field.absent) {
            (Some(value), _) => out.serialize_entry(&field.name, &Filled::new(&field.shape, value))?,
            (None, Absent::Zero) => {
                out.serialize_entry(&field.name, &Filled { shape: &field.shape, value: None })?;
            }
            (None, Absent::Null) => out.serialize_entry(&field.name, &Value::Null)?,
            (None, Absent::Omit) => {}
        }
    }
    for (name, value) in map {
        if !fields.iter().any(|field| field.name == *name) {
            out.serialize_entry(name, value)?;
        }
    }
    out.end()
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;
        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = Shape;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a shape")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, shape)) = map.next_entry::<String, Shape>()? {
                    fields.push(field(&key, shape));
                }
                Ok(Shape::Object(fields))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Shape::Leaf(Value::Array(items)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
                Ok(Shape::Leaf(text.into()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
                Ok(Shape::Leaf(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
                Ok(Shape::Leaf(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
                Ok(Shape::Leaf(value.into()))
            }
            fn visit_unit<E>(self) -> Result<Shape, E> {
                Ok(Shape::Leaf(Value::Null))
            }
        }
        deserializer.deserialize_any(ShapeVisitor)
    }
}

fn field(key: &str, shape: Shape) -> Field {
    let (key, absent) = match (key.strip_suffix('!'), key.strip_suffix('?')) {
        (Some(key), _) => (key, Absent::Null),
        (_, Some(key)) => (key, Absent::Omit),
        _ => (key, Absent::Zero),
    };
    let (name, shape) = match (key.strip_suffix("[]"), key.strip_suffix("{}")) {
        (Some(name), _) => (name, Shape::List(Box::new(shape))),
        (_, Some(name)) => (name, Shape::Map(Box::new(shape))),
        _ => (key, shape),
    };
    Field { name: name.to_owned(), shape, absent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fill(shape: &str, value: Value) -> String {
        serde_json::to_string(&Filled::new(&serde_json::from_str(shape).unwrap(), &value)).unwrap()
    }

    #[test]
    fn absent_fields_get_their_zero_in_the_shapes_order() {
        let shape = r#"{"Id":"","N":0,"A":{"x":false},"L[]":{"k":""},"M{}":{"k":1},"C!":[],"H?":{"s":""}}"#;
        assert_eq!(fill(shape, json!({})), r#"{"Id":"","N":0,"A":{"x":false},"L":[],"M":{},"C":null}"#);
        assert_eq!(
            fill(
                shape,
                json!({"L": [{}, {"k": "v"}], "M": {"a": {}}, "H": {}, "Z": 1, "A": {"y": 2}, "C": ["c"]})
            ),
            r#"{"Id":"","N":0,"A":{"x":false,"y":2},"L":[{"k":""},{"k":"v"}],"M":{"a":{"k":1}},"C":["c"],"H":{"s":""},"Z":1}"#
        );
    }

    #[test]
    fn values_of_another_kind_stay_as_they_are() {
        assert_eq!(fill(r#"{"A":{"x":1},"L[]":""}"#, json!({"A": null, "L": "?"})), r#"{"A":null,"L":"?"}"#);
        assert_eq!(fill(r#"{"A":[0,0]}"#, json!({})), r#"{"A":[0,0]}"#);
    }
}
