//! `POST /commit`: an image of a container.

use bollard_stubs::models::ContainerConfig;
use hyper::StatusCode;
use minke_engine::CommitOptions;
use serde_json::json;

use crate::call::Call;
use crate::query::Query;
use crate::respond::{self, Outcome};

/// `POST /commit`
pub(crate) async fn commit(mut call: Call) -> Outcome {
    // The docker command line sends `null` for none.
    let config: Option<ContainerConfig> = call.optional_json::<Option<_>>().await?.flatten();
    let container = call.query.get("container").unwrap_or_default();
    let id = call.engine().commit(container, options(&call.query, config)).await?;
    respond::json(StatusCode::CREATED, &json!({ "Id": id }))
}

fn options(query: &Query, config: Option<ContainerConfig>) -> CommitOptions {
    let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
    CommitOptions {
        name: query.name("repo", "tag"),
        author: text("author"),
        comment: text("comment"),
        pause: query.flag_or("pause", true),
        changes: query.all("changes"),
        config,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_pauses_unless_told_and_a_tag_without_a_repository_is_none() {
        let options = |text| options(&Query::parse(text), None);
        assert!(options("container=x").pause && !options("pause=0").pause);
        assert_eq!(options("repo=a/b&tag=c").name.as_deref(), Some("a/b:c"));
        assert_eq!(options("repo=a").name.as_deref(), Some("a"));
        assert_eq!(options("tag=c").name, None);
        assert_eq!(options("changes=ENV+A%3D1&changes=USER+u").changes, ["ENV A=1", "USER u"]);
    }
}
