//! Numbers as people read them.

/// A share as a percentage: `97.71 %`.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".into(), |share| format!("{:.2} %", share * 100.0))
}

/// A loss: four significant digits or so.
pub(crate) fn loss(loss: Option<f64>) -> String {
    loss.map_or_else(
        || "–".into(),
        |loss| if loss.abs() < 1000.0 { format!("{loss:.4}") } else { format!("{loss:.2e}") },
    )
}

/// A speed: `81.2k samples/s`.
pub(crate) fn rate(per_second: f64) -> String {
    let (value, unit) = match per_second {
        rate if rate >= 999_950.0 => (rate / 1e6, "M"),
        rate if rate >= 999.95 => (rate / 1e3, "k"),
        rate => (rate, ""),
    };
    format!("{value:.1}{unit} samples/s")
}

/// A span of time: `0.9 s`, `42 s`, `2 min 05 s`, `1 h 03 min`.
pub(crate) fn span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".into();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    // Saturates: no training lasts longer than u64 seconds.
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {:02} h", whole / 86400, whole % 86400 / 3600),
    }
}

/// A count with thin groups: `60 000`.
pub(crate) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Reads a number of bytes: `4GiB`, `512 MB`, `1.5G`, `1000000`. Letters alone (`4G`) count in powers of 1024.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write it like 4GiB, 512MiB or 1000000");
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..at].parse().map_err(|_| wrong())?;
    let scale: u64 = match text[at..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    let bytes = number * scale as f64;
    if (1.0..=9e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!((percent(Some(0.97714)), percent(None)), ("97.71 %".into(), "–".into()));
        assert_eq!((loss(Some(0.31234)), loss(Some(123_456.0))), ("0.3123".into(), "1.23e5".into()));
        assert_eq!((rate(81234.5), rate(12.0)), ("81.2k samples/s".into(), "12.0 samples/s".into()));
        assert_eq!((rate(999.99), rate(999_999.0)), ("1.0k samples/s".into(), "1.0M samples/s".into()));
        let spans = [0.94, 9.96, 59.4, 59.6, 125.0, 3780.0, 90_000.0, f64::NAN].map(span);
        assert_eq!(spans, ["0.9 s", "10 s", "59 s", "1 min 00 s", "2 min 05 s", "1 h 03 min", "1 d 01 h", "–"]);
        assert_eq!([7, 784, 60_000, 1_000_000].map(count), ["7", "784", "60 000", "1 000 000"]);
    }

    #[test]
    fn sizes_are_read() {
        let sizes = ["4GiB", "512 MB", "1.5g", "1000", "1 B", "2TiB"].map(|text| parse_bytes(text).expect(text));
        assert_eq!(sizes, [4 << 30, 512_000_000, 3 << 29, 1000, 1, 2 << 40]);
        for wrong in ["", "GiB", "-1", "4 XB", "1.2.3", "0", "99999999999TiB", "nan"] {
            assert!(parse_bytes(wrong).expect_err(wrong).contains("4GiB"));
        }
    }
}
