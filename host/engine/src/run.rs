//! Runs a job: from a checked file to a finished run in the database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outrigger_capabilities::workspace::{Quota, Workspace};
use outrigger_credential_providers::SessionName;
use outrigger_door::{Journal, MemoryJournal, Mode, Recorder, Replay, RunDoor, RunId};
use outrigger_jobs::file::{Job, JobFile, JobIndex, JobReference, Problem, parse_jobs};
use outrigger_jobs::native::{NativePolicy, NativeRecorder};
use outrigger_jobs::options::{KeyReader, OptionEnvironment, Prompter, ResolvedOptions, resolve_options};
use outrigger_jobs::steps::LogLevel;
use outrigger_jobs::workflow::{
    FoundJob, InProcess, JobLibrary, JobOrigin, MissingPlugins, Observers, RunLimits, RunObserver, RunRequest,
    RunResult, RunStatus, Workflow, WorkflowParts,
};
use outrigger_journal::{NewRun, RunWriter, Status, Store};
use outrigger_redaction::Secret;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;
use crate::host::Host;
use crate::native_credentials::CredentialsEndpoint;
use crate::observe::StoringObserver;
use crate::permissions::ConfiguredPermissions;
use crate::recording::{RecordNative, RecordedFile, RecordedRun, ReplayNative};
use crate::steps::PluginSteps;

/// Files that a run may make.
const MOST_FILES: u64 = 1_000_000;

/// Which job to run, and with what.
pub struct RunSpec {
    /// The job file.
    pub file: Arc<JobFile>,
    /// Its text, for a recording.
    pub text: String,
    /// Position of the job in the file, from 0.
    pub job: usize,
    /// Values of its options.
    pub options: ResolvedOptions,
    /// Jobs that references may lead to.
    pub library: JobIndex,
    /// Who runs it.
    pub username: String,
    /// Whether writes are only listed.
    pub dry_run: bool,
    /// Where to record.
    pub record: Option<PathBuf>,
    /// What to replay.
    pub replay: Option<Arc<Replay>>,
    /// `${globals.*}`; the configuration's, or the recording's.
    pub globals: BTreeMap<String, String>,
    /// What happens to a step whose plugin is not installed.
    pub missing_plugins: MissingPlugins,
    /// Level from which log lines are shown.
    pub log_level: Option<LogLevel>,
}

/// A run that ended.
#[derive(Debug)]
pub struct RunEnd {
    /// Its number.
    pub run: RunId,
    /// How it ended.
    pub result: RunResult,
}

/// Reads keys for secure options.
pub struct HostKeys<'a>(pub &'a Host);

