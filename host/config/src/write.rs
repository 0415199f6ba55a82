//! Replaces a file so that a reader sees the old text or the new one, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::Error;

/// Replaces a file. One that exists keeps its mode; a new one gets 0600. A symbolic link is followed, not replaced.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mode = fs::metadata(&target).map_or(0o600, |metadata| metadata.mode() & 0o777);
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|error| Error::io("write", path, std::io::Error::other(error)))?;
    let suffix: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let temporary = folder.join(format!(".outrigger-{suffix}.tmp"));
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        // The umask may have taken bits away that the old file had.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        File::open(folder)?.sync_all()
    })();
    result.map_err(|source| {
        // Nothing to do about a second failure; the first one is reported.
        let _ = fs::remove_file(&temporary);
        Error::io("write", path, source)
    })
}
