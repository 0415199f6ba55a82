//! The parameters of a document, and the text of a script with its environment and user.

use outrigger_plugin_sdk::aws::ssm::Parameter;
use outrigger_plugin_sdk::json::{Map, Value};
use outrigger_plugin_sdk::{Failure, TimeSpan};

use crate::Input;

/// Document that runs a shell script.
pub const SHELL: &str = "AWS-RunShellScript";

/// Document that runs a PowerShell script.
pub const POWERSHELL: &str = "AWS-RunPowerShellScript";

/// Time that a script gets where none is given, which is what these documents say themselves.
const EXECUTION_TIMEOUT: TimeSpan = TimeSpan::from_seconds(3_600);

/// Most that these documents take: 48 hours.
const LONGEST_EXECUTION: TimeSpan = TimeSpan::from_seconds(172_800);

/// Whether the document is one of the two that run a script.
pub fn is_script(document: &str) -> bool {
    matches!(document.rsplit('/').next(), Some(SHELL | POWERSHELL))
}

/// Time that the command may take on a node.
pub fn execution_timeout(input: &Input) -> Result<TimeSpan, Failure> {
    match input.execution_timeout {
        None => Ok(EXECUTION_TIMEOUT),
        Some(timeout) if (TimeSpan::from_seconds(1)..=LONGEST_EXECUTION).contains(&timeout) => Ok(timeout),
        Some(timeout) => Err(Failure::invalid_input(format!(
            "`executionTimeout` is {timeout}; Systems Manager takes 1 second to 48 hours"
        ))),
    }
}

/// The parameters that the document gets.
pub fn parameters(input: &Input, document: &str) -> Result<Vec<Parameter>, Failure> {
    let mut parameters = match &input.parameters {
        None => Vec::new(),
        Some(given) => from_json(&given.0)?,
    };
    let mut add = |name: &str, value: String| {
        if parameters.iter().any(|parameter| parameter.name == name) {
            return Err(Failure::invalid_input(format!("`{name}` is given twice: as a field, and in `parameters`")));
        }
        parameters.push(Parameter { name: name.to_owned(), values: vec![value] });
        Ok(())
    };
    match &input.commands {
        Some(commands) => add("commands", script(input, document, commands)?)?,
        None if input.run_as.is_some() || input.environment.is_some() => {
            return Err(Failure::invalid_input("`runAs` and `environment` are for `commands`, which is blank"));
        }
        None => {}
    }
    if let Some(folder) = &input.working_directory {
        add("workingDirectory", folder.clone())?;
    }
    let timeout = execution_timeout(input)?;
    let given = input.parameters.as_ref().is_some_and(|given| given.0.get("executionTimeout").is_some());
    if input.execution_timeout.is_some() || (is_script(document) && !given) {
        add("executionTimeout", timeout.seconds().to_string())?;
    }
    Ok(parameters)
}

fn from_json(value: &Value) -> Result<Vec<Parameter>, Failure> {
    let wrong = || Failure::invalid_input("`parameters` is no JSON object of texts or lists of texts");
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(wrong()),
    };
    let values = |value: &Value| match value {
        Value::Array(items) => items.iter().map(text).collect(),
        // A parameter of the type StringMap is handed over as JSON.
        Value::Object(_) => Ok(vec![value.to_string()]),
        other => Ok(vec![text(other)?]),
    };
    let members = value.as_object().ok_or_else(wrong)?;
    members.iter().map(|(name, value)| Ok(Parameter { name: name.clone(), values: values(value)? })).collect()
}

fn script(input: &Input, document: &str, commands: &str) -> Result<String, Failure> {
    let empty = Map::new();
    let environment = match &input.environment {
        None => &empty,
        Some(environment) => environment
            .0
            .as_object()
            .ok_or_else(|| Failure::invalid_input("`environment` is no JSON object, such as {\"STAGE\": \"test\"}"))?,
    };
    let powershell = document.rsplit('/').next() == Some(POWERSHELL);
    let mut script = String::new();
    for (name, value) in environment {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(Failure::invalid_input(format!("`environment` has `{name}`, which is no name of a variable")));
        }
        script += &if powershell {
            format!("$env:{name} = '{}'\n", value.replace('\'', "''"))
        } else {
            format!("export {name}={}\n", quoted(&value))
        };
    }
    script += commands;
    match &input.run_as {
        None => Ok(script),
        Some(_) if powershell => Err(Failure::invalid_input("`runAs` works with shell scripts only")),
        Some(user) => Ok(format!("sudo -n -H -u {} -- /bin/sh -c {}", quoted(user), quoted(&script))),
    }
}

/// A word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::{self, json};

    fn parameters_of(value: Value, document: &str) -> Result<Value, Failure> {
        let input: Input = json::from_value(value).unwrap();
        let parameters = parameters(&input, document)?;
        Ok(parameters
            .into_iter()
            .map(|parameter| (parameter.name, Value::from(parameter.values)))
            .collect::<Map<_, _>>()
            .into())
    }

    #[test]
    fn scripts_get_their_environment_and_user() {
        let input = json!({
            "commands": "echo \"$A\"",
            "environment": {"A": "it's"},
            "runAs": "deploy",
            "workingDirectory": "/srv",
            "executionTimeout": "2m"
        });
        let wanted = r#"sudo -n -H -u 'deploy' -- /bin/sh -c 'export A='\''it'\''\'\'''\''s'\''
echo "$A"'"#;
        assert_eq!(
            parameters_of(input, SHELL).unwrap(),
            json!({"commands": [wanted], "workingDirectory": ["/srv"], "executionTimeout": ["120"]})
        );
        let windows = json!({"commands": "dir", "environment": "{\"A\": \"it's\"}"});
        assert_eq!(
            parameters_of(windows, POWERSHELL).unwrap(),
            json!({"commands": ["$env:A = 'it''s'\ndir"], "executionTimeout": ["3600"]})
        );
    }

    #[test]
    fn other_documents_get_what_is_given_and_no_more() {
        let input = json!({"parameters": {"Operation": "Scan", "Count": 2, "Names": ["a", "b"], "Map": {"x": "y"}}});
        assert_eq!(
            parameters_of(input, "AWS-RunPatchBaseline").unwrap(),
            json!({"Operation": ["Scan"], "Count": ["2"], "Names": ["a", "b"], "Map": ["{\"x\":\"y\"}"]})
        );
    }

    #[test]
    fn contradictions_are_refused() {
        for (input, part) in [
            (json!({"commands": "x", "parameters": {"commands": ["y"]}}), "twice"),
            (json!({"runAs": "x"}), "blank"),
            (json!({"commands": "x", "environment": {"A B": "1"}}), "`A B`"),
            (json!({"commands": "x", "environment": {"1A": "1"}}), "`1A`"),
            (json!({"commands": "x", "executionTimeout": "3d"}), "48 hours"),
            (json!({"parameters": [1]}), "no JSON object"),
        ] {
            let message = parameters_of(input, SHELL).unwrap_err().message;
            assert!(message.contains(part), "{message}");
        }
        let windows = json!({"commands": "x", "runAs": "u"});
        assert!(parameters_of(windows, POWERSHELL).is_err());
    }
}
