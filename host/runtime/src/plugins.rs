//! The plugins of a home: bundled ones and added ones, found by provider id, compiled when they are first used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use outrigger_capabilities::bindings::{credential_provider, job_step};
use outrigger_capabilities::state::{StepContext, StepState};
use outrigger_door::{Failure, Lifetime};
use outrigger_redaction::Redactor;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cache::Cache;
use crate::component::{self, ComponentInfo};
use crate::describe;
use crate::engine::{self, EngineLimits};
use crate::error::RuntimeError;
use crate::sandbox::{self, Guest, Instantiating, SandboxEnd, SandboxLimits};
use crate::schema;

/// How components of others are compiled: Cranelift is not meant to be given hostile input without bounds.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// In this process.
    InProcess,
    /// In a child process with limits on memory and time; the program reads a component on its standard input and writes the
    /// artifact to its standard output.
    Child {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// Time that a compilation in a child process gets.
const COMPILE_TIME: Duration = Duration::from_secs(120);
/// Largest artifact, in bytes.
const LARGEST_ARTIFACT: u64 = 512 * 1024 * 1024;

/// Where a component's bytes come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Part of this program.
    Bundled(&'static [u8]),
    /// A file; read when the component is compiled.
    File(PathBuf),
}

/// A plugin that can be run.
pub struct Plugin {
    info: Arc<ComponentInfo>,
    source: Source,
    component: OnceLock<Arc<Compiled>>,
    validator: OnceLock<Result<jsonschema::Validator, String>>,
}

pub(crate) struct Compiled {
    pub(crate) job_step: Option<job_step::JobStepPre<Guest>>,
    pub(crate) credential_provider: Option<credential_provider::CredentialProviderPre<Guest>>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Plugin").field("provider", &self.info.provider).finish_non_exhaustive()
    }
}

impl Plugin {
    /// What is known of it.
    pub fn info(&self) -> &Arc<ComponentInfo> {
        &self.info
    }

    /// Whether it is part of this program.
    pub fn is_bundled(&self) -> bool {
        matches!(self.source, Source::Bundled(_))
    }

