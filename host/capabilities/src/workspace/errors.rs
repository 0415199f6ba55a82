//! What file operations fail with.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use outrigger_door::{Failure, Reason};

/// Whether the resolution of a path was stopped at the border of its folder.
pub(super) fn is_escape(error: &io::Error) -> bool {
    // `cap-std` makes this error itself, so it has no number of the operating system.
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
        || error.raw_os_error() == Some(Errno::EXDEV as i32)
}

/// A path that a symbolic link leads out of its folder.
pub(super) fn escape(path: &str, root: &Path) -> Failure {
    Failure::new(
        Reason::AccessDenied,
        format!(
            "{path} leads outside of {} through a symbolic link (an absolute link always does): make it relative, or name \
             the place that it leads to",
            root.display()
        ),
    )
}

/// An error of the operating system.
pub(super) fn io_failure(action: &str, path: &str, error: &io::Error) -> Failure {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let (reason, advice) = match (error.kind(), errno) {
        (io::ErrorKind::NotFound, _) => (Reason::NotFound, ""),
        (io::ErrorKind::NotADirectory, _) => (Reason::NotFound, ""),
        (io::ErrorKind::PermissionDenied, _) => {
            (Reason::AccessDenied, ": the user that runs this process needs access to it")
        }
        (io::ErrorKind::ReadOnlyFilesystem, _) => (Reason::AccessDenied, ""),
        (_, Some(Errno::ELOOP)) => (Reason::InvalidInput, ": symbolic links that lead in a circle"),
        (_, Some(Errno::ENAMETOOLONG)) => (Reason::InvalidInput, ": a name has at most 255 bytes, a path 4,095"),
        (io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput, _) => (Reason::InvalidInput, ""),
        (io::ErrorKind::AlreadyExists, _) => (Reason::Conflict, ""),
        (_, Some(Errno::ENOSPC | Errno::EDQUOT)) => (Reason::Conflict, ": make room on the disk and run it again"),
        (_, Some(Errno::EMFILE | Errno::ENFILE)) => (Reason::Internal, ": raise the limit of open files (ulimit -n)"),
        _ => (Reason::Internal, ""),
    };
    Failure::new(reason, format!("cannot {action} {path}: {error}{advice}"))
}
