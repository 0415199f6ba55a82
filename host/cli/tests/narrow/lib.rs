//! A step that calls everything that its contract has, as tools do that import whole interfaces.

wit_bindgen::generate!({ path: "narrowed", world: "job-step", generate_all });

use exports::outrigger::step::job_step::{Description, Failure, Guest};
use outrigger::aws::credentials;
use outrigger::aws_ec2::instances;
use outrigger::run::log;

struct Component;

impl Guest for Component {
    fn describe() -> Description {
        Description {
            provider: "narrow".to_owned(),
            title: "Narrow".to_owned(),
            summary: "Calls what it may.".to_owned(),
            input_schema: "{}".to_owned(),
            output_schema: "{}".to_owned(),
        }
    }

    fn run(input: String) -> Result<(), Failure> {
        log::write(log::Level::Info, &input);
        log::document("text/plain", &input);
        log::progress(1, None, "calls");
        let credentials = credentials::default()?;
        let instance_ids = vec![input];
        instances::start_instances(
            &credentials,
            &instances::StartInstancesInput { instance_ids: instance_ids.clone() },
        )?;
        let asked = instances::DescribeInstancesInput {
            instance_ids,
            filters: Vec::new(),
            max_results: None,
            next_token: None,
        };
        instances::describe_instances(&credentials, &asked)?;
        Ok(())
    }
}

export!(Component);
