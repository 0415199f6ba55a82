//! The jobs that others refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Zoned;

use crate::file::{Job, JobIndex, JobReference, Problem};
use crate::options::{KeyReader, OptionEnvironment, ResolvedOptions, resolve_options};

/// Where a job comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOrigin {
    /// Its project.
    pub project: String,
    /// The path of its file, as the index knows it.
    pub file: String,
}

/// A job that was found.
#[derive(Clone, Debug)]
pub struct FoundJob {
    /// The job.
    pub job: Arc<Job>,
    /// Where it comes from.
    pub origin: JobOrigin,
}

/// Finds the jobs that others refer to.
pub trait JobLibrary: Send + Sync + 'static {
    /// The job that a job of `origin` refers to. References in the reference's own fields were replaced.
    ///
    /// # Errors
    /// A sentence on why there is none.
    fn find(&self, origin: &JobOrigin, reference: &JobReference) -> Result<FoundJob, String>;

    /// Gives the options of a referred job their values, `given` before anything else. Nobody is there to be asked.
    ///
    /// # Errors
    /// All problems at once.
    fn options(&self, found: &FoundJob, given: &[(String, String)]) -> Result<ResolvedOptions, Vec<Problem>>;
}

/// A library made of an index of files.
pub struct IndexLibrary {
    index: JobIndex,
    keys: Arc<dyn KeyReader + Send + Sync>,
    now: Zoned,
    job: BTreeMap<String, String>,
}

impl IndexLibrary {
    /// A library of the index's jobs. `keys` gives secure options their values, `now` is what `${DATE:...}` means, and
    /// `job` has the values of `${job.*}` that storage paths may name, such as `username`.
    pub fn new(
        index: JobIndex,
        keys: Arc<dyn KeyReader + Send + Sync>,
        now: Zoned,
        job: BTreeMap<String, String>,
    ) -> Self {
        Self { index, keys, now, job }
    }
}

impl JobLibrary for IndexLibrary {
    fn find(&self, origin: &JobOrigin, reference: &JobReference) -> Result<FoundJob, String> {
        let project = Some(origin.project.as_str()).filter(|project| !project.is_empty());
        let found = self.index.find(reference, project, &origin.file).map_err(|error| error.to_string())?;
        let job = found.job().ok_or_else(|| "the index has lost the job".to_owned())?;
        let origin = JobOrigin {
            project: found.project.clone().unwrap_or_else(|| origin.project.clone()),
            file: found.file.path.clone(),
        };
        Ok(FoundJob { job: Arc::new(job.clone()), origin })
    }

    fn options(&self, found: &FoundJob, given: &[(String, String)]) -> Result<ResolvedOptions, Vec<Problem>> {
        let mut job = self.job.clone();
        job.insert("project".to_owned(), found.origin.project.clone());
        let environment = OptionEnvironment {
            file: &found.origin.file,
            keys: self.keys.as_ref(),
            prompter: None,
            now: self.now.clone(),
            job,
        };
        resolve_options(&found.job, given, &[], environment)
    }
}
