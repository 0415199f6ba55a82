//! Finding the job that a job reference means.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Job, JobFile, JobReference, Position, Problem, parse::parse_leniently};

/// Most files that are read from one folder.
const MAX_FILES: usize = 20_000;
/// Deepest folder below the one that is read.
const MAX_FOLDERS: usize = 32;

/// A job with the project and the file it is in.
#[derive(Clone, Debug)]
pub struct IndexedJob {
    /// Its project; `None` for files that are in no project.
    pub project: Option<String>,
    /// Its file.
    pub file: Arc<JobFile>,
    number: usize,
}

impl IndexedJob {
    /// The job itself.
    pub fn job(&self) -> Option<&Job> {
        self.file.jobs.get(self.number)
    }
}

/// Why a job reference names no job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobNotFound {
    /// The uuid or name is only known when the job runs.
    #[error("the job is named by a reference, which is known only when the job runs")]
    Dynamic,
    /// No job has the uuid or the group and name.
    #[error("there is no job {0}")]
    Absent(String),
    /// Several jobs have the group and name.
    #[error("{count} jobs are called {name}")]
    Ambiguous {
        /// What was looked for.
        name: String,
        /// How many have it.
        count: usize,
    },
}

/// Jobs by uuid and by group and name.
#[derive(Clone, Debug, Default)]
pub struct JobIndex {
    jobs: Vec<IndexedJob>,
    /// Where the jobs of a file begin in `jobs`, and how many they are.
    files: HashMap<PathBuf, (usize, usize)>,
    /// Places in `jobs` by uuid in small letters.
    by_uuid: HashMap<String, Vec<usize>>,
    /// Places in `jobs` by group and name.
    by_path: HashMap<String, Vec<usize>>,
}

impl JobIndex {
    /// An index without jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the jobs of a file, once, by whatever path it is named. A file that was added without a project gets one
    /// if it is added again with one.
    pub fn add(&mut self, project: Option<&str>, file: Arc<JobFile>) {
        let identity = identity(Path::new(&file.path));
        if let Some(&(start, count)) = self.files.get(&identity) {
            self.join(project, start, count);
            return;
        }
        self.files.insert(identity, (self.jobs.len(), file.jobs.len()));
        for (number, job) in file.jobs.iter().enumerate() {
            let place = self.jobs.len();
            if let Some(uuid) = &job.uuid {
                self.by_uuid.entry(uuid.value.to_ascii_lowercase()).or_default().push(place);
            }
            self.by_path.entry(job.path()).or_default().push(place);
            self.jobs.push(IndexedJob { project: project.map(str::to_owned), file: Arc::clone(&file), number });
        }
    }

    fn join(&mut self, project: Option<&str>, start: usize, count: usize) {
        let Some(project) = project else { return };
        for job in self.jobs.iter_mut().skip(start).take(count).filter(|job| job.project.is_none()) {
            job.project = Some(project.to_owned());
        }
    }

    /// Adds the jobs of all job files below a folder, such as `projects/<p>/jobs`. A file that cannot be read as a
    /// whole adds the jobs that can be.
    ///
    /// # Errors
    /// The folder or file that cannot be read.
    pub fn add_folder(&mut self, project: Option<&str>, folder: &Path) -> Result<(), Problem> {
        for path in job_files(folder)? {
            match self.files.get(&identity(&path)) {
                Some(&(start, count)) => self.join(project, start, count),
                None => self.add(project, Arc::new(read_file(&path)?)),
            }
        }
        Ok(())
    }

