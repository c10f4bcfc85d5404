//! The `--health-…` flags.

use bollard_stubs::models::HealthConfig;

use super::{FlagError, options::ContainerOptions};

/// The health check that the flags ask for; `None` leaves the image's.
///
/// # Errors
/// For negative values and for a check that is asked for and forbidden at once.
pub(super) fn read(options: &ContainerOptions) -> Result<Option<HealthConfig>, FlagError> {
    let numbers = [
        ("health-interval", options.health_interval),
        ("health-timeout", options.health_timeout),
        ("health-retries", options.health_retries),
        ("health-start-period", options.health_start_period),
        ("health-start-interval", options.health_start_interval),
    ];
    let any = options.health_cmd.as_deref().is_some_and(|command| !command.is_empty())
        || numbers.iter().any(|(_, number)| number.is_some_and(|number| number != 0));
    if options.no_healthcheck {
        if any {
            return Err(FlagError::new("--no-healthcheck conflicts with --health-* options"));
        }
        return Ok(Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }));
    }
    if let Some((flag, _)) = numbers.iter().find(|(_, number)| number.is_some_and(|number| number < 0)) {
        return Err(FlagError::new(format!("--{flag} cannot be negative")));
    }
    if !any {
        return Ok(None);
    }
    let test = options.health_cmd.clone().filter(|command| !command.is_empty());
    Ok(Some(HealthConfig {
        test: test.map(|command| vec!["CMD-SHELL".to_owned(), command]),
        interval: options.health_interval,
        timeout: options.health_timeout,
        retries: options.health_retries,
        start_period: options.health_start_period,
        start_interval: options.health_start_interval,
    }))
}
