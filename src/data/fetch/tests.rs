//! Against mirrors of our own on the loopback interface.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

const NAME: &str = "file.gz";

/// How a mirror treats each request, in turn; the last way is kept to.
#[derive(Clone, Copy)]
enum Way {
    /// Knows ranges.
    Good,
    /// Sends the whole file whatever is asked for.
    Whole,
    /// Sends as many bytes, others.
    Wrong,
    /// Promises all and hangs up after so many.
    Cut(usize),
    /// Has something longer and does not say how long.
    Longer,
    /// Answers ranges with 416.
    Unsatisfiable,
    NotFound,
}

/// A mirror that notes the range of every request it gets.
struct Mirror {
    url: String,
    ranges: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Mirror {
    fn start(bytes: &[u8], ways: &'static [Way]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (bytes, noted) = (bytes.to_vec(), ranges.clone());
        std::thread::spawn(move || {
            for (i, stream) in listener.incoming().enumerate() {
                let way = ways[i.min(ways.len() - 1)];
                // A client that hangs up early is its own business.
                let _ = serve(stream.unwrap(), way, &bytes, &noted);
            }
        });
        Self { url, ranges }
    }

    fn ranges(&self) -> Vec<Option<usize>> {
        self.ranges.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, way: Way, bytes: &[u8], noted: &Mutex<Vec<Option<usize>>>) -> io::Result<()> {
    let head: Vec<String> = BufReader::new(&stream)
        .lines()
        .map_while(|line| line.ok().filter(|line| !line.is_empty()).map(|line| line.to_lowercase()))
        .collect();
    assert!(head[0].starts_with(&format!("get /{NAME} ")), "{}", head[0]);
    let range = head.iter().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
    noted.lock().unwrap().push(range);
    let length = bytes.len();
    let whole = format!("200 OK\r\ncontent-length: {length}");
    let (head, body) = match (way, range) {
        (Way::Good | Way::Cut(_), Some(from)) => {
            let left = length - from;
            let head = format!(
                "206 Partial Content\r\ncontent-range: bytes {from}-{}/{length}\r\ncontent-length: {left}",
                length - 1
            );
            (head, &bytes[from..])
        }
        (Way::Unsatisfiable, Some(_)) => ("416 Range Not Satisfiable\r\ncontent-length: 0".into(), &[][..]),
        (Way::NotFound, _) => ("404 Not Found\r\ncontent-length: 0".into(), &[][..]),
        (Way::Longer, _) => ("200 OK".into(), bytes),
        _ => (whole, bytes),
    };
    write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n")?;
    match way {
        Way::Cut(after) => stream.write_all(&body[..after.min(body.len())]),
        Way::Wrong => stream.write_all(&vec![b'x'; body.len()]),
        Way::Longer => stream.write_all(body).and_then(|()| stream.write_all(b"and more")),
        _ => stream.write_all(body),
    }
}

/// A folder, and the file that should come to be in it.
struct Case {
    folder: TempDir,
    content: Vec<u8>,
    seen: Vec<u64>,
}

impl Case {
    fn new() -> Self {
        let content = (0..200_000u64).map(|i| ((i * i) >> 7) as u8).collect();
        Self { folder: tempfile::tempdir().unwrap(), content, seen: vec![] }
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join(format!("{NAME}.part"))
    }

    fn fetch(&mut self, mirrors: &[&Mirror]) -> Result<(), FetchError> {
        crate::tls::prepare();
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let sha256: String = Sha256::digest(&self.content).iter().map(|byte| format!("{byte:02x}")).collect();
        // Published hashes are constants; a test's may stay for the rest of the process.
        let files = [RemoteFile { name: NAME, bytes: self.content.len() as u64, sha256: sha256.leak() }];
        let urls: Vec<_> = mirrors.iter().map(|mirror| mirror.url.as_str()).collect();
        let folder = self.folder.path().to_owned();
        fetch(&client, &urls, &files, &folder, &mut |progress| {
            assert_eq!((progress.file, progress.total), (NAME, 200_000));
            self.seen.push(progress.done);
        })
    }

    fn assert_there(&self) {
        assert!(fs::read(self.folder.path().join(NAME)).unwrap() == self.content, "the file is not the one");
        assert!(!self.part().exists(), "the part is left over");
    }

    fn assert_fails(&mut self, mirrors: &[&Mirror]) -> Vec<String> {
        let Err(FetchError::Mirrors { answers, .. }) = self.fetch(mirrors) else { panic!("no mirror has the file") };
        assert!(!self.folder.path().join(NAME).exists());
        answers.into_iter().map(|answer| answer.said).collect()
    }
}

#[test]
fn a_fresh_file() {
    let mut case = Case::new();
    let mirror = Mirror::start(&case.content, &[Way::Good]);
    case.fetch(&[&mirror]).unwrap();
    case.assert_there();
    assert_eq!(mirror.ranges(), [None]);
    assert_eq!((case.seen[0], case.seen.last()), (0, Some(&200_000)));
    assert!(case.seen.is_sorted());
    case.fetch(&[&mirror]).unwrap();
    assert_eq!(mirror.ranges().len(), 1, "what is there is not asked for again");
}

#[test]
fn a_part_is_gone_on_with() {
    let mut case = Case::new();
    fs::write(case.part(), &case.content[..70_000]).unwrap();
    let mirror = Mirror::start(&case.content, &[Way::Good]);
    case.fetch(&[&mirror]).unwrap();
    case.assert_there();
    assert_eq!(mirror.ranges(), [Some(70_000)]);
    assert_eq!(case.seen[0], 70_000);
}

#[test]
fn a_whole_part_needs_no_mirror() {
    let mut case = Case::new();
    fs::write(case.part(), &case.content).unwrap();
    let mirror = Mirror::start(&case.content, &[Way::NotFound]);
    case.fetch(&[&mirror]).unwrap();
    case.assert_there();
    assert!(mirror.ranges().is_empty());
}

#[test]
fn a_mirror_without_ranges_starts_over() {
    for way in [&[Way::Whole], &[Way::Unsatisfiable]] {
        let mut case = Case::new();
        fs::write(case.part(), b"other bytes").unwrap();
        let mirror = Mirror::start(&case.content, way);
        case.fetch(&[&mirror]).unwrap();
        case.assert_there();
    }
}

#[test]
fn a_rotten_part_is_thrown_away() {
    for rot in [vec![7; 70_000], vec![7; 200_000], vec![7; 300_000]] {
        let mut case = Case::new();
        fs::write(case.part(), rot).unwrap();
        let mirror = Mirror::start(&case.content, &[Way::Good]);
        case.fetch(&[&mirror]).unwrap();
        case.assert_there();
        assert_eq!(mirror.ranges().last(), Some(&None));
    }
}

#[test]
fn an_interrupted_connection_is_resumed_where_it_broke() {
    let mut case = Case::new();
    let mirror = Mirror::start(&case.content, &[Way::Cut(60_000), Way::Cut(60_000), Way::Good]);
    case.fetch(&[&mirror]).unwrap();
    case.assert_there();
    assert_eq!(mirror.ranges(), [None, Some(60_000), Some(120_000)]);
}

#[test]
fn another_mirror_goes_on_where_one_broke() {
    let mut case = Case::new();
    let broken = Mirror::start(&case.content, &[Way::Cut(60_000), Way::Cut(0)]);
    let good = Mirror::start(&case.content, &[Way::Good]);
    case.fetch(&[&broken, &good]).unwrap();
    case.assert_there();
    assert_eq!(good.ranges(), [Some(60_000)]);
}

#[test]
fn a_mirror_that_lacks_the_file_leaves_the_part_alone() {
    let mut case = Case::new();
    fs::write(case.part(), &case.content[..70_000]).unwrap();
    let missing = Mirror::start(&case.content, &[Way::NotFound]);
    let good = Mirror::start(&case.content, &[Way::Good]);
    case.fetch(&[&missing, &good]).unwrap();
    case.assert_there();
    assert_eq!((missing.ranges().len(), good.ranges()), (1, vec![Some(70_000)]));
}

#[test]
fn wrong_bytes_lead_to_the_next_mirror() {
    let mut case = Case::new();
    let wrong = Mirror::start(&case.content, &[Way::Wrong]);
    let long = Mirror::start(&case.content, &[Way::Longer]);
    let good = Mirror::start(&case.content, &[Way::Good]);
    case.fetch(&[&wrong, &long, &good]).unwrap();
    case.assert_there();
    assert_eq!(good.ranges(), [None], "nothing of the wrong bytes is kept");
}

#[test]
fn the_error_lists_what_every_mirror_said() {
    let mut case = Case::new();
    let content = case.content.clone();
    let missing = Mirror::start(&content, &[Way::NotFound]);
    let wrong = Mirror::start(&content, &[Way::Wrong]);
    let page = Mirror::start(b"<html>please log in</html>", &[Way::Whole]);
    let said = case.assert_fails(&[&missing, &wrong, &page]);
    assert_eq!(said[0], "answered 404 Not Found");
    assert!(said[1].starts_with("sent other bytes: sha256 "), "{}", said[1]);
    assert_eq!(said[2], "offers 26 bytes where 200000 are missing");
    assert_eq!(said.len(), 3);
    let error = case.fetch(&[&missing]).unwrap_err().to_string();
    assert_eq!(error, format!("cannot download {NAME}:\n  {}{NAME}: answered 404 Not Found", missing.url));
}

#[test]
fn a_mirror_that_is_not_there_says_so() {
    let mut case = Case::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = Mirror { url: format!("http://{}/", listener.local_addr().unwrap()), ranges: Arc::default() };
    drop(listener);
    let said = case.assert_fails(&[&gone]);
    assert!(said[0].to_lowercase().contains("refused"), "{}", said[0]);
}
