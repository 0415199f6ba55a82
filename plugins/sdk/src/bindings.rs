//! The contract, as Rust: generated from the WIT.

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
    world: "outrigger:plugin/job-step",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "outrigger_plugin_sdk::bindings",
});
