//! Manifests for those without helm or an operator.
//!
//! The chart of `scripts/chart` is part of the binary. A file enters: values of the chart, or a
//! DatadogAgent resource, which [`resource`] turns into values. [`values`] lays them over those of
//! the chart and finds what the chart does not know; [`template`] renders the templates. Manifests
//! leave as text, and sentences about the file beside them. Nothing is asked of a cluster.

mod chart;
mod resource;
mod template;
mod values;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fmt::Write as _;

use serde_json::{json, Value};

pub use chart::seccomp_profile;

/// What is known besides the file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Namespace of the manifests; that of the resource, or `default`, without one.
    pub namespace: Option<String>,
    /// Image instead of the one that the file names.
    pub image: Option<String>,
}

/// Manifests, and what there is to say about the file.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// Documents of YAML.
    pub manifests: String,
    /// Sentences.
    pub warnings: Vec<String>,
}

/// Why there are no manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file is no YAML.
    Malformed(String),
    /// The file holds something else.
    NotValues,
    /// It is another resource.
    OtherResource(String),
    /// The chart in this binary uses what the renderer does not know.
    Chart {
        /// The template.
        file: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(error) => write!(f, "the file is no YAML ({error}): correct it"),
            Error::NotValues => f.write_str(
                "the file holds neither values of the chart nor a DatadogAgent resource: write them as `key: value`",
            ),
            Error::OtherResource(kind) => write!(
                f,
                "the file holds a resource of kind {kind}: give values of the chart, or a DatadogAgent of datadoghq.com/v2alpha1"
            ),
            Error::Chart { file, what } => write!(
                f,
                "the chart in this binary cannot be rendered ({file}: {what}): report it, and use helm meanwhile"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Renders the chart with what a file says.
pub fn render(text: &str, options: &Options) -> Result<Rendered, Error> {
    let mut warnings = Vec::new();
    let given = values::read(text)?;
    let (mut given, release) = resource::to_values(given, &mut warnings)?;
    if let Some(image) = &options.image {
        values::set_image(&mut given, image);
    }
    let defaults = values::read(chart::file("values.yaml").unwrap_or_default())?;
    values::check(&mut given, &defaults, &mut warnings);
    let metadata = values::read(chart::file("Chart.yaml").unwrap_or_default())?;
    let namespace = options.namespace.clone().or(release.namespace);
    let root = json!({
        "Values": values::laid_over(defaults, given),
        "Release": {
            "Name": release.name,
            "Namespace": namespace.as_deref().unwrap_or("default"),
            "Service": "security-agent",
        },
        "Chart": {"Name": metadata["name"], "AppVersion": metadata["appVersion"]},
    });
    manifests(&root, warnings)
}

/// Every template but the notes is a manifest; the notes are what there is to say.
fn manifests(root: &Value, mut warnings: Vec<String>) -> Result<Rendered, Error> {
    let mut templates = template::Templates::default();
    for (name, text) in chart::templates() {
        templates
            .add(name, text)
            .map_err(|what| broken(name, what))?;
    }
    let mut manifests = String::new();
    for (name, _) in chart::templates().filter(|(name, _)| !name.ends_with(".tpl")) {
        let text = templates
            .render(name, root)
            .map_err(|what| broken(name, what))?;
        match text.trim() {
            "" => {}
            text if name.ends_with(".txt") => warnings.extend(
                text.lines()
                    .filter_map(|line| line.strip_prefix("- ").map(str::to_owned)),
            ),
            text => {
                let _ = writeln!(manifests, "---\n# Source: {name}\n{text}");
            }
        }
    }
    Ok(Rendered {
        manifests,
        warnings,
    })
}

fn broken(file: &str, what: &'static str) -> Error {
    Error::Chart {
        file: file.to_owned(),
        what,
    }
}
