//! Dumps from end to end, on files made here.

use std::io::Write;
use std::path::Path;

use ::bzip2::Compression;
use ::bzip2::write::BzEncoder;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::data::EncodingErrors;
use crate::{Error, Result};

const HEAD: &str = "<mediawiki xmlns=\"http://www.mediawiki.org/xml/export-0.11/\" version=\"0.11\" xml:lang=\"id\">\n  <siteinfo>\n    \
    <sitename>Wikipedia</sitename>\n    <dbname>idwiki</dbname>\n    <base>https://id.wikipedia.org/wiki/Halaman_Utama</base>\n    \
    <namespaces>\n      <namespace key=\"-2\" case=\"first-letter\">Media</namespace>\n      <namespace key=\"0\" case=\"first-letter\" />\n      \
    <namespace key=\"6\" case=\"first-letter\">Arsip &amp; berkas</namespace>\n    </namespaces>\n  </siteinfo>\n";

fn page(id: usize, text: &str) -> String {
    format!(
        "  <page>\n    <title>Judul {id} &amp; lain</title>\n    <ns>0</ns>\n    <id>{id}</id>\n    <revision>\n      <id>9{id}</id>\n      \
         <parentid>1</parentid>\n      <timestamp>2024-01-01T00:00:00Z</timestamp>\n      <contributor>\n        <username>A</username>\n        \
         <id>77</id>\n      </contributor>\n      <comment>x</comment>\n      <model>wikitext</model>\n      <format>text/x-wiki</format>\n      \
         <text bytes=\"3\" sha1=\"abc\" xml:space=\"preserve\">{text}</text>\n      <sha1>abc</sha1>\n    </revision>\n  </page>\n"
    )
}

fn compress(text: &str) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), Compression::new(1));
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn file(bytes: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    file
}

/// Numbers and texts of all pages, with the place behind each batch, and of pages that are left out.
type Read = (Vec<(u64, String)>, Vec<Place>, u64);

fn read_from(path: &Path, place: Option<Place>) -> Result<Read> {
    let mut dump = Dump::open(path, place)?;
    let (mut pages, mut places, mut too_large) = (Vec::new(), Vec::new(), 0);
    loop {
        let batch = dump.next()?;
        if batch.is_empty() {
            return Ok((pages, places, too_large));
        }
        for page in batch.pages() {
            let read = |page: Page| (page.id, page.text.into_owned());
            pages.push(batch.with_page(path, page, EncodingErrors::Strict, read)?);
        }
        too_large += batch.too_large;
        places.push(batch.end);
    }
}

