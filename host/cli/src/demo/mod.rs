//! `demo`: the example jobs against third-party AWS endpoints on this machine.

mod calls;
mod examples;
mod world;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use outrigger_config::new_external_id;
use outrigger_endpoints::{Bundled, EndpointError, Ministack, Moto, Options, RecordedExchanges};
use serde_json::Value;

use crate::app::App;
use crate::output::style::Style;
use crate::output::time;
use crate::trouble::{Outcome, SUCCEEDED, Trouble};
use calls::CallTable;
use examples::{As, Run};
use world::{Identities, World};

/// The project that has credentials of its own.
const PROJECT: &str = "web";
/// Tells that a demo made the home.
const MARKER: &str = ".demo";
/// Where the secret keys of the two users are kept.
const SYSTEM_KEY: &str = "keys/aws/outrigger";
const PROJECT_KEY: &str = "keys/project/web/aws";

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs Python 3.10 or newer with venv. The first time it fetches the endpoints (ministack and moto, pinned by version and \
hash) into a virtual environment of their own, and says how large they are. Nothing leaves this machine after that.")]
pub(crate) struct Arguments {
    /// Leave the endpoints running at the end, and say how to go on
    #[arg(long)]
    keep: bool,
    /// Folder for the demo's home; `target/demo` without it. What an earlier demo left there is removed
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl From<EndpointError> for Trouble {
    fn from(error: EndpointError) -> Self {
        Self::failed(error.to_string())
    }
}

/// Carries the command out.
pub(crate) fn run(app: &App, arguments: &Arguments) -> Outcome {
    let started = Instant::now();
    App::runtime()?.block_on(async {
        say(app.style(), "starting AWS endpoints on 127.0.0.1")?;
        let demo = Demo::prepare(app.style(), started, arguments.dir.as_deref())?;
        let endpoints = Endpoints::start().await?;
        endpoints.explain()?;
        let world = demo.set_up(&endpoints).await?;
        let (table, failed) = demo.run_all(&world)?;
        demo.conclude(&table)?;
        if arguments.keep {
            demo.keep(endpoints, &world)?;
        } else {
            drop(endpoints);
            say(app.style(), "the endpoints are stopped; `demo --keep` leaves them running")?;
        }
        match failed.as_slice() {
            [] => Ok(ExitCode::from(SUCCEEDED)),
            failed => {
                Err(Trouble::failed(format!("{} of the demo's runs failed: {}", failed.len(), failed.join(", "))))
            }
        }
    })
}

/// A line of the demo's own, apart from what it runs.
fn say(style: Style, text: &str) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {text}", style.blue("==>"))?;
    Ok(out.flush()?)
}

/// The servers.
struct Endpoints {
    ministack: Ministack,
    moto: Moto,
    ssm: RecordedExchanges,
}

impl Endpoints {
    async fn start() -> Result<Self, EndpointError> {
        let (ministack, moto) = tokio::try_join!(Ministack::start(Options::default()), Moto::start())?;
        let ssm = RecordedExchanges::bundled(Bundled::SsmTwoNodes, Some(&ministack.url()))?;
        Ok(Self { ministack, moto, ssm })
    }

    fn explain(&self) -> Result<(), Trouble> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "    {}  ministack: most services; it checks identities and policies", self.ministack.url())?;
        writeln!(
            out,
            "    {}  moto: Auto Scaling, whose groups have instances here; it checks no identity",
            self.moto.url()
        )?;
        writeln!(
            out,
            "    {}  Systems Manager: neither can run a command, so the answers are recorded ones,",
            self.ssm.url()
        )?;
        writeln!(out, "    {:width$}  written from AWS's documentation", "", width = self.ssm.url().len())?;
        Ok(out.flush()?)
    }
}

/// A demo that is under way.
struct Demo {
    style: Style,
    started: Instant,
    program: PathBuf,
    home: PathBuf,
}

impl Demo {
    /// Makes an empty home.
    fn prepare(style: Style, started: Instant, dir: Option<&Path>) -> Result<Self, Trouble> {
        let program = std::env::current_exe().map_err(|error| Trouble::file("find", "this program", &error))?;
        let folder = match dir {
            Some(dir) => std::path::absolute(dir).map_err(|error| Trouble::file("find", dir, &error))?,
            None => folder(&program),
        };
        let home = folder.join("home");
        if home.exists() {
            if !home.join(MARKER).is_file() {
                return Err(Trouble::input(
                    format!("{} is there already, and no demo made it", home.display()),
                    "name another folder with --dir",
                ));
            }
            std::fs::remove_dir_all(&home).map_err(|error| Trouble::file("remove", &home, &error))?;
        }
        let demo = Self { style, started, program, home };
        demo.write(Path::new(MARKER), "Made by `outrigger demo`, and removed by the next one.\n")?;
        for example in examples::ALL {
            demo.write(&Path::new("examples").join(example.name), example.text)?;
        }
        demo.write(&Path::new("projects").join(PROJECT).join("project.toml"), "")?;
        demo.write(Path::new("outrigger.toml"), "")?;
        Ok(demo)
    }

