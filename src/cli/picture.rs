//! Pictures as text: half blocks, two pixels a character.

use std::fmt::Write;

use super::out::Paint;

/// Pixels of a side of what is drawn; the margin of MNIST-like pictures is left away.
const SIDE: usize = 24;
const WIDTH: usize = 28;
const MARGIN: usize = (WIDTH - SIDE) / 2;

/// One picture with a caption under it.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// 28 × 28, 0 is dark.
    pub(crate) pixels: Vec<u8>,
    /// Plain text of at most a picture's width.
    pub(crate) caption: String,
    /// How the caption is painted.
    pub(crate) mood: Mood,
}

/// How a caption is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Right,
    Wrong,
    Plain,
}

/// The pictures side by side, as many in a row as fit into `columns`.
pub(crate) fn draw(pictures: &[Picture], columns: usize, paint: Paint) -> Vec<String> {
    let in_row = ((columns + 2) / (SIDE + 2)).clamp(1, 8);
    let mut lines = Vec::new();
    for row in pictures.chunks(in_row) {
        for y in (0..SIDE).step_by(2) {
            let parts: Vec<String> = row.iter().map(|picture| line(picture, y, paint)).collect();
            lines.push(parts.join("  "));
        }
        let captions: Vec<String> = row
            .iter()
            .map(|picture| {
                let text = format!("{:^SIDE$}", picture.caption);
                match picture.mood {
                    Mood::Right => paint.green(&text),
                    Mood::Wrong => paint.red(&text),
                    Mood::Plain => text,
                }
            })
            .collect();
        lines.push(captions.join("  ").trim_end().to_owned());
        lines.push(String::new());
    }
    lines
}

/// Columns of the terminal at stdout.
pub(crate) fn columns() -> usize {
    terminal_size::terminal_size_of(std::io::stdout()).map_or(80, |(width, _)| usize::from(width.0))
}

fn line(picture: &Picture, y: usize, paint: Paint) -> String {
    let pixel = |x: usize, y: usize| {
        let at = (y + MARGIN) * WIDTH + x + MARGIN;
        picture.pixels.get(at).copied().unwrap_or(0)
    };
    let mut text = String::new();
    for x in 0..SIDE {
        let (above, below) = (pixel(x, y), pixel(x, y + 1));
        if paint.on() {
            // Writing to a string does not fail.
            let _ = write!(text, "\x1b[38;5;{};48;5;{}m▀", grey(above), grey(below));
        } else {
            text.push(match (above > 96, below > 96) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            });
        }
    }
    if paint.on() {
        text.push_str("\x1b[0m");
    }
    text
}

/// The nearest of the 24 greys of a 256-colour terminal.
fn grey(value: u8) -> u8 {
    232 + (u16::from(value) * 23 / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_blocks_show_two_rows() {
        let mut pixels = vec![0; WIDTH * WIDTH];
        pixels[MARGIN * WIDTH + MARGIN] = 255;
        pixels[(MARGIN + 1) * WIDTH + MARGIN + 1] = 255;
        let picture = Picture { pixels, caption: "7".into(), mood: Mood::Right };
        let lines = draw(&vec![picture; 4], 80, Paint::without_colours());
        assert_eq!(lines.len(), 2 * (SIDE / 2 + 2), "three in the first row, one in the second");
        assert_eq!(lines[0].matches("▀▄").count(), 3);
        assert_eq!(lines[SIDE / 2].matches('7').count(), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn pictures_of_a_wrong_size_do_no_harm() {
        let picture = Picture { pixels: vec![255; 3], caption: String::new(), mood: Mood::Plain };
        assert!(!draw(&[picture], 0, Paint::without_colours()).is_empty());
    }
}
