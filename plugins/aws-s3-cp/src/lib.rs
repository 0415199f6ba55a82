//! aws / s3 / cp.

use aws_s3_transfer::{CopyInput, FilterInput, Filters, LocalPath, Outputs, Place, S3Connection, S3Place, Transfer};
use aws_s3_transfer::{WriteInput, list, places};
use outrigger_plugin_sdk::aws::{Credentials, credentials, s3};
use outrigger_plugin_sdk::files::{self, Kind};
use outrigger_plugin_sdk::prelude::*;

/// Copies files to S3, objects from S3, and objects inside S3.
pub struct Cp;

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
pub struct Input {
    /// Path in the workspace, or `s3://bucket/key`.
    #[schemars(title = "Source", example = "./site")]
    pub source: String,
    /// Path in the workspace, or `s3://bucket/key`. With a `/` at the end it is a folder, and the name stays.
    #[schemars(title = "Destination", example = "s3://bucket/site/")]
    pub destination: String,
    /// Copy everything below the source.
    #[serde(default)]
    #[schemars(title = "Recursive")]
    pub recursive: bool,
    /// Not of this step, though its form has the field: `aws s3 cp` deletes nothing. Use `aws-cli-s3-sync-step`.
    #[serde(default)]
    #[schemars(title = "Delete", extend("deprecated" = true))]
    pub delete: bool,
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

impl JobStep for Cp {
    const PROVIDER: &'static str = "aws-cli-s3-cp-step";
    const TITLE: &'static str = "aws / s3 / cp";
    const SUMMARY: &'static str = "Copies files to S3, objects from S3, and objects inside S3, as `aws s3 cp` does.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(input: Input) -> Result<(), Failure> {
        if input.delete {
            return Err(Failure::invalid_input(
                "`delete` is set, but `aws s3 cp` has no such option and never deletes: use `aws-cli-s3-sync-step`, \
                 or leave it out",
            ));
        }
        let (source, destination) = places(&input.source, &input.destination)?;
        let filters = input.filters.filters()?;
        let aws = credentials()?;
        if input.recursive {
            all(&aws, &input, &source, &destination, &filters)
        } else {
            one(&aws, &input, &source, &destination, &filters)
        }
    }
}

fn all(
    aws: &Credentials,
    input: &Input,
    source: &Place,
    destination: &Place,
    filters: &Filters,
) -> Result<(), Failure> {
    if let Place::Local(path) = source
        && !is_folder(path)?
    {
        return Err(Failure::invalid_input(format!("{} is no folder: leave out `recursive`", path.path())));
    }
    let as_files = matches!(destination, Place::Local(_));
    let entries = list(aws, source, filters, input.mode.follow_symlinks, input.mode.page_size, as_files);
    let transfer = Transfer::<false>::new(aws, source, destination, &input.mode, &input.write)?;
    let mut found = false;
    transfer.run(|transfer| {
        for entry in entries {
            let entry = entry?;
            found = true;
            let from = source.join(&entry.path);
            transfer.add(from, destination.join(&entry.path), entry.size, entry.modified)?;
        }
        if !found {
            warn!("nothing below {} matches", input.source);
        }
        Ok(())
    })
}

fn one(
    aws: &Credentials,
    input: &Input,
    source: &Place,
    destination: &Place,
    filters: &Filters,
) -> Result<(), Failure> {
    let (from, name, size, modified) = match source {
        Place::Local(path) => local_file(path)?,
        Place::S3(place) => object(aws, place)?,
    };
    let transfer = Transfer::<false>::new(aws, source, destination, &input.mode, &input.write)?;
    if !filters.includes(&name) {
        warn!("{} is excluded by the filters", input.source);
        return transfer.run(|_| Ok(()));
    }
    let to = match destination {
        Place::S3(place) if place.is_folder() => place.join(&name),
        Place::S3(place) => place.key.clone(),
        Place::Local(path) if path.is_folder() || exists_as_folder(path)? => path.join(&name),
        Place::Local(path) => path.path().to_owned(),
    };
    transfer.run(|transfer| transfer.add(from, to, size, modified))
}

type File = (String, String, u64, u64);

fn local_file(path: &LocalPath) -> Result<File, Failure> {
    let entry = stat(path)?;
    match entry.kind {
        Kind::File => Ok((path.path().to_owned(), path.name().to_owned(), entry.size, entry.modified)),
        Kind::Directory => {
            Err(Failure::invalid_input(format!("{} is a folder: set `recursive` to copy what is in it", path.path())))
        }
        Kind::Other => Err(Failure::invalid_input(format!("{} is no regular file", path.path()))),
    }
}

fn object(aws: &Credentials, place: &S3Place) -> Result<File, Failure> {
    if place.is_folder() {
        return Err(Failure::invalid_input(format!(
            "{} names no object: set `recursive` to copy what is below it",
            place.uri(&place.key)
        )));
    }
    let input = s3::HeadObjectInput { bucket: place.bucket.clone(), key: place.key.clone(), version_id: None };
    let head = s3::head_object(aws, &input).context(place.uri(&place.key))?;
    Ok((place.key.clone(), place.name().to_owned(), head.content_length, head.last_modified))
}

fn stat(path: &LocalPath) -> Result<files::Entry, Failure> {
    files::stat(path.path()).map_err(|failure| match failure.reason {
        Reason::NotFound => {
            Failure { message: format!("The user-provided path {} does not exist.", path.path()), ..failure }
        }
        _ => failure,
    })
}

fn is_folder(path: &LocalPath) -> Result<bool, Failure> {
    Ok(matches!(stat(path)?.kind, Kind::Directory))
}

fn exists_as_folder(path: &LocalPath) -> Result<bool, Failure> {
    match files::stat(path.path()) {
        Ok(entry) => Ok(matches!(entry.kind, Kind::Directory)),
        Err(failure) if failure.reason == Reason::NotFound => Ok(false),
        Err(failure) => Err(failure),
    }
}

outrigger_plugin_sdk::export_job_step!(Cp);

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::{self, Value, json};

    #[test]
    fn the_keys_of_exports_are_described_and_read() {
        let schema: Value = json::from_str(&outrigger_plugin_sdk::describe::<Cp>().input_schema).unwrap();
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
            "dryrun": true, "filters": "-*\n+*.txt", "metadata": "a=b", "page_size": 10, "delete": false
        }))
        .unwrap();
        assert!(input.mode.quiet && input.mode.dryrun && input.mode.follow_symlinks && input.recursive);
        assert!(!input.filters.filters().unwrap().includes("a.bin"));
        assert_eq!(input.write.options().unwrap().metadata.len(), 1);
    }
}
