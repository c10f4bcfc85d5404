//! `FIELDS.md` against the types: no field is forgotten, and what is refused is refused with the words that stand there.

use std::{collections::BTreeSet, path::Path};

use bollard_stubs::models as api;
use serde::{
    de::{self, Visitor, value::Error as DeError},
    forward_to_deserialize_any,
};
use serde_json::{Value, json};

use crate::{Error, networks, spec::modes::Modes};

/// Gives the names of a type's fields instead of a value.
struct Names<'a>(&'a mut Vec<&'static str>);

impl<'de> de::Deserializer<'de> for Names<'_> {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DeError> {
        Err(de::Error::custom("it is no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, DeError> {
        *self.0 = fields.to_vec();
        Err(de::Error::custom("the names are enough"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields<T: de::DeserializeOwned>(prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    let _ = T::deserialize(Names(&mut names));
    assert!(!names.is_empty(), "{prefix} has no fields");
    names.iter().map(|name| format!("{prefix}{name}")).collect()
}

fn all_fields() -> BTreeSet<String> {
    [
        fields::<api::ContainerCreateBody>(""),
        fields::<api::HostConfig>("HostConfig."),
        fields::<api::Mount>("Mount."),
        fields::<api::MountBindOptions>("BindOptions."),
        fields::<api::MountVolumeOptions>("VolumeOptions."),
        fields::<api::MountTmpfsOptions>("TmpfsOptions."),
        fields::<api::MountImageOptions>("ImageOptions."),
        fields::<api::EndpointSettings>("EndpointSettings."),
        fields::<api::EndpointIpamConfig>("EndpointIPAMConfig."),
        fields::<api::HealthConfig>("HealthConfig."),
        fields::<api::DeviceMapping>("DeviceMapping."),
        fields::<api::DeviceRequest>("DeviceRequest."),
        fields::<api::RestartPolicy>("RestartPolicy."),
        fields::<api::HostConfigLogConfig>("LogConfig."),
    ]
    .concat()
    .into_iter()
    .collect()
}

/// The table's rows: field, what becomes of it, the rest.
fn rows() -> Vec<[&'static str; 3]> {
    let rows = include_str!("../../FIELDS.md").lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = |line: &'static str| {
        let mut cells = line.trim_matches('|').splitn(3, '|').map(str::trim);
        [(); 3].map(|()| cells.next().unwrap_or_default())
    };
    rows.map(cells).collect()
}

/// What creating a container with this one field says to it.
fn refusal(field: &str, value: Value) -> Option<Error> {
    let (kind, name) = field.split_once('.').unwrap_or(("", field));
    let one = json!({ name: value });
    let endpoint = |endpoint: Value| {
        networks::endpoint::check("blue", None, &serde_json::from_value(endpoint).unwrap()).err()
    };
    match kind {
        "" => super::refuse::check(&serde_json::from_value(one).unwrap(), &api::HostConfig::default()).err(),
        "HostConfig" => {
            let host: api::HostConfig = serde_json::from_value(one).unwrap();
            super::refuse::check(&api::ContainerConfig::default(), &host)
                .err()
                .or_else(|| Modes::parse(&host, false).err())
        }
        "EndpointSettings" => endpoint(one),
        _ => None,
    }
}

#[test]
fn every_field_of_the_api_is_in_the_table_once() {
    let listed: Vec<_> = rows().iter().map(|[field, ..]| (*field).to_owned()).collect();
    let set: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(set.len(), listed.len(), "a field stands there twice");
    assert_eq!(set, all_fields());
}

#[test]
fn what_is_honoured_is_where_the_table_says() {
    for [field, _, place] in rows().iter().filter(|[_, fate, _]| *fate == "honoured") {
        let (file, name) = place.trim_matches('`').split_once(' ').unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        let source =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(source.contains(name), "{field}: {file} does not have {name}");
    }
}

#[test]
fn what_is_refused_is_refused_in_the_tables_words() {
    for [field, _, rest] in rows().iter().filter(|[_, fate, _]| *fate == "refused") {
        let (sample, message) = rest.trim_start_matches('`').split_once("`: ").unwrap();
        let error = refusal(field, serde_json::from_str(sample).unwrap());
        let error = error.unwrap_or_else(|| panic!("{field} is ignored")).to_string();
        let name = field.rsplit('.').next().unwrap();
        assert!(error.starts_with(name) && error.contains(" can't be honoured: "), "{field}: {error}");
        assert!(error.ends_with(message), "{field}: {error}");
    }
}

#[test]
fn every_row_says_what_becomes_of_the_field() {
    for [field, fate, rest] in rows() {
        assert!(["honoured", "refused", "no effect"].contains(&fate) && !rest.is_empty(), "{field}");
    }
}
