//! The query of `POST /build` as a build's request, and that of `/build/prune`.

use std::collections::{BTreeMap, HashMap};

use minke_build::{BuildRequest, CacheFilter, NetworkMode, PruneOptions, ResourceLimits};
use serde::{Deserialize, de::DeserializeOwned};

use crate::error::ApiError;
use crate::query::Query;

/// A limit of Docker's.
#[derive(Debug, Deserialize)]
struct Ulimit {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Soft", default)]
    soft: i64,
    #[serde(rename = "Hard", default)]
    hard: i64,
}

/// Reads the query.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn read(query: &Query) -> Result<BuildRequest, ApiError> {
    if query.flag("squash") {
        return Err(ApiError::not_implemented(
            "squash can't be honoured: layers are kept as the steps made them",
        ));
    }
    let text = |name: &str| query.non_empty(name).map(str::to_owned).unwrap_or_default();
    let number = |name: &str| query.number::<i64>(name).map(Option::unwrap_or_default);
    let remote = query.non_empty("remote").filter(|remote| *remote != "client-session").map(str::to_owned);
    let ulimits: Vec<Ulimit> = json(query, "ulimits")?;
    let args: BTreeMap<String, Option<String>> = json(query, "buildargs")?;
    Ok(BuildRequest {
        dockerfile: text("dockerfile"),
        target: text("target"),
        source_date_epoch: epoch(&args)?,
        args,
        labels: json(query, "labels")?,
        tags: query.all("t"),
        platforms: query
            .non_empty("platform")
            .into_iter()
            .flat_map(|all| all.split(','))
            .map(str::to_owned)
            .collect(),
        no_cache: query.flag("nocache"),
        no_cache_filter: query.all("nocachefilter"),
        pull: query.flag("pull"),
        network: match query.get("networkmode").unwrap_or_default() {
            "" | "default" | "bridge" => NetworkMode::Default,
            "none" => NetworkMode::None,
            "host" => NetworkMode::Host,
            name => NetworkMode::Named(name.to_owned()),
        },
        extra_hosts: extra_hosts(query),
        shm_size: query.number("shmsize")?.filter(|size| *size > 0),
        ulimits: ulimits
            .iter()
            .map(|limit| format!("{}={}:{}", limit.name, limit.soft, limit.hard))
            .collect(),
        cgroup_parent: text("cgroupparent"),
        limits: ResourceLimits {
            memory: number("memory")?,
            memory_swap: number("memswap")?,
            cpu_shares: number("cpushares")?,
            cpu_period: number("cpuperiod")?,
            cpu_quota: number("cpuquota")?,
            cpuset_cpus: text("cpusetcpus"),
            cpuset_mems: text("cpusetmems"),
        },
        entitlements: query.all("allow"),
        check_only: query.flag("check"),
        remote,
        ..BuildRequest::default()
    })
}

/// The argument SOURCE_DATE_EPOCH.
fn epoch(args: &BTreeMap<String, Option<String>>) -> Result<Option<i64>, ApiError> {
    let Some(Some(text)) = args.get("SOURCE_DATE_EPOCH") else { return Ok(None) };
    match text.parse::<i64>() {
        _ if text.is_empty() => Ok(None),
        Ok(seconds) if seconds >= 0 => Ok(Some(seconds)),
        _ => Err(ApiError::invalid(format!("invalid SOURCE_DATE_EPOCH {text:?}: want seconds since 1970"))),
    }
}

/// Docker's command line sends them in one, separated by commas, and in several.
fn extra_hosts(query: &Query) -> Vec<String> {
    let all = query.all("extrahosts");
    all.iter().flat_map(|hosts| hosts.split(',')).filter(|host| !host.is_empty()).map(str::to_owned).collect()
}

/// A parameter in JSON; nothing and `null` are empty.
pub(super) fn json<T: DeserializeOwned + Default>(query: &Query, name: &str) -> Result<T, ApiError> {
    let Some(text) = query.non_empty(name) else { return Ok(T::default()) };
    let value: Result<(Option<T>, _), _> = crate::json::parse(text.as_bytes());
    let (value, _) =
        value.map_err(|error| ApiError::invalid(format!("invalid {name}: {}", error.message)))?;
    Ok(value.unwrap_or_default())
}

/// Reads the query of a prune.
///
/// # Errors
/// 400 that names the parameter or filter.
pub(super) fn prune(query: &Query) -> Result<PruneOptions, ApiError> {
    let filters: HashMap<String, Vec<String>> = filters(query)?;
    let list = |name: &str| filters.get(name).cloned().unwrap_or_default();
    // Labels say nothing about a cache, but `docker system prune --filter label=…` sends them here as well.
    let others = ["until", "unused-for", "label", "label!"];
    let mut filter = CacheFilter::default();
    for (name, values) in filters.iter().filter(|(name, _)| !others.contains(&name.as_str())) {
        let [value] = &values[..] else {
            return Err(ApiError::invalid(format!("filter {name:?} of the build cache expects one value")));
        };
        filter = filter.and(name, value).map_err(|error| ApiError::invalid(error.to_string()))?;
    }
    let age = list("until").into_iter().chain(list("unused-for")).next();
    let age =
        age.map(|text| minke_engine::time_before(&text).map(|time| time::OffsetDateTime::now_utc() - time));
    let keep = ["keep-storage", "reserved-space", "max-used-space"];
    let keep = keep.into_iter().find_map(|name| query.number(name).transpose()).transpose()?;
    Ok(PruneOptions {
        all: query.flag("all"),
        keep_bytes: keep.filter(|bytes: &u64| *bytes > 0),
        unused_for: age.transpose()?,
        filter,
    })
}

/// Docker's filters: lists, or maps of what is true.
fn filters(query: &Query) -> Result<HashMap<String, Vec<String>>, ApiError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Values {
        List(Vec<String>),
        Map(BTreeMap<String, bool>),
    }
    let filters: HashMap<String, Values> = json(query, "filters")?;
    let values = |values: Values| match values {
        Values::List(list) => list,
        Values::Map(map) => map.into_iter().filter(|(_, wanted)| *wanted).map(|(value, _)| value).collect(),
    };
    Ok(filters.into_iter().map(|(name, all)| (name, values(all))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_dockers_command_line_is_read() {
        let query = Query::parse(
            "buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D&cachefrom=%5B%5D&dockerfile=Dockerfile&labels=%7B%22l%22%3A%22v%22%7D\
             &networkmode=none&rm=1&shmsize=0&t=a%3A1&t=b&target=&ulimits=%5B%7B%22Name%22%3A%22nofile%22%2C%22Hard%22%3A2%2C%22Soft%22%3A1%7D%5D&version=1",
        );
        let request = read(&query).unwrap();
        assert_eq!(request.args["A"].as_deref(), Some("1"));
        assert_eq!(request.args["B"], None);
        assert_eq!(
            (request.tags, request.network),
            (vec!["a:1".to_owned(), "b".to_owned()], NetworkMode::None)
        );
        assert_eq!((request.ulimits, request.shm_size), (vec!["nofile=1:2".to_owned()], None));
    }

    #[test]
    fn what_is_no_number_or_json_is_refused_by_name() {
        for (query, name) in
            [("memory=x", "memory"), ("buildargs=x", "buildargs"), ("labels=%5B%5D", "labels")]
        {
            assert!(read(&Query::parse(query)).unwrap_err().message.contains(name), "{query}");
        }
    }
}
