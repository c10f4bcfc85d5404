//! `minke context create` and `update`.

use std::{collections::HashMap, fs};

use clap::Parser;
use minke_docker_client::{Endpoint, EndpointError, Tls, TlsMaterial};

use super::{check_new, load, store};
use crate::{
    cli::{
        scan::go_boolean,
        verb::{Arity, Verb, client_verb},
    },
    context::Context,
    contexts::{self, DockerEndpoint, Meta, TlsFiles},
    failure::{Failure, USAGE},
    output,
    run::{FlagError, csv_fields},
};

/// Flags of `context create`.
#[derive(Debug, Parser)]
pub(crate) struct Create {
    /// Description of the context
    #[arg(long, value_name = "string", default_value = "")]
    description: String,
    /// The engine: host=ADDRESS, with ca=FILE, cert=FILE, key=FILE and skip-tls-verify=BOOL for TLS; or from=CONTEXT
    #[arg(long, value_name = "key=value,…")]
    docker: Vec<String>,
    /// Create context from a named context
    #[arg(long, value_name = "string", default_value = "")]
    from: String,
    /// The context's name
    name: String,
}

/// Flags of `context update`.
#[derive(Debug, Parser)]
pub(crate) struct Update {
    /// Description of the context
    #[arg(long, value_name = "string", default_value = "")]
    description: String,
    /// The engine, as for create
    #[arg(long, value_name = "key=value,…")]
    docker: Vec<String>,
    /// The context's name
    name: String,
}

pub(crate) static CREATE: Verb =
    client_verb!(Create, create, Arity::Exactly(1), "[OPTIONS] CONTEXT", "Create a context");

pub(crate) static UPDATE: Verb =
    client_verb!(Update, update, Arity::Exactly(1), "[OPTIONS] CONTEXT", "Update a context");

async fn create(context: &Context, args: Create) -> Result<(), Failure> {
    let options = options(&args.docker)?;
    let store = store(context)?;
    check_new(&store, &args.name)?;
    let (mut meta, tls) = match (options.is_empty(), args.from.as_str()) {
        (false, "") => {
            let (endpoint, tls) = engine(context, &options)?;
            (Meta::new(&args.name, &endpoint), tls)
        }
        (false, _) => return Err(Failure::new("cannot use --docker flag when --from is set")),
        // Another one, or the one in use, under a new name.
        (true, "") => load(context, &context.name())?,
        (true, from) => load(context, from)?,
    };
    meta.name.clone_from(&args.name);
    if !args.description.is_empty() {
        meta.describe(&args.description);
    }
    store.put(&meta, &tls)?;
    output::line(&args.name)?;
    output::note(&format!("Successfully created context {:?}", args.name));
    Ok(())
}

async fn update(context: &Context, args: Update) -> Result<(), Failure> {
    let options = options(&args.docker)?;
    contexts::check_name(&args.name)?;
    let store = store(context)?;
    let mut meta = store.get(&args.name)?;
    if !args.description.is_empty() {
        meta.describe(&args.description);
    }
    match options.is_empty() {
        true => store.put_meta(&meta)?,
        false => {
            let (endpoint, tls) = engine(context, &options)?;
            meta.set_endpoint(&endpoint);
            store.put(&meta, &tls)?;
        }
    }
    output::line(&args.name)?;
    output::note(&format!("Successfully updated context {:?}", args.name));
    Ok(())
}

/// What `--docker` says, in pflag's form and words.
fn options(flags: &[String]) -> Result<HashMap<String, String>, Failure> {
    let mut options = HashMap::new();
    for flag in flags {
        for field in csv_fields(flag).map_err(|FlagError(problem)| Failure::new(problem).with_code(USAGE))? {
            let Some((key, value)) = field.split_once('=') else {
                return Err(Failure::new(format!(
                    "invalid argument {flag:?} for \"--docker\" flag: {field} must be formatted as key=value"
                ))
                .with_code(USAGE));
            };
            options.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(options)
}

/// The engine that the options name, with its certificates.
fn engine(
    context: &Context,
    options: &HashMap<String, String>,
) -> Result<(DockerEndpoint, TlsFiles), Failure> {
    let wrong = |problem: String| Failure::new(format!("unable to create docker endpoint config: {problem}"));
    let known = ["from", "host", "ca", "cert", "key", "skip-tls-verify"];
    if let Some(key) = options.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(wrong(format!("{key}: unrecognized config key: want {}", known.join(", "))));
    }
    if let Some(from) = options.get("from") {
        let (meta, tls) = load(context, from)?;
        return Ok((meta.endpoint()?, tls));
    }
    let read = |key: &str| match options.get(key).filter(|path| !path.is_empty()) {
        None => Ok(None),
        Some(path) => fs::read(path).map(Some).map_err(|error| wrong(format!("{key}={path}: {error}"))),
    };
    let skip_verify = match options.get("skip-tls-verify") {
        None => false,
        Some(text) => {
            go_boolean(text).ok_or_else(|| wrong(format!("skip-tls-verify: {text:?}: want true or false")))?
        }
    };
    let material =
        TlsMaterial { ca: read("ca")?, certificate: read("cert")?, key: read("key")?, skip_verify };
    // Read once now, so that a mistake is told here and not at each use.
    Tls::new(&material).map_err(|error| wrong(crate::failure::chain(&error)))?;
    let host = options.get("host").cloned().unwrap_or_default();
    match Endpoint::parse(&host) {
        // Docker's own may use it.
        Ok(_) | Err(EndpointError::NotSupported { .. }) => {}
        Err(_) if host.is_empty() => return Err(wrong("host=ADDRESS is missing".to_owned())),
        Err(error) => return Err(wrong(error.to_string())),
    }
    Ok((DockerEndpoint { host, skip_verify }, contexts::files(&material)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_pairs_in_one_flag_or_in_several() {
        let read = |flags: &[&str]| options(&flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>());
        let found = read(&["host=tcp://x:1,ca=/a", "key=/k"]).unwrap();
        assert_eq!(
            (found["host"].as_str(), found["ca"].as_str(), found["key"].as_str()),
            ("tcp://x:1", "/a", "/k")
        );
        assert!(read(&[]).unwrap().is_empty());
        let failure = read(&["host"]).unwrap_err();
        assert_eq!(failure.code, 125);
        assert!(failure.message.contains("host must be formatted as key=value"), "{}", failure.message);
    }
}
