//! The spec that a command is given, and what is wrong with it.

use std::io::Read;
use std::path::Path;

use super::client::{ClientError, Fault};
use super::error::CliError;
use super::locate::{excerpt, locate};
use super::out::{Paint, say, tame};
use crate::job::recipes::parse_spec;

/// A spec's text, and where it is from.
#[derive(Debug)]
pub(crate) struct SpecFile {
    name: String,
    /// As it was read.
    pub(crate) bytes: Vec<u8>,
}

impl SpecFile {
    /// Reads a file, or stdin for `-`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        if path.as_os_str() == "-" {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes).map_err(CliError::file(Path::new("stdin")))?;
            return Ok(Self { name: "stdin".into(), bytes });
        }
        let bytes = std::fs::read(path).map_err(CliError::file(path))?;
        Ok(Self { name: path.display().to_string(), bytes })
    }

    /// The spec of a recipe, as it is.
    pub(crate) fn recipe(name: &str) -> Self {
        Self { name: "recipe".into(), bytes: serde_json::json!({ "recipe": name }).to_string().into() }
    }

    /// Everything that is wrong with it as far as can be seen without a server.
    ///
    /// # Errors
    /// If anything is; it has then been said.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        let Err(faults) = parse_spec(&self.bytes) else { return Ok(()) };
        let faults: Vec<_> =
            faults.0.into_iter().map(|fault| Fault { pointer: fault.pointer, detail: fault.detail }).collect();
        say(&self.list(&faults, Paint::stderr()));
        Err(CliError::Other(count(&faults)))
    }

    /// Says what the server finds wrong with it, each fault with its line, before the error goes its way.
    pub(crate) fn explain(&self, error: ClientError) -> CliError {
        match &error {
            ClientError::Problem(problem) if !problem.errors.is_empty() => {
                say(&self.list(&problem.errors, Paint::stderr()));
                CliError::Other(count(&problem.errors))
            }
            _ => error.into(),
        }
    }

    fn list(&self, faults: &[Fault], paint: Paint) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut list = Vec::new();
        for fault in faults {
            let place = locate(&text, &fault.pointer);
            let at = place.map_or_else(String::new, |place| format!(":{}:{}", place.line, place.column));
            let pointer = if fault.pointer.len() > 1 { format!("  {}", tame(&fault.pointer)) } else { String::new() };
            list.push(format!(
                "{}{}: {}{}",
                paint.bold(&self.name),
                paint.bold(&at),
                tame(&fault.detail),
                paint.dim(&pointer)
            ));
            list.extend(place.and_then(|place| excerpt(&text, place, paint)));
        }
        list.join("\n")
    }
}

fn count(faults: &[Fault]) -> String {
    match faults.len() {
        1 => "the spec has a fault".into(),
        n => format!("the spec has {n} faults"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_their_lines() {
        let text = "{\"dataset\": {\"name\": \"digits\"},\n \"network\": [{\"type\": \"affine\", \"untis\": 50}]}";
        let file = SpecFile { name: "spec.json".into(), bytes: text.into() };
        let faults = parse_spec(&file.bytes).expect_err("two faults").0;
        let faults: Vec<_> =
            faults.into_iter().map(|fault| Fault { pointer: fault.pointer, detail: fault.detail }).collect();
        let list = file.list(&faults, Paint::without_colours());
        assert!(list.contains("spec.json:2:"), "{list}");
        assert!(list.contains("did you mean `units`?  #/network/0/untis\n2 | "), "{list}");
        assert!(file.check().is_err());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = SpecFile::read(Path::new("no/such/spec.json")).expect_err("no file");
        assert!(error.to_string().starts_with("no/such/spec.json: "), "{error}");
    }
}