    fn write(&self, name: &Path, text: &str) -> Result<(), Trouble> {
        let path = self.home.join(name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&path, text)).map_err(|error| Trouble::file("write", &path, &error))
    }

    /// This program, in the demo's home and without the AWS settings of whoever runs it.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("AWS_") || name.starts_with("OUTRIGGER_")) {
                command.env_remove(name);
            }
        }
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1").env("AWS_EC2_METADATA_DISABLED", "true");
        command
            .arg("--home")
            .arg(&self.home)
            .args(["--color", if self.style.has_colours() { "always" } else { "never" }]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// What a command prints; its failure is ours.
    fn output(&self, arguments: &[&str], input: Option<&str>) -> Result<String, Trouble> {
        let started = |error| Trouble::file("start", &self.program, &error);
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(started)?;
        if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
            pipe.write_all(input.as_bytes()).map_err(started)?;
        }
        let output = child.wait_with_output().map_err(started)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Trouble::failed(format!("`outrigger {}` failed:\n{}", arguments.join(" "), said.trim_end())))
    }

    /// Makes the accounts, and a home that works in them.
    async fn set_up(&self, endpoints: &Endpoints) -> Result<World, Trouble> {
        say(self.style, "making a user, roles and something to work with in three AWS accounts")?;
        let [system_id, project_id] = [new_external_id()?, new_external_id()?];
        let system = self.policy(|example| example.name != "publish-site.yaml")?;
        let project = self.policy(|example| ["whoami.yaml", "publish-site.yaml"].contains(&example.name))?;
        let identities =
            world::identities(&endpoints.ministack, [&system_id, &project_id], [&system, &project]).await?;
        let world = world::furnish(&endpoints.ministack, &endpoints.moto, &self.home.join("site")).await?;
        let ssm = format!("ssm = \"{}\"\n", endpoints.ssm.url());
        self.write(Path::new("outrigger.toml"), &system_file(endpoints, &identities, &ssm))?;
        self.write(&Path::new("projects").join(PROJECT).join("project.toml"), &project_file(&identities))?;
        self.output(&["keys", "put", SYSTEM_KEY], Some(&identities.system.user.secret))?;
        self.output(&["keys", "put", PROJECT_KEY], Some(&identities.project.user.secret))?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "    system:      {} assumes {}", identities.system.user_arn, identities.system.role_arn)?;
        writeln!(out, "    project web: {} assumes {}", identities.project.user_arn, identities.project.role_arn)?;
        writeln!(
            out,
            "    both roles trust with an external id, and allow what `outrigger job policy` prints for the jobs"
        )?;
        writeln!(out, "    home:        {}", self.home.display())?;
        out.flush()?;
        Ok(world)
    }

    /// The least policy for some of the examples, as the documentation tells people to make it.
    fn policy(&self, wanted: impl Fn(&examples::Example) -> bool) -> Result<Value, Trouble> {
        let mut policies = Vec::new();
        for example in examples::ALL.iter().filter(|example| wanted(example)) {
            let file = self.example(example.name);
            let printed = self.output(&["job", "policy", &file], None)?;
            policies.push(
                serde_json::from_str(&printed)
                    .map_err(|error| Trouble::failed(format!("the policy for {file} is no JSON: {error}")))?,
            );
        }
        Ok(world::merged(&policies))
    }

    fn example(&self, name: &str) -> String {
        self.home.join("examples").join(name).display().to_string()
    }

    /// Runs all jobs; what they called, and which of them failed.
    fn run_all(&self, world: &World) -> Result<(CallTable, Vec<String>), Trouble> {
        let mut table = CallTable::default();
        let mut failed = Vec::new();
        for (number, run) in examples::runs(world).iter().enumerate() {
            let succeeded = self.run_one(number, run)?;
            if !succeeded {
                failed.push(format!("`{}`", run.job));
            }
            let project = if run.identity == As::Project { " (web)" } else { "" };
            table.add(&format!("{}{project}", run.job), &self.output(&["audit", "last", "--format", "json"], None)?);
        }
        Ok((table, failed))
    }

    fn run_one(&self, number: usize, run: &Run) -> Result<bool, Trouble> {
        let file = self.example(run.example.name);
        let mut arguments = vec!["run", file.as_str()];
        if run.identity == As::Project {
            arguments.extend(["--project", PROJECT]);
        }
        arguments.extend(run.arguments.iter().map(String::as_str));
        println!();
        say(self.style, &format!("{}\n    {}", run.what, self.style.dim(&self.shown(&arguments))))?;
        let broken = |error| Trouble::file("run", &self.program, &error);
        let mut command = self.command(&arguments);
        if number > 0 {
            return Ok(command.status().map_err(broken)?.success());
        }
        // The first run's output passes through here, to see when it begins.
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(broken)?;
        let mut first = None;
        if let Some(mut pipe) = child.stdout.take() {
            let mut buffer = [0_u8; 8_192];
            loop {
                let count = pipe.read(&mut buffer).map_err(broken)?;
                if count == 0 {
                    break;
                }
                first.get_or_insert_with(|| self.started.elapsed());
                let mut out = std::io::stdout().lock();
                out.write_all(buffer.get(..count).unwrap_or_default())?;
                out.flush()?;
            }
        }
        let succeeded = child.wait().map_err(broken)?.success();
        say(
            self.style,
            &format!("first output of a job {} after the start of the demo", seconds(first.unwrap_or_default())),
        )?;
        Ok(succeeded)
    }

    /// The command as a person would type it, with paths from the working folder where they are shorter.
    fn shown(&self, arguments: &[&str]) -> String {
        let here = std::env::current_dir().unwrap_or_default();
        let words = ["outrigger", "--home", &self.home.display().to_string()]
            .into_iter()
            .chain(arguments.iter().copied())
            .map(|word| {
                let word = word.replace(&format!("{}/", here.display()), "");
                if word.contains(' ') { format!("'{word}'") } else { word }
            })
            .collect::<Vec<_>>();
        words.join(" ")
    }

    fn conclude(&self, table: &CallTable) -> Result<(), Trouble> {
        let plugins = self.output(&["plugin", "list", "--format", "json"], None)?;
        let plugins: Value = serde_json::from_str(&plugins)
            .map_err(|error| Trouble::failed(format!("the list of plugins is no JSON: {error}")))?;
        println!();
        say(
            self.style,
            &format!("{} calls to AWS, from the audit, beside everything that the step was permitted", table.count()),
        )?;
        let mut out = std::io::stdout().lock();
        write!(out, "{}", table.table(&plugins).render(self.style, "", 60))?;
        writeln!(out)?;
        out.flush()?;
        drop(out);
        say(self.style, &format!("the demo took {}", seconds(self.started.elapsed())))
    }

    /// Leaves the servers to themselves.
    fn keep(&self, endpoints: Endpoints, world: &World) -> Result<(), Trouble> {
        // The recorded answers end with this process.
        let file = self.home.join("outrigger.toml");
        let text = std::fs::read_to_string(&file).map_err(|error| Trouble::file("read", &file, &error))?;
        let kept: String =
            text.lines().filter(|line| !line.starts_with("ssm = ")).map(|line| format!("{line}\n")).collect();
        self.write(Path::new("outrigger.toml"), &kept)?;
        let (ministack, moto) = (endpoints.ministack.keep()?, endpoints.moto.keep()?);
        let instances = format!("instances={}", world.instances.join(","));
        say(self.style, "the endpoints go on running, without the recorded answers of Systems Manager. Go on with")?;
        let mut out = std::io::stdout().lock();
        let file = self.example("instances.yaml");
        for arguments in [
            vec!["run", &file, "--job", "Stop instances", "-o", &instances, "--dry-run"],
            vec!["run", &file, "--job", "Stop instances", "-o", &instances],
            vec!["credentials", "validate", "--project", PROJECT],
            vec!["runs"],
            vec!["audit", "last"],
        ] {
            writeln!(out, "    {}", self.shown(&arguments))?;
        }
        writeln!(out, "The AWS CLI works there too, as the root of the account that the jobs work in:")?;
        writeln!(
            out,
            "    AWS_ENDPOINT_URL={} AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY=root AWS_DEFAULT_REGION=us-east-1 aws ec2 describe-instances",
            ministack.url,
            world::TARGET
        )?;
        writeln!(out, "Stop them with")?;
        writeln!(out, "    kill -- -{} -{}", ministack.group, moto.group)?;
        Ok(out.flush()?)
    }
}