    /// Checks an input against the input schema; gives all problems at once.
    pub fn check_input(&self, input: &Value) -> Result<(), Vec<String>> {
        let validator = self.validator.get_or_init(|| schema::validator(&self.info.input_schema));
        let validator = validator.as_ref().map_err(|problem| vec![problem.clone()])?;
        let problems: Vec<String> = validator
            .iter_errors(input)
            .map(|error| {
                let place = error.instance_path().to_string();
                // The value itself stays out: it may be long, and it may be a secret.
                let problem = error.masked().to_string();
                if place.is_empty() { problem } else { format!("{}: {problem}", place.trim_start_matches('/')) }
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// All plugins, by provider id, and the engine that runs them.
pub struct Plugins {
    engine: Engine,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    compiler: Compiler,
    compatibility: String,
    plugins: Mutex<BTreeMap<String, Arc<Plugin>>>,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Plugins").field("compatibility", &self.compatibility).finish_non_exhaustive()
    }
}

impl Plugins {
    /// An empty set. Compiled code is kept in the folder `cache`, if there is one.
    pub fn new(limits: EngineLimits, cache: Option<&Path>, compiler: Compiler) -> Result<Self, RuntimeError> {
        let engine = engine::engine(limits)?;
        let linker = sandbox::linker(&engine)?;
        Ok(Self {
            compatibility: engine::compatibility(&engine),
            linker,
            engine,
            cache: cache.map(Cache::open).transpose()?,
            compiler,
            plugins: Mutex::default(),
        })
    }

    fn map<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Arc<Plugin>>) -> T) -> T {
        look(&mut self.plugins.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a bundled component in. `digest` is that of `bytes`, worked out when the program was built.
    pub async fn add_bundled(&self, name: &str, bytes: &'static [u8], digest: &str) -> Result<(), RuntimeError> {
        let info = match self.stored_info(digest) {
            Some(info) => info,
            None => self.examine(name, bytes, true).await?,
        };
        self.insert(info, Source::Bundled(bytes));
        Ok(())
    }

    /// Takes an added component in: its file, and what was agreed to when it was added.
    pub fn add_file(&self, file: PathBuf, info: ComponentInfo) {
        self.insert(info, Source::File(file));
    }

    fn insert(&self, info: ComponentInfo, source: Source) {
        let plugin = Plugin { info: Arc::new(info), source, component: OnceLock::new(), validator: OnceLock::new() };
        self.map(|plugins| plugins.insert(plugin.info.provider.clone(), Arc::new(plugin)));
    }

    /// The plugin with this provider id.
    pub fn get(&self, provider: &str) -> Option<Arc<Plugin>> {
        self.map(|plugins| plugins.get(provider).cloned())
    }

    /// Every plugin, by provider id.
    pub fn all(&self) -> Vec<Arc<Plugin>> {
        self.map(|plugins| plugins.values().cloned().collect())
    }

    fn info_name(digest: &str) -> String {
        format!("{digest}-{}.json", env!("CARGO_PKG_VERSION"))
    }

    fn stored_info(&self, digest: &str) -> Option<ComponentInfo> {
        let bytes = self.cache.as_ref()?.read(&Self::info_name(digest))?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Checks a component, compiles it and asks it to describe itself. `trusted` components are compiled in this process.
    pub async fn examine(&self, name: &str, bytes: &[u8], trusted: bool) -> Result<ComponentInfo, RuntimeError> {
        component::check_header(name, bytes)?;
        let digest = hex::encode(Sha256::digest(bytes));
        let component = self.compile(name, bytes, &digest, trusted).await?;
        let worlds = component::worlds(name, &self.engine, &component)?;
        let imports = component::imports(&self.engine, &component);
        component::check_imports(name, &imports)?;
        // Names are not all: a function of another type, or something that is no function, shows when it is linked.
        self.linker
            .instantiate_pre(&component)
            .map_err(|error| RuntimeError::Link { name: name.to_owned(), problem: format!("{error:#}") })?;
        let described = describe::describe(name, &self.engine, &component, &worlds).await?;
        let info = ComponentInfo {
            whole_interfaces: component::whole_interfaces(&imports),
            provider: described.provider,
            title: described.title,
            summary: described.summary,
            input_schema: described.input_schema,
            output_schema: described.output_schema,
            worlds,
            imports,
            digest,
            size: bytes.len(),
        };
        if let Some(cache) = &self.cache {
            let text = serde_json::to_vec(&info).map_err(|error| RuntimeError::Engine(error.to_string()))?;
            cache.write(&Self::info_name(&info.digest), &text)?;
        }
        Ok(info)
    }

    async fn compile(&self, name: &str, bytes: &[u8], digest: &str, trusted: bool) -> Result<Component, RuntimeError> {
        let file = format!("{digest}-{}.cwasm", self.compatibility);
        let problem =
            |error: wasmtime::Error| RuntimeError::Compile { name: name.to_owned(), problem: format!("{error:#}") };
        if let Some(artifact) = self.cache.as_ref().and_then(|cache| cache.read(&file)) {
            // SAFETY: the MAC of these very bytes was checked, and only this installation has its key.
            match unsafe { Component::deserialize(&self.engine, &artifact) } {
                Ok(component) => return Ok(component),
                Err(error) => tracing::debug!(%error, name, "a cached artifact does not fit; it is made anew"),
            }
        }
        let artifact = match &self.compiler {
            Compiler::Child { program, arguments } if !trusted => {
                compile_in_child(name, bytes, program, arguments).await?
            }
            _ => {
                let (engine, bytes) = (self.engine.clone(), bytes.to_vec());
                tokio::task::spawn_blocking(move || engine.precompile_component(&bytes))
                    .await
                    .map_err(|error| RuntimeError::Engine(error.to_string()))?
                    .map_err(problem)?
            }
        };
        if let Some(cache) = &self.cache {
            cache.write(&file, &artifact)?;
        }
        // SAFETY: the artifact was made by this program, here or in its child, and did not leave the two.
        unsafe { Component::deserialize(&self.engine, &artifact) }.map_err(problem)
    }

    /// The compiled code of a plugin; compiles it where nobody has yet.
    pub(crate) async fn compiled(&self, plugin: &Plugin) -> Result<Arc<Compiled>, RuntimeError> {
        if let Some(compiled) = plugin.component.get() {
            return Ok(compiled.clone());
        }
        let info = &plugin.info;
        let name = &info.provider;
        let component = match &plugin.source {
            Source::Bundled(bytes) => self.compile(name, bytes, &info.digest, true).await?,
            Source::File(path) => {
                let bytes = tokio::fs::read(path).await.map_err(|error| RuntimeError::io("read", path, error))?;
                component::check_header(name, &bytes)?;
                let found = hex::encode(Sha256::digest(&bytes));
                if found != info.digest {
                    return Err(RuntimeError::OtherDigest { name: name.clone(), found, pinned: info.digest.clone() });
                }
                self.compile(name, &bytes, &info.digest, false).await?
            }
        };
        let link = |error: wasmtime::Error| RuntimeError::Link { name: name.clone(), problem: format!("{error:#}") };
        let pre = self.linker.instantiate_pre(&component).map_err(link)?;
        let has = |world: &str| info.worlds.iter().any(|known| known == world);
        let compiled = Arc::new(Compiled {
            job_step: has("job-step").then(|| job_step::JobStepPre::new(pre.clone())).transpose().map_err(link)?,
            credential_provider: has("credential-provider")
                .then(|| credential_provider::CredentialProviderPre::new(pre.clone()))
                .transpose()
                .map_err(link)?,
        });
        Ok(plugin.component.get_or_init(|| compiled).clone())
    }

    /// Compiles a plugin now, so that its first step does not wait for it.
    pub async fn prepare(&self, plugin: &Plugin) -> Result<(), RuntimeError> {
        self.compiled(plugin).await.map(drop)
    }

    /// Runs a job step: a fresh sandbox, one call. The inner result is the plugin's own.
    pub async fn run_job_step(
        &self,
        plugin: &Plugin,
        context: StepContext,
        input: &str,
        limits: SandboxLimits,
    ) -> Result<Result<Result<(), Failure>, SandboxEnd>, RuntimeError> {
        let compiled = self.compiled(plugin).await?;
        let Some(pre) = compiled.job_step.clone() else {
            return Err(RuntimeError::UnknownPlugin {
                name: plugin.info.provider.clone(),
                suggestion: "; the plugin with this name is no job step".to_owned(),
            });
        };
        let lifetime = context.door.lifetime().clone();
        let redactor = context.door.redactor().clone();
        let state = StepState::new(context);
        let input = input.to_owned();
        let result = sandbox::run(&self.engine, state, limits, lifetime, |store| {
            Box::pin(async move {
                let step = pre.instantiate_async(&mut *store).await.map_err(|error| error.context(Instantiating))?;
                store.data_mut().state.enter();
                step.outrigger_step_job_step().call_run(&mut *store, &input).await
            })
        })
        .await;
        Ok(result.map(|answer| answer.map_err(|failure| masked(&redactor, failure.into()))))
    }

    /// Asks a credential provider for credentials.
    pub async fn provide_credentials(
        &self,
        plugin: &Plugin,
        context: StepContext,
        input: &str,
        limits: SandboxLimits,
    ) -> Result<Result<Result<ProvidedCredentials, Failure>, SandboxEnd>, RuntimeError> {
        let compiled = self.compiled(plugin).await?;
        let Some(pre) = compiled.credential_provider.clone() else {
            return Err(RuntimeError::UnknownPlugin {
                name: plugin.info.provider.clone(),
                suggestion: "; the plugin with this name is no credential provider".to_owned(),
            });
        };
        let lifetime = context.door.lifetime().clone();
        let redactor = context.door.redactor().clone();
        let state = StepState::new(context);
        let input = input.to_owned();
        let result = sandbox::run(&self.engine, state, limits, lifetime, |store| {
            Box::pin(async move {
                let provider =
                    pre.instantiate_async(&mut *store).await.map_err(|error| error.context(Instantiating))?;
                store.data_mut().state.enter();
                let given = provider.outrigger_credential_provider_provider().call_provide(&mut *store, &input).await?;
                Ok(match given {
                    Ok(given) => {
                        let state = &mut store.data_mut().state;
                        Ok(ProvidedCredentials {
                            access_key_id: given.access_key_id,
                            secret_access_key: state.take_secret(given.secret_access_key)?,
                            session_token: given.session_token.map(|token| state.take_secret(token)).transpose()?,
                            expiration_unix_millis: given.expiration,
                        })
                    }
                    Err(failure) => Err(failure),
                })
            })
        })
        .await;
        Ok(result.map(|answer| answer.map_err(|failure| masked(&redactor, failure.into()))))
    }
}

/// A guest's own failure may hold what a service told it.
fn masked(redactor: &Redactor, mut failure: Failure) -> Failure {
    for text in std::iter::once(&mut failure.message).chain(&mut failure.code) {
        if let std::borrow::Cow::Owned(masked) = redactor.redact(text) {
            *text = masked;
        }
    }
    failure
}

/// What a credential provider gave.
#[derive(Clone, Debug)]
pub struct ProvidedCredentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: outrigger_redaction::Secret,
    /// Session token of temporary credentials.
    pub session_token: Option<outrigger_redaction::Secret>,
    /// When they expire, in milliseconds since 1970; none where they do not.
    pub expiration_unix_millis: Option<u64>,
}

/// A life for calls that belong to no step.
pub fn brief_lifetime(limit: Duration) -> Lifetime {
    Lifetime::new(Some(tokio::time::Instant::now() + limit), Duration::ZERO, CancellationToken::new())
}

async fn compile_in_child(
    name: &str,
    bytes: &[u8],
    program: &Path,
    arguments: &[String],
) -> Result<Vec<u8>, RuntimeError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let fail = |problem: String| RuntimeError::Compile { name: name.to_owned(), problem };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| RuntimeError::io("start", program, error))?;
    let (Some(mut input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(fail("the compiler process has no pipes".to_owned()));
    };
    let talk = async {
        let feed = async {
            // A child that gives up early closes its input; its message tells why.
            drop(input.write_all(bytes).await);
            drop(input);
        };
        let mut artifact = Vec::new();
        let mut complaint = Vec::new();
        let mut output = output.take(LARGEST_ARTIFACT + 1);
        let mut errors = errors.take(16 * 1024);
        let (_, read, _) = tokio::join!(feed, output.read_to_end(&mut artifact), errors.read_to_end(&mut complaint));
        read.map_err(|error| error.to_string())?;
        let status = child.wait().await.map_err(|error| error.to_string())?;
        Ok::<_, String>((status, artifact, complaint))
    };
    let (status, artifact, complaint) = tokio::time::timeout(COMPILE_TIME, talk)
        .await
        .map_err(|_| fail(format!("it took more than {} seconds", COMPILE_TIME.as_secs())))?
        .map_err(fail)?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        return Err(fail(match complaint.trim() {
            "" => format!("the compiler process ended with {status}; it has limits on memory and time"),
            text => text.to_owned(),
        }));
    }
    if artifact.len() as u64 > LARGEST_ARTIFACT {
        return Err(fail(format!("its compiled code has more than {LARGEST_ARTIFACT} bytes")));
    }
    Ok(artifact)
}

/// Compiles the component on the standard input to the standard output: what the child process does. Limits itself first.
pub fn compile_standard_input() -> Result<(), RuntimeError> {
    use std::io::{Read, Write};

    use nix::sys::resource::{Resource, setrlimit};

    /// Address space of the compile process, in bytes.
    const MEMORY: u64 = 4 * 1024 * 1024 * 1024;
    for (resource, limit) in [
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_CPU, COMPILE_TIME.as_secs()),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
    ] {
        setrlimit(resource, limit, limit)
            .map_err(|error| RuntimeError::Engine(format!("the limit {resource:?} cannot be set: {error}")))?;
    }
    let mut bytes = Vec::new();
    let limit = component::LARGEST as u64 + 1;
    let input = Path::new("standard input");
    std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(|error| RuntimeError::io("read", input, error))?;
    component::check_header("the component", &bytes)?;
    let artifact = engine::compiler()?
        .precompile_component(&bytes)
        .map_err(|error| RuntimeError::Compile { name: "the component".to_owned(), problem: format!("{error:#}") })?;
    let output = Path::new("standard output");
    std::io::stdout().write_all(&artifact).map_err(|error| RuntimeError::io("write", output, error))
}
