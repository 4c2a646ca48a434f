//! `POST /v1/datasets`: a dataset as a form with files (`multipart/form-data`, RFC 7578), as `curl -F` sends it.
//!
//! The files go to the disk while they come, so an upload takes no memory before it is read.

use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::State;
use axum::extract::multipart::{Field as Part, Multipart, MultipartRejection};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::api::Api;
use super::error::Problem;
use crate::data::library::Listing;
use crate::data::upload::{FILE, Files, IDX_FILES, Upload, UploadError};
use crate::engine::describe::{Field, Kind};
use crate::job::check;
use crate::job::fault::{Fault, Faults, Pointer, suggestion};

/// Largest form: files of 512 MiB together.
pub(super) const LIMIT: usize = 512 << 20;
/// Most bytes of a field that is no file.
pub(super) const TEXT_MAX: usize = 256 << 10;
/// Most parts of a form; there are eight at most that mean something.
pub(super) const PARTS_MAX: usize = 32;

const DESCRIPTION: Kind = Kind::Text { max_chars: 1000, slug: false };
const CLASS_NAMES: Kind = Kind::Text { max_chars: TEXT_MAX, slug: false };

/// The fields that are no files.
const FIELDS: &[Field] = &[
    Field::required("name", Kind::Text { max_chars: 64, slug: true }, "the dataset's name, which jobs use"),
    Field::optional("description", DESCRIPTION, "\"Uploaded.\"", "what it is, in a sentence"),
    Field::optional(
        "class_names",
        Kind::Nullable(&CLASS_NAMES),
        "null",
        "a name for each class, in the order of the labels: a JSON list, or separated by commas",
    ),
];

pub(super) async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, HeaderMap, Json<Listing>), Problem> {
    check_length(&headers)?;
    api.scheduler.store().is_in_place()?;
    let library = api.scheduler.library().clone();
    let spool = library.spool().map_err(UploadError::Disk)?;
    let upload = Form::receive(form?, spool.path()).await?.into_upload()?;
    let add = move || {
        let added = library.add(&upload);
        drop(spool);
        added
    };
    // Reading half a gigabyte takes too long for a thread that serves others.
    let added = tokio::task::spawn_blocking(add).await;
    let listing = added.map_err(|error| UploadError::Disk(std::io::Error::other(error)))??;
    // A folder that was removed meanwhile takes the dataset along.
    api.scheduler.store().is_in_place()?;
    let location = HeaderValue::try_from(format!("/v1/datasets/{}", listing.info.name));
    let headers = location.into_iter().map(|location| (header::LOCATION, location)).collect();
    Ok((StatusCode::CREATED, headers, Json(listing)))
}

/// Refuses a form that is announced as too large, before any of it is read.
pub(super) fn check_length(headers: &HeaderMap) -> Result<(), Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > LIMIT as u64) { Err(Problem::upload_too_large()) } else { Ok(()) }
}

/// A form as it came, with what is wrong with it.
#[derive(Debug, Default)]
struct Form {
    texts: Map<String, Value>,
    /// Names of fields and where their files are.
    files: Vec<(&'static str, PathBuf)>,
    faults: Vec<Fault>,
}

impl Form {
    /// Reads a form to its end, its files into a folder.
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
        if let Some(field) = std::iter::once(FILE).chain(IDX_FILES).find(|field| *field == name) {
            if part.file_name().is_none() {
                self.faults.push(place.fault(format!("a file is needed: curl -F {field}=@FILE")));
            } else if self.files.iter().any(|(other, _)| *other == field) {
                self.faults.push(place.fault("the field is there twice"));
            } else {
                let path = folder.join(field);
                store(&mut part, &path).await?;
                self.files.push((field, path));
            }
        } else if FIELDS.iter().any(|field| field.name == name) {
            match text(&mut part).await? {
                Some(text) if !self.texts.contains_key(&name) => {
                    self.texts.insert(name, text.into());
                }
                Some(_) => self.faults.push(place.fault("the field is there twice")),
                None => self.faults.push(place.fault(format!("no text of at most {TEXT_MAX} bytes of UTF-8"))),
            }
        } else {
            let known = FIELDS.iter().map(|field| field.name).chain([FILE]).chain(IDX_FILES);
            let detail = format!("unknown field `{}`{}", name.escape_debug(), suggestion(&name, known));
            self.faults.push(place.fault(detail));
        }
        Ok(())
    }