    fn places<'index>(
        &'index self,
        map: &'index HashMap<String, Vec<usize>>,
        key: &str,
    ) -> impl Iterator<Item = &'index IndexedJob> + use<'index> {
        map.get(key).into_iter().flatten().filter_map(|place| self.jobs.get(*place))
    }

    /// All jobs, in the order in which they were added.
    pub fn jobs(&self) -> &[IndexedJob] {
        &self.jobs
    }

    /// The job that a reference means: by uuid, then by group and name in the reference's project, which is `project`
    /// where it names none. `file` is the path of the referring file, whose own jobs come first.
    ///
    /// # Errors
    /// Why there is no such job.
    pub fn find(
        &self,
        reference: &JobReference,
        project: Option<&str>,
        file: &str,
    ) -> Result<&IndexedJob, JobNotFound> {
        let is_dynamic = |text: &str| !crate::context::references(text).is_empty();
        let uuid = reference.uuid.as_ref().filter(|_| !(reference.use_name && reference.name.is_some()));
        if let Some(uuid) = uuid {
            if is_dynamic(&uuid.value) {
                return Err(JobNotFound::Dynamic);
            }
            // An id is one job wherever it is; only a copy in the same project may come before it.
            let wanted = uuid.value.to_ascii_lowercase();
            let mut found = self.places(&self.by_uuid, &wanted);
            let first = found.next();
            if let Some(first) = first {
                let own = std::iter::once(first).chain(found).find(|other| other.project.as_deref() == project);
                return Ok(own.unwrap_or(first));
            }
        }
        let Some(name) = &reference.name else {
            let uuid = reference.uuid.as_ref().map(|uuid| uuid.value.as_str()).unwrap_or_default();
            return Err(JobNotFound::Absent(format!("with the uuid `{}`", super::clip(uuid))));
        };
        let group = reference.group.as_ref().map(|group| group.value.as_str());
        let wanted = reference.project.as_ref().map(|project| project.value.as_str()).or(project);
        if is_dynamic(&name.value) || group.is_some_and(is_dynamic) || wanted.is_some_and(is_dynamic) {
            return Err(JobNotFound::Dynamic);
        }
        let full = match group {
            Some(group) => format!("{group}/{}", name.value),
            None => name.value.clone(),
        };
        let found: Vec<&IndexedJob> = self
            .places(&self.by_path, &full)
            .filter(|found| {
                found.project.as_deref() == wanted || (reference.project.is_none() && found.file.path == file)
            })
            .collect();
        let own: Vec<&IndexedJob> = found.iter().copied().filter(|found| found.file.path == file).collect();
        let chosen = if own.is_empty() { found } else { own };
        match chosen.as_slice() {
            [one] => Ok(*one),
            [] => Err(JobNotFound::Absent(match &reference.project {
                Some(project) => format!("`{}` in project `{}`", super::clip(&full), super::clip(&project.value)),
                None => format!("`{}`", super::clip(&full)),
            })),
            several => Err(JobNotFound::Ambiguous { name: format!("`{}`", super::clip(&full)), count: several.len() }),
        }
    }
}

/// What two paths of one file have in common.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Reads a job file; what cannot be used is among its remarks.
///
/// # Errors
/// That the file cannot be read at all.
pub(crate) fn read_file(path: &Path) -> Result<JobFile, Problem> {
    let name = path.display().to_string();
    let text = read_text(path)?;
    Ok(parse_leniently(&text, &name))
}

/// The text of a file.
pub(crate) fn read_text(path: &Path) -> Result<String, Problem> {
    let name = path.display().to_string();
    let unreadable = |message: String| Problem::error(&name, Position::default(), "unreadable", message);
    let bytes = fs::read(path).map_err(|error| unreadable(format!("the file cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        unreadable(format!("the file is no UTF-8 text: byte {at} is not valid"))
    })
}

/// The job files below a folder, sorted: `*.yaml` and `*.yml`, without hidden ones. Links to folders are not followed.
///
/// # Errors
/// The folder that cannot be read, or that there are too many files.
pub(crate) fn job_files(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), 0_usize)];
    while let Some((folder, depth)) = folders.pop() {
        let unreadable = |error: std::io::Error| {
            let name = folder.display().to_string();
            Problem::error(&name, Position::default(), "unreadable", format!("the folder cannot be read: {error}"))
        };
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path();
            if entry.file_type().map_err(unreadable)?.is_dir() {
                if depth < MAX_FOLDERS {
                    folders.push((path, depth.saturating_add(1)));
                }
            } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
                && path.is_file()
            {
                files.push(path);
            }
            if files.len() > MAX_FILES {
                let name = folder.display().to_string();
                let message = format!("there are more than {MAX_FILES} job files");
                return Err(Problem::error(&name, Position::default(), "too-large", message));
            }
        }
    }
    files.sort();
    Ok(files)
}
