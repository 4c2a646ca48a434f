//! `POST /v1/models`: weights that were trained elsewhere, as a form (`multipart/form-data`, RFC 7578) with the fields
//! `name`, `spec` and `file`, as `curl -F` sends it.

use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::State;
use axum::extract::multipart::{Field as Part, Multipart, MultipartRejection};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

use super::api::Api;
use super::error::Problem;
use super::uploads::{PARTS_MAX, TEXT_MAX, check_length, store, text};
use crate::data::upload::UploadError;
use crate::engine::describe::{Field, Kind};
use crate::job::check;
use crate::job::fault::{Fault, Faults, Pointer, suggestion};
use crate::job::recipes::parse_spec;
use crate::job::spec::TrainSpec;
use crate::store::ModelVersion;

/// The field with the network and the dataset, as a job's spec has them.
const SPEC: &str = "spec";
/// The field with the weights.
const FILE: &str = "file";

/// The other fields.
const FIELDS: &[Field] = &[Field::required(
    "name",
    Kind::Text { max_chars: 64, slug: true },
    "the model that the weights become a version of",
)];

/// A version of a model, and whose.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    name: String,
    #[serde(flatten)]
    version: ModelVersion,
}

/// 201 once the version is durable.
pub(super) async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, HeaderMap, Json<Answer>), Problem> {
    check_length(&headers)?;
    api.scheduler.store().is_in_place()?;
    let spool = api.scheduler.library().spool().map_err(UploadError::Disk)?;
    let (spec, file) = Form::receive(form?, spool.path()).await?.into_parts()?;
    let plan = api.scheduler.plan(spec).map_err(|faults| Problem::upload(faults.within(SPEC)))?;
    let new = api.models.try_weights(plan, file).await?;
    let version = api.scheduler.take_version(new).await?;
    let location = HeaderValue::try_from(format!("/v1/models/{}", version.name));
    let headers = location.into_iter().map(|location| (header::LOCATION, location)).collect();
    Ok((StatusCode::CREATED, headers, Json(Answer { name: version.name.clone(), version })))
}

/// A form as it came, with what is wrong with it.
#[derive(Debug, Default)]
struct Form {
    texts: Map<String, Value>,
    spec: Option<String>,
    file: Option<PathBuf>,
    faults: Vec<Fault>,
}

impl Form {
    /// Reads a form to its end, its file into a folder.
    async fn receive(mut form: Multipart, folder: &Path) -> Result<Self, Problem> {
        let mut received = Self::default();
        for _ in 0..PARTS_MAX {
            let Some(part) = form.next_field().await? else { return Ok(received) };
            received.take(part, folder).await?;
        }
        Err(Problem::bad_request(format!("the form has more than {PARTS_MAX} parts")))
    }

    async fn take(&mut self, mut part: Part<'_>, folder: &Path) -> Result<(), Problem> {
        let name = part.name().unwrap_or_default().to_owned();
        let place = Pointer::root().at(&name);
        let known = || FIELDS.iter().map(|field| field.name).chain([SPEC, FILE]);
        if !known().any(|field| field == name) {
            let hint = suggestion(&name, known());
            self.faults.push(place.fault(format!("unknown field `{}`{hint}", name.escape_debug())));
        } else if self.has(&name) {
            self.faults.push(place.fault("the field is there twice"));
        } else if name == FILE {
            let path = folder.join(FILE);
            store(&mut part, &path).await?;
            self.file = Some(path);
        } else {
            match text(&mut part).await? {
                Some(text) if name == SPEC => self.spec = Some(text),
                Some(text) => {
                    self.texts.insert(name, text.into());
                }
                None => self.faults.push(place.fault(format!("no text of at most {TEXT_MAX} bytes of UTF-8"))),
            }
        }
        Ok(())
    }

    fn has(&self, field: &str) -> bool {
        match field {
            FILE => self.file.is_some(),
            SPEC => self.spec.is_some(),
            other => self.texts.contains_key(other),
        }
    }

    /// The spec, under the model's name, and the file; or every fault of the form.
    fn into_parts(self) -> Result<(TrainSpec, PathBuf), Problem> {
        let Self { texts, spec, file, mut faults } = self;
        let root = Pointer::root();
        let checked = check::object(FIELDS, &Value::Object(texts), &root, &mut faults);
        if spec.is_none() {
            let detail = "the field `spec` is missing: {\"dataset\": …, \"network\": …} or {\"recipe\": …}";
            faults.push(root.fault(detail));
        }
        if file.is_none() {
            faults.push(root.fault("the field `file` is missing: the weights, a safetensors file"));
        }
        let is_blank = |text: &String| text.trim().is_empty();
        if spec.as_ref().is_some_and(is_blank) {
            faults.push(root.at(SPEC).fault("it is empty; a JSON object is needed"));
        }
        let spec = spec.filter(|text| !is_blank(text)).and_then(|text| match parse_spec(text.as_bytes()) {
            Ok(spec) => Some(spec),
            Err(of_spec) => {
                faults.extend(of_spec.within(SPEC).0);
                None
            }
        });
        match (spec, file, checked["name"].as_str()) {
            (Some(spec), Some(file), Some(name)) if faults.is_empty() => {
                Ok((TrainSpec { model: Some(name.into()), ..spec }, file))
            }
            _ => Err(Problem::upload(Faults(faults))),
        }
    }
}
