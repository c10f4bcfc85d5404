//! Caches as others may write them: whole, damaged, in loops.

use super::*;

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn blob(byte: u8) -> Descriptor {
    Descriptor::new("application/vnd.oci.image.layer.v1.tar+gzip", digest(byte), 9)
}

fn layer(byte: u8, parent: i64) -> CacheLayer {
    let annotations = LayerAnnotations {
        diff_id: Some(digest(byte + 100)),
        created_at: Some("2026-01-01T00:00:00Z".to_owned()),
        ..LayerAnnotations::default()
    };
    CacheLayer { blob: digest(byte), parent, annotations: Some(annotations) }
}

fn written(layers: Vec<CacheLayer>, records: &Records) -> Vec<u8> {
    serde_json::to_vec(&CacheConfig { layers, records: records.write() }).unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let records = Records {
        results: BTreeMap::from([
            (digest(50), (0, None)),
            (digest(51), (1, Some("2026-01-01T00:00:00Z".to_owned()))),
        ]),
        definitions: BTreeMap::from([
            (digest(60), digest(50)),
            (digest(61), digest(51)),
            (digest(62), digest(99)),
        ]),
    };
    let json = written(vec![layer(1, -1), layer(2, 0)], &records);
    let known = Known::read(&json, &[blob(1), blob(2)]).unwrap();
    assert_eq!(known.content(&digest(61)), Some(digest(51)));
    assert_eq!(known.content(&digest(62)), None, "it leads nowhere");
    let own = known.own_layers(&digest(51), &[digest(7)]).unwrap();
    assert_eq!(own.iter().map(|layer| layer.diff_id).collect::<Vec<_>>(), [digest(101), digest(102)]);
    assert_eq!(own[1].created.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert!(!known.has(&digest(61)));
}

#[test]
fn loops_of_layers_and_indexes_that_are_none_lead_nowhere() {
    let records = Records { results: BTreeMap::from([(digest(50), (0, None))]), ..Records::default() };
    let known = Known::read(&written(vec![layer(1, 1), layer(2, 0)], &records), &[blob(1), blob(2)]).unwrap();
    assert_eq!(known.own_layers(&digest(50), &[]), None);
    let known = Known::read(&written(vec![layer(1, 77)], &records), &[blob(1)]).unwrap();
    assert_eq!(known.own_layers(&digest(50), &[]), None);
    let beyond = Records { results: BTreeMap::from([(digest(50), (3, None))]), ..Records::default() };
    assert!(Known::read(&written(vec![layer(1, -1)], &beyond), &[blob(1)]).is_err());
    assert!(Known::read(&written(vec![layer(1, -1)], &records), &[]).is_err(), "a blob nobody describes");
    assert!(Known::read(b"{", &[]).is_err());
}

#[test]
fn records_of_other_builders_are_read_over() {
    let json = format!(
        r#"{{"layers":[{{"blob":"{}","parent":-1}}],"records":[{{"digest":"random:abc"}},
        {{"digest":"{}","inputs":[[{{"selector":"/x","link":0}},{{"link":7}}],[{{"link":-4}}]],"layers":[{{"layer":0,"createdAt":"0001-01-01T00:00:00Z"}}]}},
        {{"digest":"{}","chains":[{{"layers":[0]}}]}}]}}"#,
        digest(1),
        digest(2),
        digest(3)
    );
    let known = Known::read(json.as_bytes(), &[blob(1)]).unwrap();
    assert!(known.results.is_empty() && known.definitions.is_empty());
}

#[test]
fn an_images_own_cache_counts_on_its_own_base_alone() {
    let config: ImageConfig = serde_json::from_value(serde_json::json!({
        "rootfs": { "type": "layers", "diff_ids": [digest(101).to_string(), digest(102).to_string()] },
        "history": [{ "created": "2025-01-01T00:00:00Z" }, { "empty_layer": true }, { "created": "2026-01-01T00:00:00Z" }],
    }))
    .unwrap();
    let records = Records { results: BTreeMap::from([(digest(50), (1, None))]), ..Records::default() };
    let json = serde_json::to_vec(&records.write()).unwrap();
    let known = Known::of_image(&json, &[blob(1), blob(2)], &config).unwrap();
    let own = known.own_layers(&digest(50), &[digest(101)]).unwrap();
    assert_eq!((own.len(), own[0].created.as_deref()), (1, Some("2026-01-01T00:00:00Z")));
    assert_eq!(known.own_layers(&digest(50), &[digest(99)]), None);
    assert_eq!(known.own_layers(&digest(50), &[digest(101), digest(102)]), None, "nothing of its own");
    assert!(Known::of_image(&json, &[blob(1)], &config).is_err());
}

#[test]
fn a_damaged_cache_is_an_error_or_has_less_and_nothing_worse() {
    let records = Records {
        results: BTreeMap::from([(digest(50), (0, None)), (digest(51), (1, None))]),
        definitions: BTreeMap::from([(digest(60), digest(50)), (digest(61), digest(51))]),
    };
    let json = written(vec![layer(1, -1), layer(2, 0)], &records);
    // Numbers and signs are what leads somewhere else: every byte is each of them once.
    for at in 0..json.len() {
        for byte in *b"0179-\",[]{}" {
            let mut damaged = json.clone();
            damaged[at] = byte;
            let Ok(known) = Known::read(&damaged, &[blob(1), blob(2)]) else { continue };
            for key in known.results.keys() {
                assert!(
                    known.own_layers(key, &[digest(7)]).is_none_or(|own| own.len() <= MOST_ON_EACH_OTHER)
                );
            }
        }
    }
}