impl KeyReader for HostKeys<'_> {
    fn read(&self, path: &str) -> Result<Option<Secret>, String> {
        use outrigger_config::KeyError;

        match self.0.keys().get(path) {
            Ok(secret) => {
                self.0.redactor().register(&secret);
                Ok(Some(secret))
            }
            Err(KeyError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Finds jobs for references, and gives their options values from this host's keys.
struct Library {
    host: Arc<Host>,
    index: JobIndex,
}

impl JobLibrary for Library {
    fn find(&self, origin: &JobOrigin, reference: &JobReference) -> Result<FoundJob, String> {
        let own = Some(origin.project.as_str()).filter(|project| !project.is_empty());
        let found = self.index.find(reference, own, &origin.file).map_err(|error| error.to_string())?;
        let job = found.job().ok_or("the index of jobs is out of date")?;
        Ok(FoundJob {
            job: Arc::new(job.clone()),
            origin: JobOrigin {
                project: found.project.clone().unwrap_or_else(|| origin.project.clone()),
                file: found.file.path.clone(),
            },
        })
    }

    fn options(&self, found: &FoundJob, given: &[(String, String)]) -> Result<ResolvedOptions, Vec<Problem>> {
        self.host.resolve_options(&found.origin.file, &found.origin.project, &found.job, given, &[], None)
    }
}

/// The status of the database for the status of a run.
fn stored(status: &RunStatus) -> Status {
    match status {
        RunStatus::Succeeded => Status::Succeeded,
        RunStatus::Failed => Status::Failed,
        RunStatus::Aborted => Status::Aborted,
        RunStatus::TimedOut => Status::TimedOut,
        RunStatus::Other(text) => Status::Other(text.clone()),
    }
}

impl Host {
    /// Reads and parses a job file.
    pub fn read_job_file(path: &Path) -> Result<(Arc<JobFile>, String), EngineError> {
        let text = std::fs::read_to_string(path).map_err(|error| EngineError::io("read", path, error))?;
        let file = parse_jobs(&text, &path.display().to_string()).map_err(EngineError::Problems)?;
        Ok((Arc::new(file), text))
    }

    /// The jobs that references of a file may lead to: its own, and those of every project.
    pub fn job_index(&self, file: &Arc<JobFile>) -> Result<JobIndex, EngineError> {
        let mut index = JobIndex::new();
        index.add(self.settings().project(), file.clone());
        for project in self.home().projects()? {
            let folder = self.home().jobs_dir(&project)?;
            if folder.is_dir() {
                index.add_folder(Some(&project), &folder).map_err(|problem| EngineError::Problems(vec![problem]))?;
            }
        }
        Ok(index)
    }

    /// Gives the options of a job their values.
    pub fn resolve_options(
        &self,
        file: &str,
        project: &str,
        job: &Job,
        given: &[(String, String)],
        from_file: &[(String, String)],
        prompter: Option<&mut dyn Prompter>,
    ) -> Result<ResolvedOptions, Vec<Problem>> {
        let keys = HostKeys(self);
        let environment = OptionEnvironment {
            file,
            keys: &keys,
            // One by one, so that the borrow may be shorter than the caller's.
            prompter: match prompter {
                Some(prompter) => Some(prompter),
                None => None,
            },
            now: jiff::Zoned::now(),
            job: BTreeMap::from([
                ("project".to_owned(), project.to_owned()),
                ("username".to_owned(), username()),
                ("name".to_owned(), job.name.value.clone()),
            ]),
        };
        let options = resolve_options(job, given, from_file, environment)?;
        for secret in options.secrets() {
            self.redactor().register(secret);
        }
        Ok(options)
    }

    /// The database of runs; opened when it is first asked for, so that all runs of a process share its commits.
    pub fn store(&self) -> Result<Store, EngineError> {
        if let Some(store) = self.journal.get() {
            return Ok(store.clone());
        }
        let opened = Store::open(self.home().database(), outrigger_journal::Options::default())?;
        Ok(self.journal.get_or_init(|| opened).clone())
    }

    fn native_policy(&self, directory: &Path) -> Result<NativePolicy, EngineError> {
        let configured = self.settings().native_steps();
        let user = match &configured.user {
            None => None,
            Some(name) => {
                let found = nix::unistd::User::from_name(&name.value).ok().flatten().ok_or_else(|| {
                    EngineError::refused(
                        format!("{}: there is no user `{}` on this machine", name.origin, name.value),
                        "make the user, or set `user` below [native-steps] to one that exists",
                    )
                })?;
                Some((found.uid.as_raw(), found.gid.as_raw()))
            }
        };
        let mut policy = NativePolicy {
            enabled: configured.enabled.value,
            user: user.map(|(user, _)| user),
            group: user.map(|(_, group)| group),
            directory: Some(directory.to_owned()),
            interpreters: configured.interpreters.as_ref().map(|list| list.value.clone()),
            grace: Duration::from_secs(self.settings().limits().grace_seconds.value.into()),
            ..NativePolicy::default()
        };
        if let Some(home) = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten() {
            policy.environment.insert("HOME".to_owned(), home.dir.display().to_string());
        }
        Ok(policy)
    }

    /// Runs a job to its end. What goes wrong inside the run is in its result; an error means that it did not start, or that
    /// its end could not be written down.
    pub async fn run_job(
        self: &Arc<Self>,
        spec: RunSpec,
        observer: Arc<dyn RunObserver>,
        cancel: CancellationToken,
    ) -> Result<RunEnd, EngineError> {
        let job = spec.file.jobs.get(spec.job).cloned().ok_or_else(|| {
            EngineError::refused("the file has no such job", "see `outrigger job check` for the jobs of a file")
        })?;
        let project = self.settings().project().unwrap_or_default().to_owned();
        let store = self.store()?;
        let mode = match (&spec.replay, spec.dry_run) {
            (Some(_), _) => "replay",
            (None, true) => "dry-run",
            (None, false) => "run",
        };
        let shown: BTreeMap<&String, &str> = spec
            .options
            .values
            .iter()
            .filter(|(_, option)| !option.value.is_secret())
            .map(|(name, option)| (name, option.value.expose()))
            .collect();
        let new = NewRun {
            project: project.clone(),
            job_id: job.uuid.as_ref().map(|uuid| uuid.value.clone()),
            job_name: job.name.value.clone(),
            job_group: job.group.as_ref().map(|group| group.value.clone()).unwrap_or_default(),
            user: spec.username.clone(),
            arguments: serde_json::to_value(&shown).unwrap_or_default(),
            mode: mode.to_owned(),
            parent: None,
        };
        let writer = store.start_run(new, self.redactor().clone()).await?;
        let end = self.carry_out(&spec, Arc::new(job), project, &writer, observer, cancel).await;
        let (status, message, outputs) = match &end {
            Ok(result) => (
                stored(&result.status),
                result.message.clone(),
                (!result.exports.is_empty()).then(|| serde_json::to_value(&result.exports).unwrap_or_default()),
            ),
            Err(error) => (Status::Failed, Some(error.to_string()), None),
        };
        writer.finish(status, message, outputs).await?;
        Ok(RunEnd { run: writer.run(), result: end? })
    }

    async fn carry_out(
        self: &Arc<Self>,
        spec: &RunSpec,
        job: Arc<Job>,
        project: String,
        writer: &RunWriter,
        observer: Arc<dyn RunObserver>,
        cancel: CancellationToken,
    ) -> Result<RunResult, EngineError> {
        let run = writer.run();
        let folder = self.home().workspace_dir.join(run.to_string());
        std::fs::create_dir_all(&folder).map_err(|error| EngineError::io("create", &folder, error))?;
        let workspace = self.workspace(&folder);
        let recorder = match &spec.record {
            None => None,
            Some(path) => {
                Some(Arc::new(Recorder::create(path, self.header(spec, &project)?, self.redactor().clone())?))
            }
        };
        let replayed = spec.replay.is_some();
        let door = Arc::new(RunDoor {
            mode: match (&spec.replay, spec.dry_run) {
                (Some(replay), _) => Mode::Replay(replay.clone()),
                (None, true) => Mode::DryRun,
                (None, false) => Mode::Run,
            },
            // A replay calls nothing, so it has nothing to write down before a call.
            journal: if replayed {
                Arc::new(MemoryJournal::default())
            } else {
                Arc::new(writer.clone()) as Arc<dyn Journal>
            },
            recorder: recorder.clone(),
            authorizer: Arc::new(ConfiguredPermissions(self.settings().permissions().clone())),
            redactor: self.redactor().clone(),
        });
        let native_recorder: Option<Arc<dyn NativeRecorder>> = match (&spec.replay, &recorder) {
            (Some(replay), _) => Some(Arc::new(ReplayNative(replay.clone()))),
            (None, Some(recorder)) => Some(Arc::new(RecordNative(recorder.clone()))),
            (None, None) => None,
        };
        let digests = self
            .plugins()
            .all()
            .into_iter()
            .map(|plugin| (plugin.info().provider.clone(), plugin.info().digest.clone()))
            .collect();
        let catalog = self.catalog();
        let limits = self.settings().limits();
        let mut native = self.native_policy(&folder)?;
        // Neither a replay nor a dry run starts native steps, so nobody would ask.
        let live = spec.replay.is_none() && !spec.dry_run;
        let credentials = if live && native.enabled && self.settings().native_steps().aws.value {
            Some(self.native_credentials(run, &mut native).await?)
        } else {
            None
        };
        let parts = WorkflowParts {
            runner: Arc::new(PluginSteps { host: self.clone(), catalog: catalog.clone(), door, workspace }),
            catalog,
            library: Arc::new(Library { host: self.clone(), index: spec.library.clone() }),
            observer: Arc::new(Observers(vec![
                Arc::new(StoringObserver { writer: writer.clone(), digests }),
                observer,
            ])),
            redactor: self.redactor().clone(),
            durable: Arc::new(InProcess::new()),
            native,
            recorder: native_recorder,
        };
        let grace = Duration::from_secs(limits.grace_seconds.value.into());
        let request = RunRequest {
            run,
            origin: JobOrigin { project, file: spec.file.path.clone() },
            username: spec.username.clone(),
            job,
            options: spec.options.clone(),
            globals: spec.globals.clone(),
            node: BTreeMap::new(),
            dry_run: spec.dry_run,
            missing_plugins: spec.missing_plugins,
            log_level: spec.log_level,
            limits: RunLimits {
                log_lines: limits.log_lines.value,
                // The sandbox ends a step at the end of its grace period; the workflow waits a little longer for that.
                grace: grace + Duration::from_secs(5),
                ..RunLimits::default()
            },
            cancel,
        };
        let result = Workflow::new(parts).run(request).await;
        drop(credentials);
        if let Some(recorder) = recorder {
            recorder.finish()?;
        }
        // An empty workspace tells nobody anything; one with files in it may be what the run was for.
        drop(std::fs::remove_dir(&folder));
        Ok(result)
    }

    /// The credentials endpoint of a run's native steps; its address and token go into their environment.
    async fn native_credentials(
        self: &Arc<Self>,
        run: RunId,
        native: &mut NativePolicy,
    ) -> Result<CredentialsEndpoint, EngineError> {
        let maker = self.identity_maker()?;
        let resolved = self.settings().credentials(None, None)?;
        let refuse = |message: String| EngineError::refused(message, "see `outrigger credentials validate`");
        let mut request =
            maker.request(&resolved, SessionName::for_run(run)).map_err(|failure| refuse(failure.message))?;
        let providers = maker.providers(&resolved);
        if request.region.is_none() {
            request.region = providers.ambient_region().await.map(|(region, _)| region);
        }
        if let Some(region) = &request.region {
            native.environment.insert("AWS_REGION".to_owned(), region.clone());
        }
        let endpoint = CredentialsEndpoint::start(providers.provider(&request), self.redactor())
            .await
            .map_err(|error| refuse(format!("native steps get no AWS credentials: {error}")))?;
        native.environment.extend(endpoint.environment());
        Ok(endpoint)
    }

    fn workspace(&self, folder: &Path) -> Arc<Workspace> {
        let mut allowed = self.settings().allow_dirs().map(|value| value.value).unwrap_or_default();
        allowed.extend(self.options().allow_dirs.iter().cloned());
        let bytes = self.settings().limits().workspace_mib.value.saturating_mul(1024 * 1024);
        Arc::new(Workspace::new(folder.to_owned(), allowed, Quota { bytes, files: MOST_FILES }))
    }

    fn header(&self, spec: &RunSpec, project: &str) -> Result<Value, EngineError> {
        let mut files = vec![RecordedFile {
            path: spec.file.path.clone(),
            project: self.settings().project().map(str::to_owned),
            text: spec.text.clone(),
        }];
        for job in spec.library.jobs() {
            if files.iter().any(|file| file.path == job.file.path) {
                continue;
            }
            let path = PathBuf::from(&job.file.path);
            let text = std::fs::read_to_string(&path).map_err(|error| EngineError::io("read", path, error))?;
            files.push(RecordedFile { path: job.file.path.clone(), project: job.project.clone(), text });
        }
        let recorded = RecordedRun {
            files,
            job: spec.job,
            project: project.to_owned(),
            username: spec.username.clone(),
            options: RecordedRun::record_options(&spec.options),
            globals: spec.globals.clone(),
            dry_run: spec.dry_run,
        };
        serde_json::to_value(&recorded).map_err(|error| EngineError::io("write", "the recording", error.into()))
    }

    /// The globals of the configuration.
    pub fn globals(&self) -> BTreeMap<String, String> {
        self.settings().globals().into_iter().map(|(name, value)| (name, value.value)).collect()
    }
}

/// Name of the user whom this process belongs to, `${job.username}`.
pub fn username() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
    user.map_or_else(|| nix::unistd::Uid::effective().to_string(), |user| user.name)
}