fn read(bytes: impl AsRef<[u8]>) -> Result<Read> {
    let file = file(bytes);
    read_from(file.path(), None)
}

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, at: u64, part: &str) {
    match read(bytes) {
        Err(Error::Dump { offset, reason, .. }) => {
            assert!(reason.contains(part), "{reason}");
            assert_eq!(offset, at, "{reason}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("expected {part:?}"),
    }
}

#[test]
fn fields_of_pages_are_read_and_unescaped() {
    let text = page(12, "a &lt;ref&gt;&quot;b&quot;&lt;/ref&gt; &amp;nbsp; &#65;");
    let redirect = page(13, "x")
        .replace("<ns>0</ns>", "<ns>1</ns>\n<redirect title=\"A\" />")
        .replace(">wikitext<", ">json<");
    let deleted = page(14, "").replace(
        "<text bytes=\"3\" sha1=\"abc\" xml:space=\"preserve\"></text>",
        "<text bytes=\"0\" deleted=\"deleted\" />",
    );
    let xml = format!("{HEAD}{text}{redirect}{deleted}</mediawiki>\n");
    let file = file(xml);
    let mut dump = Dump::open(file.path(), None).unwrap();
    assert!(dump.site().is_hidden("arsip & berkas"));
    assert_eq!(dump.site().base, "https://id.wikipedia.org/wiki/");
    let batch = dump.next().unwrap();
    let mut seen = Vec::new();
    for page in batch.pages() {
        batch
            .with_page(file.path(), page, EncodingErrors::Strict, |page| {
                seen.push(format!("{page:?}"))
            })
            .unwrap();
    }
    let page = |id, namespace, is_redirect, is_wikitext, text: &'static str| {
        let title = format!("Judul {id} & lain").into();
        format!("{:?}", Page { id, namespace, title, is_redirect, is_wikitext, text: text.into() })
    };
    assert_eq!(
        seen,
        [
            page(12, 0, false, true, "a <ref>\"b\"</ref> &nbsp; A"),
            page(13, 1, true, false, "x"),
            page(14, 0, false, true, ""),
        ]
    );
}

#[test]
fn the_last_of_several_revisions_counts() {
    let revision = |text: &str| format!("<revision><id>1</id><text>{text}</text></revision>");
    let xml = format!(
        "{HEAD}<page><title>A</title><ns>0</ns><id>5</id>{}{}</page></mediawiki>",
        revision("lama"),
        revision("baru")
    );
    assert_eq!(read(&xml).unwrap().0, [(5, "baru".to_string())]);
    assert_eq!(read(format!("\u{feff}{xml}")).unwrap().0, [(5, "baru".to_string())]);
}

/// A dump in streams as `multistream` has them: the head, pages a few at a time, and the end.
fn multistream(pages: usize) -> Vec<u8> {
    let numbers: Vec<usize> = (0..pages).collect();
    let chunks = numbers.chunks(7).map(|chunk| {
        compress(
            &chunk
                .iter()
                .map(|&id| page(id, &format!("teks {} ", id * 7919).repeat(400)))
                .collect::<String>(),
        )
    });
    [vec![compress(HEAD)], chunks.collect(), vec![compress("</mediawiki>\n")]].concat().concat()
}

#[test]
fn streams_parts_and_plain_files_hold_the_same_pages() {
    let pages = 1_500;
    let xml: String =
        (0..pages).map(|id| page(id, &format!("teks {} ", id * 7919).repeat(400))).collect();
    let xml = format!("{HEAD}{xml}</mediawiki>\n");
    let plain = read(&xml).unwrap();
    assert_eq!(plain.0.len(), pages);
    assert!(plain.1.len() > 1);
    for bytes in [multistream(pages), compress(&xml)] {
        let file = file(bytes);
        let (read, places, _) = read_from(file.path(), None).unwrap();
        assert!(read == plain.0);
        for place in places {
            let rest = read_from(file.path(), Some(place)).unwrap().0;
            assert!(rest == plain.0[pages - rest.len()..]);
        }
    }
    let file = file(&xml);
    for place in plain.1 {
        let rest = read_from(file.path(), Some(place)).unwrap().0;
        assert!(rest == plain.0[pages - rest.len()..]);
    }
}

#[test]
fn pages_that_are_too_long_are_counted_and_left_out() {
    let long = page(2, &"panjang ".repeat(3 << 20));
    let xml = format!("{HEAD}{}{long}{}{long}{long}</mediawiki>", page(1, "a"), page(3, "b"));
    let file = file(xml);
    let (pages, places, too_large) = read_from(file.path(), None).unwrap();
    assert_eq!(pages, [(1, "a".to_string()), (3, "b".to_string())]);
    assert_eq!(too_large, 3);
    for place in places {
        read_from(file.path(), Some(place)).unwrap();
    }
}

#[test]
fn what_is_no_dump_is_refused_with_its_place() {
    let head = HEAD.len() as u64;
    let whole = page(1, "a");
    let end = "</mediawiki>";
    refused("", 0, "an empty file");
    refused("ini bukan XML", 0, "something else");
    refused(b"\x1f\x8b\x08 gzip", 0, "gzip data");
    refused("<html><page></page></html>", 0, "the root element is <html>, expected <mediawiki>");
    refused("<?xml version=\"1.0\"?>\n<feed><x/></feed>", 22, "the root element is <feed>");
    refused(compress("bukan XML"), 0, "expected <mediawiki>");
    refused(HEAD, head, "cut off");
    refused(format!("{HEAD}{whole}"), head + whole.len() as u64, "without </mediawiki>");
    refused(format!("{HEAD}{}", &whole[..200]), head + 200, "cut off");
    refused(
        format!("{HEAD}{whole}teks{end}"),
        head + whole.len() as u64,
        "expected <page> or </mediawiki>",
    );
    refused(
        format!("{HEAD}{whole}{end}\nlagi"),
        head + whole.len() as u64 + 13,
        "something follows </mediawiki>",
    );
    refused(
        HEAD.replace("key=\"6\"", "key=\"enam\"") + end,
        HEAD.find("<namespace key=\"6\"").unwrap() as u64,
        "without a `key`",
    );
    let mut bytes = HEAD.as_bytes().to_vec();
    bytes[20] = 0xff;
    bytes.extend_from_slice(end.as_bytes());
    refused(bytes, 20, "not UTF-8");
}

#[test]
fn what_is_no_page_is_refused_with_its_place() {
    let text_at = page(1, "").find("></text>").unwrap() as u64 + 1;
    let at = HEAD.len() as u64 - 2;
    let dump = |page: &str| format!("{HEAD}{}</mediawiki>", page.trim_start());
    refused(dump(&page(1, "kebun &tidak; x")), at + text_at + 6, "the entity &tidak; is not known");
    refused(dump(&page(1, "kebun & x")), at + text_at + 6, "reference not closed");
    refused(dump(&page(1, "&#xzz;")), at + text_at, "character reference");
    refused(dump(&page(1, "&nbsp;")), at + text_at, "&nbsp; is not known");
    for (field, without) in [
        ("id", page(1, "a").replace("    <id>1</id>\n", "")),
        ("ns", page(1, "a").replace("    <ns>0</ns>\n", "")),
        ("title", page(1, "a").replace("    <title>Judul 1 &amp; lain</title>\n", "")),
        ("text", page(1, "a").replace("<text ", "<teks ").replace("</text>", "</teks>")),
    ] {
        let end = HEAD.len() + without.trim().len();
        refused(dump(&without), end as u64, &format!("no <{field}>"));
    }
    let title = page(1, "a").replace("Judul 1", &"J".repeat(5000));
    refused(dump(&title), at + title.find("JJ").unwrap() as u64, "expected at most 4096");
    let number = page(1, "a").replace("<ns>0<", "<ns>nol<");
    refused(
        dump(&number),
        at + number.find("nol").unwrap() as u64,
        "<ns> is \"nol\", expected a whole number",
    );
    let open = page(1, "a").replace("</title>", "");
    match read(dump(&open)) {
        Err(Error::Dump { reason, .. }) => assert!(reason.contains("malformed XML"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let mut bytes = dump(&page(1, "kebun")).into_bytes();
    let place = bytes.windows(5).position(|window| window == b"kebun").unwrap();
    bytes[place + 2] = 0xe3;
    refused(&bytes, place as u64 + 2, "not UTF-8");
    let file = file(bytes);
    let batch = Dump::open(file.path(), None).unwrap().next().unwrap();
    let text = batch.with_page(file.path(), &batch.pages()[0], EncodingErrors::Replace, |page| {
        page.text.into_owned()
    });
    assert_eq!(text.unwrap(), "ke\u{fffd}un");
}

#[test]
fn changed_bytes_of_a_dump_are_errors_or_another_dump() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let whole = format!("{HEAD}{}{}</mediawiki>\n", page(1, "a &lt;b&gt;"), page(2, "c"));
    let (mut errors, mut dumps) = (0, 0);
    for _ in 0..3_000 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random(),
                1 => bytes[at] = b"<>&;/\"="[rng.random_range(0..7)],
                2 => _ = bytes.remove(at),
                _ => bytes.truncate(at.max(1)),
            }
        }
        match read(bytes) {
            Ok((pages, ..)) => {
                assert!(pages.len() <= 2);
                dumps += 1;
            }
            Err(Error::Dump { offset, .. }) => {
                assert!(offset <= whole.len() as u64);
                errors += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(errors > 500 && dumps > 200, "{errors} {dumps}");
}