/// `target/demo`: beside the program's own build, else below the working folder.
fn folder(program: &Path) -> PathBuf {
    let built = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let here = || std::env::current_dir().unwrap_or_default().join("target");
    built.map_or_else(here, Path::to_owned).join("demo")
}

fn seconds(span: Duration) -> String {
    time::duration(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn system_file(endpoints: &Endpoints, identities: &Identities, ssm: &str) -> String {
    let access = &identities.system;
    format!(
        "[aws]\n\
         region = \"us-east-1\"\n\
         endpoint-url = \"{ministack}\"\n\
         s3-path-style = true\n\
         \n\
         [aws.endpoint-urls]\n\
         autoscaling = \"{moto}\"\n\
         {ssm}\n\
         {block}",
        ministack = endpoints.ministack.url(),
        moto = endpoints.moto.url(),
        block = block(access, SYSTEM_KEY),
    )
}

fn project_file(identities: &Identities) -> String {
    block(&identities.project, PROJECT_KEY)
}

fn block(access: &outrigger_endpoints::OutriggerAccess, key: &str) -> String {
    format!(
        "[aws.credentials]\n\
         provider = \"assume-role\"\n\
         role-arn = \"{}\"\n\
         external-id = \"{}\"\n\
         source = {{ provider = \"access-key\", access-key-id = \"{}\", secret-key = \"{key}\" }}\n",
        access.role_arn, access.external_id, access.user.access
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_the_build() {
        let built = tempfile::tempdir().unwrap();
        std::fs::write(built.path().join("CACHEDIR.TAG"), "").unwrap();
        assert_eq!(folder(&built.path().join("release/outrigger")), built.path().join("demo"));
        assert!(folder(Path::new("/nowhere/outrigger")).ends_with("target/demo"));
    }
}
