//! The face of a credential provider, and the code between it and the component's exports.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::outrigger::secrets::secrets::Secret;
use crate::bindings::outrigger::step::types::Description;
use crate::log::{self, Level};
use crate::provider_bindings::exports::outrigger::credential_provider::provider as contract;
use crate::step::{finish, read_input};

pub use crate::bindings::outrigger::secrets::reveal::reveal;
pub use crate::provider_bindings::outrigger::secrets::seal::seal;

/// A source of AWS credentials.
///
/// The operator names it in the configuration: `provider = "component"`, `name` and, under `config`, what its input schema asks
/// for. A field that is marked with `x-outrigger-secret` is configured with the path of a stored key, and never arrives in the
/// input: ask [`secrets::get`](crate::secrets::get) for its handle. [`seal`] needs the operator's grant, and so does [`reveal`].
pub trait CredentialProvider {
    /// Name that the configuration and `outrigger plugin` use, such as `json-key-provider`.
    const PROVIDER: &'static str;
    /// Title for people.
    const TITLE: &'static str;
    /// What it does, in one or two sentences.
    const SUMMARY: &'static str;
    /// The configuration.
    type Input: DeserializeOwned + JsonSchema;

    /// Gives credentials. The host asks again shortly before they expire.
    ///
    /// # Errors
    /// Whatever keeps it from giving some; a person reads the message where the credentials are asked for.
    fn provide(input: Self::Input) -> Result<AwsCredentials, Failure>;
}

/// AWS credentials, with their secret parts sealed.
#[derive(Debug)]
pub struct AwsCredentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret,
    /// Session token of temporary credentials.
    pub session_token: Option<Secret>,
    /// When they expire, in milliseconds since 1970-01-01T00:00:00Z; none where they do not.
    pub expiration: Option<u64>,
}

/// Exports a [`CredentialProvider`] as the component's world `credential-provider`.
#[macro_export]
macro_rules! export_credential_provider {
    ($provider:ty) => {
        const _: () = {
            use $crate::provider_bindings::exports::outrigger::credential_provider::provider;

            struct Component;

            impl provider::Guest for Component {
                fn describe() -> $crate::bindings::outrigger::step::types::Description {
                    $crate::provider::describe::<$provider>()
                }

                fn provide(input: String) -> Result<provider::AwsCredentials, $crate::Failure> {
                    $crate::provider::run::<$provider>(&input)
                }
            }

            // Names of exports that hold `:` and `/` are none that every native linker takes.
            #[cfg(target_family = "wasm")]
    $crate::provider_bindings::export!(Component with_types_in $crate::provider_bindings);
            #[cfg(not(target_family = "wasm"))]
            const _: fn(String) -> Result<provider::AwsCredentials, $crate::Failure> =
                <Component as provider::Guest>::provide;
            #[cfg(not(target_family = "wasm"))]
            const _: fn() -> $crate::bindings::outrigger::step::types::Description =
                <Component as provider::Guest>::describe;
        };
    };
}

/// What a provider says of itself. [`export_credential_provider!`](crate::export_credential_provider) calls it.
#[must_use]
pub fn describe<P: CredentialProvider>() -> Description {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    Description {
        provider: P::PROVIDER.to_owned(),
        title: P::TITLE.to_owned(),
        summary: P::SUMMARY.to_owned(),
        input_schema: finish(settings.into_generator().into_root_schema_for::<P::Input>(), P::TITLE),
        // Credentials go to the host and to nobody else.
        output_schema: r#"{"type":"object"}"#.to_owned(),
    }
}

/// Reads the input and asks the provider. [`export_credential_provider!`](crate::export_credential_provider) calls it.
///
/// # Errors
/// `invalid-input` where the input does not fit, or what the provider gives.
pub fn run<P: CredentialProvider>(input: &str) -> Result<contract::AwsCredentials, Failure> {
    // The message of a panic may hold what was revealed, so only its place is told.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::write(Level::Error, &format!("the credential provider broke at {place}"));
    }));
    let given = P::provide(read_input(input)?)?;
    Ok(contract::AwsCredentials {
        access_key_id: given.access_key_id,
        secret_access_key: given.secret_access_key,
        session_token: given.session_token,
        expiration: given.expiration,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::Value;

    struct Provider;

    #[derive(Deserialize, JsonSchema)]
    struct Input {
        /// Path of a stored key.
        #[schemars(with = "String", extend("x-outrigger-secret" = true))]
        #[serde(default)]
        #[expect(dead_code, reason = "the host keeps it; here is only what the schema says")]
        secret: Option<String>,
    }

    impl CredentialProvider for Provider {
        const PROVIDER: &'static str = "test-provider";
        const TITLE: &'static str = "Test";
        const SUMMARY: &'static str = "Tests.";
        type Input = Input;

        fn provide(_: Input) -> Result<AwsCredentials, Failure> {
            Err(Failure::not_found("nothing is here"))
        }
    }

    crate::export_credential_provider!(Provider);

    #[test]
    fn a_description_has_the_schema_of_the_input() {
        let description = describe::<Provider>();
        assert_eq!(description.provider, "test-provider");
        let schema: Value = serde_json::from_str(&description.input_schema).unwrap();
        assert_eq!(schema["properties"]["secret"]["x-outrigger-secret"], true);
        assert_eq!(schema["title"], "Test");
    }

    #[test]
    fn a_refusal_and_a_wrong_input_reach_the_host() {
        assert_eq!(run::<Provider>("{}").unwrap_err().message, "nothing is here");
        assert!(run::<Provider>("[").unwrap_err().message.contains("no JSON"));
    }
}
