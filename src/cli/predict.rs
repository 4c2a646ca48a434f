//! `dojang predict`: what a model takes pictures for.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::client::{Ask, Client, ClientError, Predicted, Prediction};
use super::error::{CliError, Ended};
use super::format::percent;
use super::out::{self, Paint, say, tame};
use super::picture::{Mood, Picture, columns, draw};
use super::watch::ServerArgs;

const EXAMPLES: &str = "\
Examples:
  dojang predict seven.png
  dojang predict *.png --model digits@3
  dojang predict photo.jpg --show
  curl -s https://example.org/digit.png | dojang predict - --json | jq '.predictions[0].label'

A picture may have any size: it is turned grey, inverted if dark on light, scaled and centred as MNIST was made.
Exit code: 0 if every picture was read, 1 otherwise.";

/// Ask a model what is on a picture
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PredictArgs {
    /// PNG or JPEG files; - reads stdin
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// The model: NAME, NAME@VERSION or job:ID [default: the newest]
    #[arg(long, short, value_name = "MODEL")]
    model: Option<String>,
    /// Print the server's answers, one JSON object a picture
    #[arg(long, conflicts_with = "show")]
    json: bool,
    /// Draw what the model saw
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Asks for each picture.
pub(crate) async fn run(args: PredictArgs) -> Result<Ended, CliError> {
    let client = Client::new(args.server.server.clone())?;
    let mut ended = Ended::Well;
    for path in &args.images {
        match one(&client, path, &args).await {
            Ok(lines) => lines.iter().try_for_each(|line| out::result(line)).map_err(CliError::Stdout)?,
            // What is wrong with one picture is not wrong with the next; without a server none can be read.
            Err(error @ (CliError::File { .. } | CliError::Other(_) | CliError::Client(ClientError::Problem(_)))) => {
                let name = path.display();
                let error = match error {
                    CliError::File { .. } => error.to_string(),
                    other => format!("{name}: {other}"),
                };
                say(&format!("{} {error}", Paint::stderr().red("error:")));
                ended = Ended::Badly;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ended)
}

async fn one(client: &Client, path: &Path, args: &PredictArgs) -> Result<Vec<String>, CliError> {
    let body = read(path)?;
    let kind = kind(&body).ok_or_else(|| CliError::Other("neither PNG nor JPEG".into()))?;
    let ask = Ask { model: args.model.as_deref(), kind, body, return_input: args.show };
    let (text, predicted) = client.predict(ask).await?;
    if args.json {
        return Ok(vec![text.replace('\n', " ")]);
    }
    let paint = Paint::stdout();
    let mut lines = Vec::new();
    for (i, prediction) in predicted.predictions.iter().enumerate() {
        if let Some(input) = predicted.inputs.get(i) {
            let pixels = input.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0) as u8).collect();
            let picture = Picture { pixels, caption: String::new(), mood: Mood::Plain };
            lines.extend(draw(&[picture], columns(), paint));
        }
        lines.extend(describe(path, &predicted, prediction, paint));
    }
    Ok(lines)
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    if path.as_os_str() != "-" {
        return std::fs::read(path).map_err(CliError::file(path));
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(CliError::file(Path::new("stdin")))?;
    Ok(bytes)
}

/// The media type by the first bytes: a file's name may say anything.
fn kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else {
        None
    }
}

fn describe(path: &Path, predicted: &Predicted, prediction: &Prediction, paint: Paint) -> Vec<String> {
    let name = if path.as_os_str() == "-" { "stdin".into() } else { path.display().to_string() };
    let class = paint.bold(&tame(&prediction.class));
    let by = paint.dim(&format!("by {}", predicted.model.selector()));
    let mut lines = vec![format!("{name}: {class}  {}  {by}", percent(Some(prediction.confidence)))];
    for (label, probability) in prediction.probabilities.iter().enumerate() {
        let bar = bar(*probability, 40);
        let line = format!("  {label:>2} {bar:<40} {:>8}", percent(Some(*probability)));
        lines.push(if label == prediction.label { paint.cyan(&line) } else { line });
    }
    lines
}

/// A bar of at most `width` characters, in eighths of one.
fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_their_length() {
        assert_eq!([0.0, 0.5, 1.0, 2.0, f64::NAN].map(|share| bar(share, 4)), ["", "██", "████", "████", ""]);
        assert_eq!(bar(1.0 / 32.0, 4), "▏");
    }

    #[test]
    fn pictures_are_known_by_their_bytes() {
        assert_eq!(kind(b"\x89PNG\r\n\x1a\n\0"), Some("image/png"));
        assert_eq!(kind(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!((kind(b"GIF89a"), kind(b"")), (None, None));
    }

    #[test]
    fn ten_bars_and_a_label() {
        let answer = r#"{"model":{"name":"digits","version":3},"predictions":[{"label":7,"class":"7","confidence":0.91,"probabilities":[0.01,0.01,0.01,0.01,0.01,0.01,0.01,0.91,0.01,0.01]}]}"#;
        let predicted: Predicted = serde_json::from_str(answer).expect("an answer");
        let lines = describe(Path::new("a.png"), &predicted, &predicted.predictions[0], Paint::without_colours());
        assert_eq!(lines.len(), 11);
        assert_eq!(lines[0], "a.png: 7  91.00 %  by digits@3");
        assert!(lines[8].starts_with("   7 ████") && lines[8].ends_with("91.00 %"), "{}", lines[8]);
    }
}