    /// What the form asks for, or every fault of it.
    fn into_upload(self) -> Result<Upload, Problem> {
        let Self { texts, files, mut faults } = self;
        let checked = check::object(FIELDS, &Value::Object(texts), &Pointer::root(), &mut faults);
        let text = |field: &str| checked[field].as_str().map(str::to_owned);
        let class_names = text("class_names").map(|text| class_names(&text)).transpose();
        let class_names = class_names.unwrap_or_else(|fault| {
            faults.push(fault);
            None
        });
        let files = files_of(files).unwrap_or_else(|fault| {
            faults.push(fault);
            Files::Npz(PathBuf::new())
        });
        if !faults.is_empty() {
            return Err(Problem::upload(Faults(faults)));
        }
        let description = text("description").unwrap_or_default();
        Ok(Upload { name: text("name").unwrap_or_default(), description, class_names, files })
    }
}

/// Writes a file of the form to the disk.
pub(super) async fn store(part: &mut Part<'_>, path: &Path) -> Result<(), Problem> {
    let mut file = File::create_new(path).await.map_err(UploadError::Disk)?;
    while let Some(bytes) = part.chunk().await? {
        file.write_all(&bytes).await.map_err(UploadError::Disk)?;
    }
    file.flush().await.map_err(UploadError::Disk)?;
    Ok(())
}

/// Reads a field that is no file; `None` if it is too long, or no text.
pub(super) async fn text(part: &mut Part<'_>) -> Result<Option<String>, Problem> {
    let mut text = Vec::new();
    while let Some(bytes) = part.chunk().await? {
        if text.len() + bytes.len() > TEXT_MAX {
            return Ok(None);
        }
        text.extend_from_slice(&bytes);
    }
    Ok(String::from_utf8(text).ok())
}

/// Reads `["a", "b"]` or `a, b`.
fn class_names(text: &str) -> Result<Vec<String>, Fault> {
    if !text.trim_start().starts_with(['[', '{']) {
        return Ok(text.split(',').map(|name| name.trim().to_owned()).collect());
    }
    serde_json::from_str(text).map_err(|_| {
        let detail = "a JSON list of texts is needed, such as [\"cat\", \"dog\"], or names separated by commas";
        Pointer::root().at("class_names").fault(detail)
    })
}

