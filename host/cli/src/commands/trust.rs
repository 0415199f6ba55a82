//! `trust` and `untrust`.

use std::io::Write as _;

use outrigger_config::HomeSource;

use super::done;
use crate::app::App;
use crate::output::stdout;
use crate::trouble::{Outcome, Trouble};

/// Trusts the configuration as it is now.
pub(crate) fn trust(app: &App) -> Outcome {
    let home = app.home()?;
    let mut out = stdout();
    if home.how != HomeSource::WalkUp {
        writeln!(out, "{} needs no trust: it was not found by walking up", home.config_file.display())?;
        out.flush()?;
        return done();
    }
    let files = home.trust()?;
    for file in &files {
        writeln!(out, "trusted {}", file.display())?;
    }
    writeln!(out, "a file that changes later, or is added, has to be trusted anew")?;
    out.flush()?;
    done()
}

/// Takes the trust back.
pub(crate) fn untrust(app: &App) -> Outcome {
    let home = app.home()?;
    if !home.untrust()? {
        return Err(Trouble::input(format!("{} was not trusted", home.config_file.display()), "nothing was changed"));
    }
    let mut out = stdout();
    writeln!(out, "{} is no longer trusted", home.config_file.display())?;
    out.flush()?;
    done()
}
