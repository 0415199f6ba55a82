//! The contract of the world `credential-provider`, as Rust. What both worlds have is taken from [`bindings`](crate::bindings), so
//! that a handle or a failure is the same type in both.

#![expect(missing_docs, reason = "the documentation stands in the WIT files that this is generated from")]

wit_bindgen::generate!({
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
    world: "outrigger:plugin/credential-provider",
    with: {
        "outrigger:step/types@0.1.0": crate::bindings::outrigger::step::types,
        "outrigger:run/log@0.1.0": crate::bindings::outrigger::run::log,
        "outrigger:run/clock@0.1.0": crate::bindings::outrigger::run::clock,
        "outrigger:secrets/secrets@0.1.0": crate::bindings::outrigger::secrets::secrets,
        "outrigger:secrets/reveal@0.1.0": crate::bindings::outrigger::secrets::reveal,
        "outrigger:http/client@0.1.0": crate::bindings::outrigger::http::client,
    },
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "outrigger_plugin_sdk::provider_bindings",
});
