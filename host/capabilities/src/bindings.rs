//! The contract, as Rust: generated from the WIT.

#![expect(missing_docs, reason = "the documentation stands in the WIT files that this is generated from")]

/// The imports: one `Host` trait per interface.
pub mod imports {
    wasmtime::component::bindgen!({
        path: [
            "wit/outrigger-step",
            "wit/outrigger-run",
            "wit/outrigger-workspace",
            "wit/outrigger-secrets",
            "wit/outrigger-http",
            "wit/outrigger-credential-provider",
            "wit/outrigger-aws",
            "wit/outrigger-aws-sts",
            "wit/outrigger-aws-ec2",
            "wit/outrigger-aws-autoscaling",
            "wit/outrigger-aws-s3",
            "wit/outrigger-aws-ssm",
            "wit/outrigger-aws-athena",
            "wit/outrigger-aws-logs",
            "wit/outrigger-aws-lambda",
            "wit/outrigger-plugin",
        ],
        world: "outrigger:plugin/host",
        imports: {
            "outrigger:run/log@0.1.0": trappable,
            "outrigger:run/output@0.1.0": trappable,
            default: async | trappable,
        },
        with: {
            "outrigger:aws/credentials@0.1.0.credentials": crate::CredentialsHandle,
            "outrigger:secrets/secrets@0.1.0.secret": crate::SecretHandle,
        },
        additional_derives: [serde::Serialize, serde::Deserialize, PartialEq],
        require_store_data_send: true,
    });
}

pub use imports::outrigger;

/// The exports of a job step.
pub mod job_step {
    wasmtime::component::bindgen!({
        path: ["wit/outrigger-step"],
        inline: "package outrigger:exports; world job-step { export outrigger:step/job-step@0.1.0; }",
        exports: { default: async },
        with: { "outrigger:step/types@0.1.0": super::imports::outrigger::step::types },
        require_store_data_send: true,
    });
}

/// The exports of a credential provider.
pub mod credential_provider {
    wasmtime::component::bindgen!({
        path: ["wit/outrigger-step", "wit/outrigger-secrets", "wit/outrigger-credential-provider"],
        inline: "package outrigger:exports; world credential-provider { export outrigger:credential-provider/provider@0.1.0; }",
        exports: { default: async },
        with: {
            "outrigger:step/types@0.1.0": super::imports::outrigger::step::types,
            "outrigger:secrets/secrets@0.1.0": super::imports::outrigger::secrets::secrets,
        },
        require_store_data_send: true,
    });
}
