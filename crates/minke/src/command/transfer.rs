//! `minke pull` and `push`.

use clap::Parser;
use minke_model::Reference;

use super::images::platform_query;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
    progress::Screen,
    transfer::{self, Wanted},
};

/// Flags of `pull`.
#[derive(Debug, Parser)]
pub(crate) struct Pull {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Skip image verification (there is none; accepted for scripts)
    #[arg(long, hide = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    disable_content_trust: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string", env = "DOCKER_DEFAULT_PLATFORM", hide_env = true)]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    /// The image
    image: String,
}

/// Flags of `push`.
#[derive(Debug, Parser)]
pub(crate) struct Push {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Skip image signing (there is none; accepted for scripts)
    #[arg(long, hide = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    disable_content_trust: bool,
    /// Push only this platform of the image, as an image without an index. Formatted as "os[/arch[/variant]]"
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    /// The image
    image: String,
}

pub(crate) static PULL: Verb = client_verb!(
    Pull,
    pull,
    Arity::Exactly(1),
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry"
);

pub(crate) static PUSH: Verb =
    client_verb!(Push, push, Arity::Exactly(1), "[OPTIONS] NAME[:TAG]", "Upload an image to a registry");

async fn pull(context: &Context, args: Pull) -> Result<(), Failure> {
    refuse_trust(args.disable_content_trust)?;
    let image = named(&args.image, args.all_tags, args.quiet)?;
    let platform = args.platform.as_deref().filter(|platform| !platform.is_empty());
    let wanted = Wanted { image: &image, all_tags: args.all_tags, platform };
    transfer::pull(context, wanted, screen(args.quiet)).await?;
    output::line(&image.to_string())
}

async fn push(context: &Context, args: Push) -> Result<(), Failure> {
    refuse_trust(args.disable_content_trust)?;
    let platform = platform_query(args.platform.as_deref())?;
    if let (Some(_), false) = (&platform, args.quiet) {
        output::note(
            "Only the manifest of this platform is pushed, without the image's index, other platforms and attestations.\n\
             Without --platform all of the image is.",
        );
    }
    let image = named(&args.image, args.all_tags, args.quiet)?;
    if image.digest().is_some() {
        return Err(Failure::new("cannot push a digest reference"));
    }
    let wanted = Wanted { image: &image, all_tags: args.all_tags, platform: None };
    transfer::push(context, wanted, platform, screen(args.quiet)).await?;
    if args.quiet { output::line(&image.to_string()) } else { Ok(()) }
}

/// The image that is meant; says so where a tag is left out and only one is wanted.
fn named(text: &str, all_tags: bool, quiet: bool) -> Result<Reference, Failure> {
    let image: Reference =
        text.parse().map_err(|error: minke_model::ReferenceError| Failure::new(error.to_string()))?;
    if all_tags {
        return match image.is_name_only() {
            true => Ok(image),
            false => Err(Failure::new("tag can't be used with --all-tags/-a")),
        };
    }
    if !image.is_name_only() {
        return Ok(image);
    }
    let image = image.with_default_tag();
    if !quiet {
        output::line(&format!("Using default tag: {}", image.tag().unwrap_or_default()))?;
    }
    Ok(image)
}

fn screen(quiet: bool) -> Screen {
    if quiet { Screen::Nowhere } else { Screen::Stdout }
}

/// Silence would be a promise.
fn refuse_trust(disabled: bool) -> Result<(), Failure> {
    match disabled {
        true => Ok(()),
        false => Err(Failure::new(
            "minke: --disable-content-trust=false is not supported: nothing verifies signatures",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tags_go_with_a_name_alone() {
        assert_eq!(named("redis", true, true).unwrap().to_string(), "docker.io/library/redis");
        assert_eq!(named("redis", false, true).unwrap().to_string(), "docker.io/library/redis:latest");
        assert_eq!(named("r:5000/a:1", false, true).unwrap().to_string(), "r:5000/a:1");
        let message = |text: &str, all| named(text, all, true).unwrap_err().message;
        assert_eq!(message("redis:7", true), "tag can't be used with --all-tags/-a");
        assert!(message("Redis", false).contains("must be lowercase"));
    }
}