/// Which of the two ways the files are.
fn files_of(mut files: Vec<(&'static str, PathBuf)>) -> Result<Files, Fault> {
    let root = Pointer::root();
    let Some(archive) = files.iter().position(|(field, _)| *field == FILE) else {
        if files.is_empty() {
            return Err(
                root.fault(format!("the file is missing: `{FILE}`, an .npz archive, or {}", IDX_FILES.join(", ")))
            );
        }
        let mut take = |field: &str| {
            let place = files.iter().position(|(other, _)| *other == field);
            place
                .map(|place| files.swap_remove(place).1)
                .ok_or_else(|| root.fault(format!("the file `{field}` is missing")))
        };
        let [a, b, c, d] = IDX_FILES;
        return Ok(Files::Idx([take(a)?, take(b)?, take(c)?, take(d)?]));
    };
    let (_, archive) = files.swap_remove(archive);
    match files.first() {
        Some((field, _)) => Err(root.at(field).fault(format!("`{FILE}` is there already: one or the other"))),
        None => Ok(Files::Npz(archive)),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::{DefaultBodyLimit, FromRequest, Request};
    use tower::ServiceExt;

    use super::*;

    /// A form of these parts: name, file name, content.
    fn form(parts: &[(&str, Option<&str>, &str)]) -> String {
        let part = |(name, file, content): &(&str, Option<&str>, &str)| {
            let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
            format!("--B\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n")
        };
        parts.iter().map(part).chain(["--B--\r\n".into()]).collect()
    }

    fn request(body: impl Into<Body>) -> Request {
        let request = Request::post("/").header("content-type", "multipart/form-data; boundary=B");
        request.body(body.into()).expect("a request")
    }

    /// The upload that a form asks for, or pointers and details of its faults.
    async fn read(parts: &[(&str, Option<&str>, &str)]) -> Result<Upload, Vec<(String, String)>> {
        let folder = tempfile::tempdir().expect("a folder");
        let multipart = Multipart::from_request(request(form(parts)), &()).await.expect("a form");
        let form = Form::receive(multipart, folder.path()).await.expect("a whole form");
        form.into_upload().map_err(|problem| problem.faults().map(|f| (f.pointer.clone(), f.detail.clone())).collect())
    }

    #[tokio::test]
    async fn a_form_is_an_upload() {
        let name = ("name", None, "shapes");
        let file = ("file", Some("set.npz"), "PK");
        let upload = read(&[name, file]).await.expect("a sound form");
        assert_eq!(
            (upload.name.as_str(), upload.description.as_str(), upload.class_names),
            ("shapes", "Uploaded.", None)
        );
        assert!(matches!(upload.files, Files::Npz(path) if path.ends_with("file")));
        for names in ["[\"a\", \"b, c\"]", "a,b"] {
            let upload = read(&[("class_names", None, names), file, name]).await.expect("a sound form");
            assert_eq!(upload.class_names.expect("names").len(), 2);
        }
        let idx = IDX_FILES.map(|field| (field, Some("x.gz"), ""));
        let upload = read(&[&[name, ("description", None, "Some.")], &idx[..]].concat()).await.expect("a sound form");
        assert!(matches!(upload.files, Files::Idx(paths) if paths[3].ends_with("test_labels")));
    }

    #[tokio::test]
    async fn every_fault_of_a_form_is_told_with_its_field() {
        let faults = read(&[
            ("nmae", None, "x"),
            ("description", None, "a"),
            ("description", None, "b"),
            ("class_names", None, "[1]"),
            ("file", None, "set.npz"),
            ("tarin_images", Some("x"), "x"),
            ("test_labels", Some("x"), "x"),
        ])
        .await
        .expect_err("an unsound form");
        let pointers: Vec<_> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["#/nmae", "#/description", "#/file", "#/tarin_images", "#", "#/class_names", "#"]);
        assert_eq!(faults[0].1, "unknown field `nmae`; did you mean `name`?");
        assert_eq!(faults[2].1, "a file is needed: curl -F file=@FILE");
        assert_eq!(faults[6].1, "the file `train_images` is missing");
        for (name, detail) in
            [("a/b", "may hold only"), (".a", "may hold only"), ("", "a name is needed"), ("  ", "a name is needed")]
        {
            let faults = read(&[("name", None, name), ("file", Some("f"), "")]).await.expect_err("no name");
            assert!(faults[0].0 == "#/name" && faults[0].1.contains(detail) && faults.len() == 1, "{name}: {faults:?}");
        }
        let both = [("name", None, "a"), ("file", Some("f"), ""), ("test_labels", Some("f"), "")];
        assert_eq!(read(&both).await.expect_err("both")[0].0, "#/test_labels");
    }

    #[tokio::test]
    async fn a_form_that_is_too_long_is_413_and_a_broken_one_400() {
        let receive = |form: Result<Multipart, MultipartRejection>| async {
            let folder = tempfile::tempdir().expect("a folder");
            Form::receive(form?, folder.path()).await.map(|form| format!("{} files", form.files.len()))
        };
        let router = axum::Router::new().route("/", axum::routing::post(receive)).layer(DefaultBodyLimit::max(10_000));
        let status = |request: Request| {
            let router = router.clone();
            async move { router.oneshot(request).await.expect("an answer").status().as_u16() }
        };
        let sound = form(&[("file", Some("f"), "x")]);
        assert_eq!(status(request(sound.clone())).await, 200);
        assert_eq!(status(request(form(&[("file", Some("f"), &"x".repeat(10_001))]))).await, 413);
        assert_eq!(status(request(sound[..40].to_owned())).await, 400);
        assert_eq!(status(request(form(&[("x", None, "x"); 33]))).await, 400);
        assert_eq!(status(Request::post("/").body(Body::from("{}")).expect("a request")).await, 415);
    }
}
