//! The face of a job step, and the code between it and the component's exports.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Failure;
use crate::bindings::outrigger::step::types::Description;
use crate::log::{self, Level};

/// A step that runs once in a workflow.
///
/// The input is what a job file has under `configuration`, checked by the host against the schema of [`JobStep::Input`]. A
/// member that is null or a blank text is left out before it is read, as a blank field of a form is: use `Option` or
/// `#[serde(default)]` for what need not be given.
pub trait JobStep {
    /// Provider id that job files name in `type`, such as `aws-vm-start-step`.
    const PROVIDER: &'static str;
    /// Title, such as `AWS / VM / Start`.
    const TITLE: &'static str;
    /// What it does, in one or two sentences.
    const SUMMARY: &'static str;
    /// The configuration. Flatten an [`AwsConnection`](crate::aws::AwsConnection) into it where AWS is called.
    type Input: DeserializeOwned + JsonSchema;
    /// A struct whose members are the outputs.
    type Outputs: JsonSchema;

    /// Runs the step.
    ///
    /// # Errors
    /// Whatever makes the step fail; an error handler of the job decides by its reason and code.
    fn run(input: Self::Input) -> Result<(), Failure>;
}

/// Exports a [`JobStep`] as the component's world `job-step`.
#[macro_export]
macro_rules! export_job_step {
    ($step:ty) => {
        const _: () = {
            struct Component;

            impl $crate::bindings::exports::outrigger::step::job_step::Guest for Component {
                fn describe() -> $crate::bindings::outrigger::step::types::Description {
                    $crate::describe::<$step>()
                }

                fn run(input: String) -> Result<(), $crate::Failure> {
                    $crate::run_job_step::<$step>(&input)
                }
            }

            // Names of exports such as `outrigger:step/job-step@0.1.0#run` are none that every native linker takes.
            #[cfg(target_family = "wasm")]
    $crate::bindings::export!(Component with_types_in $crate::bindings);
            #[cfg(not(target_family = "wasm"))]
            const _: fn(String) -> Result<(), $crate::Failure> =
                <Component as $crate::bindings::exports::outrigger::step::job_step::Guest>::run;
            #[cfg(not(target_family = "wasm"))]
            const _: fn() -> $crate::bindings::outrigger::step::types::Description =
                <Component as $crate::bindings::exports::outrigger::step::job_step::Guest>::describe;
        };
    };
}

/// What a step says of itself. [`export_job_step!`](crate::export_job_step) calls it.
#[must_use]
pub fn describe<S: JobStep>() -> Description {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let input = settings.clone().into_generator().into_root_schema_for::<S::Input>();
    let outputs = settings.for_serialize().into_generator().into_root_schema_for::<S::Outputs>();
    Description {
        provider: S::PROVIDER.to_owned(),
        title: S::TITLE.to_owned(),
        summary: S::SUMMARY.to_owned(),
        input_schema: finish(input, S::TITLE),
        output_schema: finish(outputs, S::TITLE),
    }
}

pub(crate) fn finish(mut schema: Schema, title: &str) -> String {
    schema.insert("title".to_owned(), Value::from(title));
    schema.remove("description");
    schema.to_value().to_string()
}

/// Reads the input and runs the step. [`export_job_step!`](crate::export_job_step) calls it.
///
/// # Errors
/// `invalid-input` where the input does not fit, or what the step gives.
pub fn run_job_step<S: JobStep>(input: &str) -> Result<(), Failure> {
    // A panic ends the instance without a word: this is the only place where its message can be kept.
    std::panic::set_hook(Box::new(|panic| log::write(Level::Error, &format!("the plugin broke: {panic}"))));
    S::run(read_input(input)?)
}

pub(crate) fn read_input<T: DeserializeOwned>(input: &str) -> Result<T, Failure> {
    let mut value: Value = serde_json::from_str(input)
        .map_err(|error| Failure::invalid_input(format!("the step's configuration is no JSON: {error}")))?;
    if let Value::Object(members) = &mut value {
        members.retain(|_, value| match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            _ => true,
        });
    }
    serde_json::from_value(value).map_err(|error| Failure::invalid_input(format!("the step's configuration: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::AwsConnection;
    use crate::{CommaList, Polling, TimeSpan};
    use serde::Deserialize;

    struct Step;

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        /// Ids.
        #[schemars(title = "Instance ID")]
        instance_id: CommaList,
        comment: Option<String>,
        #[serde(flatten)]
        polling: Polling<600>,
        #[serde(flatten)]
        aws: AwsConnection,
    }

    #[derive(serde::Serialize, JsonSchema)]
    struct Outputs {
        /// How many.
        count: u32,
    }

    impl JobStep for Step {
        const PROVIDER: &'static str = "test-step";
        const TITLE: &'static str = "Test";
        const SUMMARY: &'static str = "Tests.";
        type Input = Input;
        type Outputs = Outputs;

        fn run(_: Input) -> Result<(), Failure> {
            Ok(())
        }
    }

    crate::export_job_step!(Step);

    #[test]
    fn schemas_have_no_references_and_keep_the_extension_keywords() {
        let description = describe::<Step>();
        assert!(!description.input_schema.contains("$ref"), "{}", description.input_schema);
        let schema: Value = serde_json::from_str(&description.input_schema).unwrap();
        assert_eq!(schema["title"], "Test");
        assert_eq!(schema["required"], serde_json::json!(["instanceId"]));
        let properties = &schema["properties"];
        assert_eq!(properties["instanceId"]["title"], "Instance ID");
        assert_eq!(properties["timeout"]["default"], "10m");
        assert_eq!(properties["pollInterval"]["type"], serde_json::json!(["string", "number"]));
        for (name, keyword) in [
            ("region", "region"),
            ("accessKey", "access-key"),
            ("secretKey", "secret-key"),
            ("assumeRoleArn", "role"),
            ("externalId", "external-id"),
            ("endpoint", "endpoint"),
        ] {
            assert_eq!(properties[name]["x-outrigger-credential"], keyword, "{name}: {}", properties[name]);
        }
        let outputs: Value = serde_json::from_str(&description.output_schema).unwrap();
        assert_eq!(outputs["properties"]["count"]["description"], "How many.");
    }

    #[test]
    fn blank_fields_are_absent() {
        let input: Input = read_input(r#"{"instanceId": "i-1, i-2", "comment": "  ", "timeout": null}"#).unwrap();
        assert_eq!(&*input.instance_id, ["i-1".to_owned(), "i-2".to_owned()]);
        assert_eq!(input.comment, None);
        assert_eq!(input.polling.timeout, TimeSpan::from_seconds(600));
        assert_eq!(input.aws.region, None);
        let failure = read_input::<Input>(r#"{"instanceId": ""}"#).err().unwrap();
        assert!(failure.message.contains("missing field `instanceId`"), "{}", failure.message);
    }
}
