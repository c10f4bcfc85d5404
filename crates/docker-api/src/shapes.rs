//! The shapes of Docker's answers (API 1.51), each parsed when it is first needed. See [`crate::shape`] for
//! their notation.

use std::sync::LazyLock;

use crate::shape::Shape;

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])*
        pub(crate) static $name: LazyLock<Shape> = LazyLock::new(|| {
            serde_json::from_str(include_str!(concat!("shapes/", $file, ".json")))
                .expect("a shape is part of the program, and a test parses each")
        });)*

        #[cfg(test)]
        const ALL: &[&LazyLock<Shape>] = &[$(&$name),*];
    };
}

shapes! {
    /// `GET /containers/{name}/json`
    CONTAINER_INSPECT = "container_inspect";
    /// One item of `GET /containers/json`
    CONTAINER_SUMMARY = "container_summary";
    /// `GET /containers/{name}/stats`
    CONTAINER_STATS = "container_stats";
    /// `GET /exec/{id}/json`
    EXEC_INSPECT = "exec_inspect";
    /// `GET /images/{name}/json`
    IMAGE_INSPECT = "image_inspect";
    /// `GET /info`
    INFO = "info";
    /// `GET /networks/{name}` and one item of `GET /networks`
    NETWORK = "network";
    /// `GET /version`
    VERSION = "version";
    /// `POST /containers/prune`
    CONTAINERS_PRUNED = "containers_pruned";
    /// `POST /images/prune`
    IMAGES_PRUNED = "images_pruned";
    /// `POST /networks/prune`
    NETWORKS_PRUNED = "networks_pruned";
    /// `POST /volumes/prune`
    VOLUMES_PRUNED = "volumes_pruned";
    /// `GET /volumes`
    VOLUMES = "volumes";
    /// Answers that are nothing but warnings.
    WARNINGS = "warnings";
}

/// A list of container summaries.
pub(crate) static CONTAINER_SUMMARIES: LazyLock<Shape> = LazyLock::new(|| CONTAINER_SUMMARY.list());
/// A list of networks.
pub(crate) static NETWORKS: LazyLock<Shape> = LazyLock::new(|| NETWORK.list());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Filled;
    use serde_json::{Value, json};

    #[test]
    fn every_shape_can_be_parsed() {
        for shape in ALL {
            assert!(matches!(***shape, Shape::Object(_)));
        }
    }

    fn filled(shape: &Shape, value: Value) -> Value {
        serde_json::to_value(Filled::new(shape, &value)).unwrap()
    }

    #[test]
    fn an_inspected_container_has_what_templates_ask_for() {
        let container = filled(&CONTAINER_INSPECT, json!({"NetworkSettings": {"Networks": {"bridge": {}}}}));
        assert_eq!(container["State"]["FinishedAt"], "0001-01-01T00:00:00Z");
        assert_eq!(container["Config"]["Labels"], json!({}));
        assert_eq!(container["Config"]["Entrypoint"], Value::Null);
        assert_eq!(container["HostConfig"]["PortBindings"], json!({}));
        assert_eq!(container["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 0);
        assert_eq!(container["NetworkSettings"]["IPAddress"], "");
        assert_eq!(container["NetworkSettings"]["Networks"]["bridge"]["IPPrefixLen"], 0);
        assert_eq!(container["Mounts"], json!([]));
        assert_eq!(container["ExecIDs"], Value::Null);
        assert!(container["State"].get("Health").is_none());
    }

    #[test]
    fn the_fields_come_in_dockers_order() {
        let text = serde_json::to_string(&Filled::new(&CONTAINER_INSPECT, &json!({}))).unwrap();
        assert!(
            text.starts_with(r#"{"Id":"","Created":"0001-01-01T00:00:00Z","Path":"","Args":[],"State":{"#),
            "{text}"
        );
    }
}
