//! aws / s3 / sync.

use aws_s3_transfer::{Change, Comparison, CopyInput, FilterInput, Outputs, Place, S3Connection, Transfer, WriteInput};
use aws_s3_transfer::{changes, list, list_or_empty, places};
use outrigger_plugin_sdk::aws::credentials;
use outrigger_plugin_sdk::files::{self, Kind};
use outrigger_plugin_sdk::prelude::*;

/// Makes a destination the same as a source.
pub struct Sync;

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
pub struct Input {
    /// Folder in the workspace, or `s3://bucket/prefix`.
    #[schemars(title = "Source", example = "./site")]
    pub source: String,
    /// Folder in the workspace, or `s3://bucket/prefix`.
    #[schemars(title = "Destination", example = "s3://bucket/site")]
    pub destination: String,
    /// Delete what the destination has and the source has not. What the filters exclude is never deleted.
    #[serde(default)]
    #[schemars(title = "Delete")]
    pub delete: bool,
    /// Without meaning, though the form has the field: a sync is always recursive.
    #[serde(default)]
    #[schemars(title = "Recursive", extend("deprecated" = true))]
    pub recursive: bool,
    /// Compare sizes only.
    #[serde(default)]
    #[schemars(title = "Size only", extend("x-outrigger-group" = "Advanced"))]
    pub size_only: bool,
    /// Transfer a file of the same size unless both sides have the same time, also where the source is older.
    #[serde(default)]
    #[schemars(title = "Exact timestamps", extend("x-outrigger-group" = "Advanced"))]
    pub exact_timestamps: bool,
    /// Which files take part.
    #[serde(flatten)]
    pub filters: FilterInput,
    /// How much is said.
    #[serde(flatten)]
    pub mode: CopyInput,
    /// How objects are written.
    #[serde(flatten)]
    pub write: WriteInput,
    /// Region, endpoint and credentials.
    #[serde(flatten)]
    pub connection: S3Connection,
}

impl JobStep for Sync {
    const PROVIDER: &'static str = "aws-cli-s3-sync-step";
    const TITLE: &'static str = "aws / s3 / sync";
    const SUMMARY: &'static str = "Makes an S3 prefix the same as a folder, a folder the same as a prefix, or a prefix the same as another, as `aws s3 sync` does.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(input: Input) -> Result<(), Failure> {
        let (source, destination) = places(&input.source, &input.destination)?;
        let filters = input.filters.filters()?;
        let comparison = match (input.size_only, input.exact_timestamps) {
            (true, _) => Comparison::SizeOnly,
            (_, true) => Comparison::ExactTime,
            _ => Comparison::SizeAndTime,
        };
        // Before anything else: a source that is missing is not an empty one, or `delete` would empty the destination.
        check_source(&source)?;
        check_destination(&destination)?;
        let aws = credentials()?;
        let (symlinks, page_size) = (input.mode.follow_symlinks, input.mode.page_size);
        let to_files = matches!(destination, Place::Local(_));
        let have = list(&aws, &source, &filters, symlinks, page_size, to_files);
        let old = list(&aws, &destination, &filters, symlinks, page_size, false);
        let old = if to_files { list_or_empty(old) } else { old };
        let transfer = Transfer::<true>::new(&aws, &source, &destination, &input.mode, &input.write)?;
        transfer.run(|transfer| {
            for change in changes(have, old, comparison) {
                match change? {
                    Change::Transfer(entry) => {
                        let (from, to) = (source.join(&entry.path), destination.join(&entry.path));
                        transfer.add(from, to, entry.size, entry.modified)?;
                    }
                    Change::Extra(entry) if input.delete => transfer.remove(destination.join(&entry.path))?,
                    Change::Extra(_) => {}
                    Change::Same(_) => transfer.unchanged(),
                }
            }
            Ok(())
        })
    }
}

fn check_source(source: &Place) -> Result<(), Failure> {
    let Place::Local(path) = source else { return Ok(()) };
    match files::stat(path.path()) {
        Ok(entry) if matches!(entry.kind, Kind::Directory) => Ok(()),
        Ok(_) => Err(Failure::invalid_input(format!(
            "{} is no folder, and a sync takes folders: use `aws-cli-s3-cp-step` for one file",
            path.path()
        ))),
        Err(failure) if failure.reason == Reason::NotFound => {
            Err(Failure { message: format!("The user-provided path {} does not exist.", path.path()), ..failure })
        }
        Err(failure) => Err(failure),
    }
}

fn check_destination(destination: &Place) -> Result<(), Failure> {
    let Place::Local(path) = destination else { return Ok(()) };
    match files::stat(path.path()) {
        Ok(entry) if !matches!(entry.kind, Kind::Directory) => {
            Err(Failure::invalid_input(format!("{} is a file, and a sync writes a folder", path.path())))
        }
        Err(failure) if failure.reason != Reason::NotFound => Err(failure),
        _ => Ok(()),
    }
}

outrigger_plugin_sdk::export_job_step!(Sync);

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::{self, Value, json};

    #[test]
    fn the_keys_of_exports_are_described_and_read() {
        let schema: Value = json::from_str(&outrigger_plugin_sdk::describe::<Sync>().input_schema).unwrap();
        for (key, kind) in [
            ("source", "string"),
            ("destination", "string"),
            ("include", "string"),
            ("exclude", "string"),
            ("quiet", "boolean"),
            ("recursive", "boolean"),
            ("dryrun", "boolean"),
            ("delete", "boolean"),
        ] {
            assert_eq!(schema["properties"][key]["type"], kind, "{key}");
        }
        for (key, keyword) in [
            ("access_key", "access-key"),
            ("secret_access_key", "secret-key"),
            ("default_region", "region"),
            ("endpoint_url", "endpoint"),
        ] {
            assert_eq!(schema["properties"][key]["x-outrigger-credential"], keyword, "{key}");
        }
        assert_eq!(schema["required"], json!(["source", "destination"]));
        let input: Input = json::from_value(json!({
            "source": "a", "destination": "s3://b", "include": "*.txt", "exclude": "*", "quiet": true, "recursive": true,
            "dryrun": true, "filters": "-*\n+*.txt", "metadata": "a=b", "page_size": 10, "size_only": true
        }))
        .unwrap();
        assert!(input.mode.quiet && input.mode.dryrun && input.mode.follow_symlinks && input.recursive);
        assert!(!input.filters.filters().unwrap().includes("a.bin"));
        assert_eq!(input.write.options().unwrap().metadata.len(), 1);
    }
}
