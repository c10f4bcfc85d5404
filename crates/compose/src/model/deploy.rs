//! `deploy`: how many containers a service has, where, and with which resources.

use super::{Bytes, DeviceCount, Duration, Mapping, attribute::attributes};

attributes! {
    /// How a service is deployed.
    pub struct Deploy {
        /// `replicated`, `global`, and the two as jobs.
        mode: String,
        /// How many containers.
        replicas: Option<i64>,
        /// Labels of the service, not of its containers.
        labels: Mapping,
        /// How containers are replaced.
        update_config: Option<UpdateConfig>,
        /// How they are put back when that fails.
        rollback_config: Option<UpdateConfig>,
        /// Limits and reservations.
        resources: Resources,
        /// Whether and how containers are started again.
        restart_policy: Option<RestartPolicy>,
        /// Which nodes are good.
        placement: Placement,
        /// `vip` or `dnsrr`.
        endpoint_mode: String,
    }
}

attributes! {
    /// How the containers of a service are replaced.
    pub struct UpdateConfig {
        /// How many at once; 0 is all.
        parallelism: Option<u64>,
        /// The pause between two groups.
        delay: Duration,
        /// `continue`, `rollback` or `pause`.
        failure_action: String,
        /// How long a container is watched after its start.
        monitor: Duration,
        /// The ratio of failures that is tolerated.
        max_failure_ratio: f32,
        /// `stop-first` or `start-first`.
        order: String,
    }
}

attributes! {
    /// What containers may use, and what is kept for them.
    pub struct Resources {
        /// The most they may use.
        limits: Option<Resource>,
        /// What a node must have for them.
        reservations: Option<Resource>,
    }
}

attributes! {
    /// Amounts of resources.
    pub struct Resource {
        /// Processors.
        cpus: f32,
        /// Memory.
        memory: Bytes,
        /// Processes.
        pids: i64,
        /// Devices such as GPUs.
        devices: Vec<DeviceRequest>,
        /// Resources that the nodes' owners named.
        generic_resources: Vec<GenericResource>,
    }
}

/// Devices that a driver of the engine gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceRequest {
    /// What they must be able to do, such as `gpu`.
    pub capabilities: Vec<String>,
    /// The driver.
    pub driver: String,
    /// How many.
    pub count: DeviceCount,
    /// Which.
    pub device_ids: Vec<String>,
    /// Options of the driver.
    pub options: Mapping,
}

attributes! {
    /// A resource that the nodes' owners named.
    pub struct GenericResource {
        /// One that is counted.
        discrete_resource_spec: Option<DiscreteResource>,
    }
}

/// A counted resource, such as three SSDs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiscreteResource {
    /// Its name.
    pub kind: String,
    /// How many.
    pub value: i64,
}

attributes! {
    /// Whether and how containers are started again.
    pub struct RestartPolicy {
        /// `none`, `on-failure` or `any`.
        condition: String,
        /// The pause before.
        delay: Option<Duration>,
        /// How often at most.
        max_attempts: Option<u64>,
        /// After how long a start counts as a success.
        window: Option<Duration>,
    }
}

attributes! {
    /// Which nodes are good for a service.
    pub struct Placement {
        /// Conditions that a node must meet.
        constraints: Vec<String>,
        /// Over what the containers are spread.
        preferences: Vec<PlacementPreference>,
        /// How many on one node at most.
        max_replicas_per_node: u64,
    }
}

attributes! {
    /// One wish about placement.
    pub struct PlacementPreference {
        /// The node label whose values containers are spread over.
        spread: String,
    }
}
