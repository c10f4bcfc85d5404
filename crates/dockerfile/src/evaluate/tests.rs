//! From a Dockerfile to steps and an image, as an executor sees them.

use std::collections::BTreeMap;

use minke_model::image_config::{ImageConfig, RootFs};

use super::*;
use crate::{
    Diagnostic,
    ast::Dockerfile,
    lint::Linter,
    parse,
    plan::{Options, Origin, Plan},
};

/// A build of a text.
struct Build {
    file: Dockerfile,
    options: Options,
    base: ImageConfig,
}

fn build(text: &str) -> Build {
    let file = parse("Dockerfile", text.as_bytes()).unwrap_or_else(|mistake| panic!("{}", mistake.render()));
    let mut base = ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        rootfs: RootFs { diff_ids: vec![minke_model::Digest::from_bytes([1; 32])], ..RootFs::default() },
        ..ImageConfig::default()
    };
    base.config.env = vec!["PATH=/bin".into(), "LANG=C".into()];
    base.config.cmd = Some(vec!["sh".into()]);
    Build { file, options: Options::on("linux/amd64".parse().unwrap()), base }
}

impl Build {
    fn given(mut self, name: &str, value: &str) -> Self {
        self.options.arguments.insert(name.into(), value.into());
        self
    }

    fn base(mut self, change: impl FnOnce(&mut ImageConfig)) -> Self {
        change(&mut self.base);
        self
    }

    fn try_all(&self) -> Result<(Plan, BTreeMap<usize, Evaluated>, Linter), Diagnostic> {
        let mut linter = Linter::new(&self.file, None)?;
        let mut plan = Plan::new(&self.file, &self.options, &mut linter)?;
        for id in plan.needed() {
            if matches!(plan.stage(id).base, Origin::Image(_)) {
                plan.on_build(id, &self.base.config.on_build)?;
            }
        }
        let mut done = BTreeMap::new();
        for id in plan.needed() {
            let base = match &plan.stage(id).base {
                Origin::Stage(before) => Base::Stage(&done[before]),
                Origin::Image(_) => {
                    Base::Image { config: &self.base, title: "docker.io/library/base@sha256:…" }
                }
                _ => Base::Scratch,
            };
            let evaluated = plan.evaluate(id, base, &mut linter)?;
            done.insert(id, evaluated);
        }
        Ok((plan, done, linter))
    }

    fn target(&self) -> Evaluated {
        let (plan, mut done, _) = self.try_all().unwrap_or_else(|mistake| panic!("{}", mistake.render()));
        done.remove(&plan.target()).unwrap()
    }

    fn mistake(&self) -> String {
        self.try_all().map(|_| ()).unwrap_err().to_string()
    }

    fn runs(&self) -> Vec<RunStep> {
        let steps = self.target().steps.into_iter();
        steps.filter_map(|step| if let Action::Run(run) = step.action { Some(*run) } else { None }).collect()
    }

    fn copies(&self) -> Vec<CopyStep> {
        let steps = self.target().steps.into_iter();
        steps
            .filter_map(|step| if let Action::Copy(copy) = step.action { Some(*copy) } else { None })
            .collect()
    }

    fn history(&self) -> Vec<String> {
        self.target().image.history.into_iter().filter_map(|record| record.created_by).collect()
    }

    fn titles(&self) -> Vec<String> {
        let target = self.target();
        target.from.into_iter().chain(target.steps.into_iter().map(|step| step.title)).collect()
    }
}

#[test]
fn the_history_of_an_image_is_what_buildkit_writes() {
    let build = build(
        r#"FROM base
ARG a=1 b
ARG a=2
ENV x=1 y="two words"
LABEL z=$a
RUN make $x
RUN ["exec", "form"]
COPY --chown=$a --chmod=644 one two dir/
ADD <<EOF /file
text
EOF
WORKDIR sub
WORKDIR /
USER me:us
EXPOSE 443/tcp 80
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost
SHELL ["/bin/bash", "-c"]
CMD echo "hi"
ENTRYPOINT ["/entry", "a b"]
ONBUILD RUN true
MAINTAINER somebody
"#,
    );
    insta::assert_snapshot!(build.history().join("\n"), @r#"
    ARG a=1 b
    ARG a=2
    ENV x=1 y=two words
    LABEL z=2
    RUN |2 a=2 b= /bin/sh -c make $x # buildkit
    RUN |2 a=2 b= exec form # buildkit
    COPY --chown=2 --chmod=644 one two dir/ # buildkit
    ADD <<EOF /file # buildkit
    WORKDIR /sub
    WORKDIR /
    USER me:us
    EXPOSE [443/tcp 80/tcp]
    VOLUME [/data]
    STOPSIGNAL SIGINT
    HEALTHCHECK {Test:[CMD-SHELL curl -f localhost] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}
    SHELL [/bin/bash -c]
    CMD ["/bin/bash" "-c" "echo \"hi\""]
    ENTRYPOINT ["/entry" "a b"]
    MAINTAINER somebody
    "#);
    let empty: Vec<bool> = build.target().image.history.iter().map(|record| record.empty_layer).collect();
    assert_eq!(
        empty.iter().filter(|empty| !**empty).count(),
        5,
        "two RUN, COPY, ADD and the WORKDIR that isn't /"
    );
}
