//! The rules: names, what they are about, where to read more.

/// A rule of `docker build --check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each says what it is in `description`")]
pub enum Rule {
    ConsistentInstructionCasing,
    CopyIgnoredFile,
    DuplicateStageName,
    ExposeInvalidFormat,
    ExposeProtoCasing,
    FromAsCasing,
    FromPlatformFlagConstDisallowed,
    InvalidBaseImagePlatform,
    InvalidDefaultArgInFrom,
    InvalidDefinitionDescription,
    JsonArgsRecommended,
    LegacyKeyValueFormat,
    MaintainerDeprecated,
    MultipleInstructionsDisallowed,
    NoEmptyContinuation,
    RedundantTargetPlatform,
    ReservedStageName,
    SecretsUsedInArgOrEnv,
    StageNameCasing,
    UndefinedArgInFrom,
    UndefinedVar,
    WorkdirRelativePath,
}

/// A rule with its name, its page (after the common beginning) and what it is about.
type Row = (Rule, &'static str, &'static str, &'static str);

const PAGES: &str = "https://docs.docker.com/go/dockerfile/rule/";

const TABLE: &[Row] = &[
    (
        Rule::ConsistentInstructionCasing,
        "ConsistentInstructionCasing",
        "consistent-instruction-casing",
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
    ),
    (
        Rule::CopyIgnoredFile,
        "CopyIgnoredFile",
        "copy-ignored-file",
        "Attempting to Copy file that is excluded by .dockerignore",
    ),
    (Rule::DuplicateStageName, "DuplicateStageName", "duplicate-stage-name", "Stage names should be unique"),
    (
        Rule::ExposeInvalidFormat,
        "ExposeInvalidFormat",
        "expose-invalid-format",
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
    ),
    (
        Rule::ExposeProtoCasing,
        "ExposeProtoCasing",
        "expose-proto-casing",
        "Protocol in EXPOSE instruction should be lowercase",
    ),
    (
        Rule::FromAsCasing,
        "FromAsCasing",
        "from-as-casing",
        "The 'as' keyword should match the case of the 'from' keyword",
    ),
    (
        Rule::FromPlatformFlagConstDisallowed,
        "FromPlatformFlagConstDisallowed",
        "from-platform-flag-const-disallowed",
        "FROM --platform flag should not use a constant value",
    ),
    (
        Rule::InvalidBaseImagePlatform,
        "InvalidBaseImagePlatform",
        "",
        "Base image platform does not match expected target platform",
    ),
    (
        Rule::InvalidDefaultArgInFrom,
        "InvalidDefaultArgInFrom",
        "invalid-default-arg-in-from",
        "Default value for global ARG results in an empty or invalid base image name",
    ),
    (
        Rule::InvalidDefinitionDescription,
        "InvalidDefinitionDescription",
        "invalid-definition-description",
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    ),
    (
        Rule::JsonArgsRecommended,
        "JSONArgsRecommended",
        "json-args-recommended",
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    ),
    (
        Rule::LegacyKeyValueFormat,
        "LegacyKeyValueFormat",
        "legacy-key-value-format",
        "Legacy key/value format with whitespace separator should not be used",
    ),
    (
        Rule::MaintainerDeprecated,
        "MaintainerDeprecated",
        "maintainer-deprecated",
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    ),
    (
        Rule::MultipleInstructionsDisallowed,
        "MultipleInstructionsDisallowed",
        "multiple-instructions-disallowed",
        "Multiple instructions of the same type should not be used in the same stage",
    ),
    (
        Rule::NoEmptyContinuation,
        "NoEmptyContinuation",
        "no-empty-continuation",
        "Empty continuation lines will become errors in a future release",
    ),
    (
        Rule::RedundantTargetPlatform,
        "RedundantTargetPlatform",
        "redundant-target-platform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    ),
    (
        Rule::ReservedStageName,
        "ReservedStageName",
        "reserved-stage-name",
        "Reserved words should not be used as stage names",
    ),
    (
        Rule::SecretsUsedInArgOrEnv,
        "SecretsUsedInArgOrEnv",
        "secrets-used-in-arg-or-env",
        "Sensitive data should not be used in the ARG or ENV commands",
    ),
    (Rule::StageNameCasing, "StageNameCasing", "stage-name-casing", "Stage names should be lowercase"),
    (
        Rule::UndefinedArgInFrom,
        "UndefinedArgInFrom",
        "undefined-arg-in-from",
        "FROM command must use declared ARGs",
    ),
    (Rule::UndefinedVar, "UndefinedVar", "undefined-var", "Variables should be defined before their use"),
    (
        Rule::WorkdirRelativePath,
        "WorkdirRelativePath",
        "workdir-relative-path",
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    ),
];

impl Rule {
    /// All rules, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The name that silences it.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Where to read more; nothing for the one without a page.
    pub fn url(self) -> String {
        match self.row().2 {
            "" => String::new(),
            page => format!("{PAGES}{page}/"),
        }
    }

    /// What it is about.
    pub fn description(self) -> &'static str {
        self.row().3
    }

    /// Whether it counts only where a configuration names it.
    pub fn is_experimental(self) -> bool {
        self == Self::InvalidDefinitionDescription
    }

    fn row(self) -> &'static Row {
        // The table has the order of the enumeration; a test looks at each.
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_stands_in_its_own_row_under_its_own_name() {
        for (at, (rule, name, page, _)) in TABLE.iter().enumerate() {
            assert_eq!(*rule as usize, at, "{name}");
            assert_eq!(format!("{rule:?}").to_lowercase(), name.to_lowercase());
            assert!(page.is_empty() || page.replace('-', "") == name.to_lowercase(), "{page}");
        }
    }
}
