//! What is no dump, and folders that cannot be written to.

use std::fs;

use gpt2_train::data::{EncodingErrors, WikiOptions};
use gpt2_train::{Control, Error};

use super::{INDONESIAN, Place, compress, content, extract, many, multistream, page, text_of, xml};

/// Makes articles of a file; whatever is wrong with it, nothing is left.
#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, parts: &[&str]) {
    let place = Place::new();
    let dump = place.write("dump", bytes);
    let error = extract(&[dump], &place.path("out"), &WikiOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Dump { .. }), "{error:?}");
    let message = error.to_string();
    for part in ["dump, byte "].iter().chain(parts) {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
    assert!(!place.path("out").exists());
}

#[test]
fn damaged_dumps_are_refused_and_nothing_is_left() {
    let pages = many(120, 0);
    let whole = multistream(&INDONESIAN, &pages);
    let one = compress(&xml(&INDONESIAN, &pages));
    refused(&whole[..whole.len() / 2], &["cut off"]);
    refused(&one[..one.len() / 2], &["cut off"]);
    refused(&one[..one.len() - 3], &["cut off"]);
    refused(
        [&*whole, b"sisa"].concat(),
        &[&format!("byte {}: something else follows", whole.len())],
    );
    let mut flipped = one.clone();
    flipped[one.len() / 2] ^= 0x10;
    refused(&flipped, &["block that begins here is corrupt"]);
    refused(compress("teks biasa saja"), &["byte 0 of the XML", "expected <mediawiki>"]);
    refused(xml(&INDONESIAN, &pages).replace("mediawiki", "wiki"), &["the root element is <wiki>"]);
    refused(
        xml(&INDONESIAN, &pages).replacen("cabai", "&cabai;", 1),
        &["the entity &cabai; is not known"],
    );
    refused(xml(&INDONESIAN, &pages).replacen("<ns>0</ns>", "", 1), &["has no <ns>"]);
    let text = xml(&INDONESIAN, &pages);
    refused(&text[..text.len() * 2 / 3], &["of the XML", "cut off"]);
    let mut bytes = text.into_bytes();
    let place = bytes.windows(5).position(|window| window == b"cabai").unwrap();
    bytes[place] = 0xff;
    refused(compress_bytes(&bytes), &[&format!("byte {place} of the XML: the text is not UTF-8")]);
}

fn compress_bytes(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(1));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn malformed_pages_and_bytes_may_be_passed_over() {
    let place = Place::new();
    let good = page(1, 0, "A", "Kebun.");
    let pages = [
        good.clone(),
        page(2, 0, "B", "x").replace("<ns>0</ns>", ""),
        page(3, 0, "C", "x").replace(">x<", ">&x;<"),
        page(4, 0, "D", "Padi."),
    ];
    let mut bytes = xml(&INDONESIAN, &pages).into_bytes();
    let at = bytes.windows(4).rposition(|window| window == b"Padi").unwrap();
    bytes[at + 1] = 0xff;
    let dump = [place.write("a.xml", &bytes)];
    let skip = WikiOptions { skip_malformed: true, ..WikiOptions::default() };
    let manifest = extract(&dump, &place.path("a"), &skip).unwrap();
    assert_eq!((manifest.counts.articles, manifest.counts.dropped.malformed), (1, 3));
    let replace = WikiOptions { encoding_errors: EncodingErrors::Replace, ..skip };
    let manifest = extract(&dump, &place.path("b"), &replace).unwrap();
    assert_eq!((manifest.counts.articles, manifest.counts.dropped.malformed), (2, 2));
    assert_eq!(text_of(&place.path("b")), "Kebun.\n\nP\u{fffd}di.\n");
}

#[test]
fn an_error_behind_what_is_saved_leaves_the_folder_unfinished() {
    let place = Place::new();
    let good = place.write("a.xml", xml(&INDONESIAN, &many(20, 0)));
    let bad = place.write("b.xml", xml(&INDONESIAN, &many(20, 20)).replace("[[kebun", "&x;"));
    let dumps = [good, bad];
    let options = WikiOptions { save_every: std::time::Duration::ZERO, ..WikiOptions::default() };
    let output = place.path("out");
    for _ in 0..2 {
        let error = extract(&dumps, &output, &options).unwrap_err().to_string();
        assert!(error.contains("b.xml, byte"), "{error}");
        let names: Vec<String> = content(&output).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["progress.json", "unfinished.json", "wiki-00000.txt.part"]);
    }
}

#[test]
fn folders_with_other_content_are_left_alone() {
    let place = Place::new();
    let dump = [place.write("a.xml", xml(&INDONESIAN, &many(20, 0)))];
    for name in ["skripsi.txt", "wiki-00000.txt", "manifest.toml"] {
        let folder = place.path(&format!("with-{name}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(name), "lima tahun").unwrap();
        for overwrite in [false, true] {
            let options = WikiOptions { overwrite, ..WikiOptions::default() };
            let error = extract(&dump, &folder, &options).unwrap_err().to_string();
            assert!(error.contains("other content") && error.contains(name), "{error}");
        }
        assert_eq!(content(&folder), [(name.to_string(), b"lima tahun".to_vec())]);
    }
    let empty = place.path("empty");
    fs::create_dir(&empty).unwrap();
    extract(&dump, &empty, &WikiOptions::default()).unwrap();
    fs::write(empty.join("progress.json"), "{").unwrap();
    fs::remove_file(empty.join("manifest.json")).unwrap();
    let error = extract(&dump, &empty, &WikiOptions::default()).unwrap_err().to_string();
    assert!(error.contains("other content"), "{error}");
}

#[test]
fn broken_notes_are_refused() {
    let place = Place::new();
    let dumps = [
        place.write("a.xml", xml(&INDONESIAN, &many(20, 0))),
        place.write("b.xml", xml(&INDONESIAN, &many(20, 20))),
    ];
    let output = place.path("out");
    let stop = || {
        gpt2_train::data::extract_wiki(&dumps, &output, &WikiOptions::default(), &mut |_| {
            Control::Stop
        })
    };
    stop().unwrap();
    let notes = fs::read_to_string(output.join("progress.json")).unwrap();
    let shard = "\"name\": \"wiki-00000.txt\"";
    assert!(notes.contains(shard));
    for (found, replaced, part) in [
        ("{", "[", "not of this format"),
        ("gpt2-wiki", "gpt2-tokens", "`format` is \"gpt2-tokens\""),
        ("\"version\": 1", "\"version\": 2", "`version` is 2"),
        (shard, "\"name\": \"../a.xml\"", "not of this job"),
        ("\"bit\": 0", "\"bit\": 800000000", "not of this job"),
        ("\"skip\": ", "\"skip\": 9999999", "the place to go on at is none"),
        ("\"bytes\": ", "\"bytes\": 9999999", "less in it than an earlier run wrote"),
    ] {
        // Of several fields of a name, the last one: those of the shard.
        let at = notes.rfind(found).unwrap();
        let at = if found == "{" { 0 } else { at };
        fs::write(
            output.join("progress.json"),
            format!("{}{replaced}{}", &notes[..at], &notes[at + found.len()..]),
        )
        .unwrap();
        let error = stop().unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn options_that_cannot_be_used_are_named() {
    let place = Place::new();
    let dump = [place.write("a.xml", xml(&INDONESIAN, &[]))];
    for (dumps, options, part) in [
        (&dump[..], WikiOptions { shard_bytes: 0, ..WikiOptions::default() }, "`shard_bytes` is 0"),
        (&dump, WikiOptions { limit: Some(0), ..WikiOptions::default() }, "`limit` is 0"),
        (&[], WikiOptions::default(), "`dumps` is empty"),
        (&[place.path("nowhere")], WikiOptions::default(), "nowhere: cannot read"),
    ] {
        let error = extract(dumps, &place.path("out"), &options).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    // A dump without pages makes a folder without texts.
    let manifest = extract(&dump, &place.path("out"), &WikiOptions::default()).unwrap();
    assert_eq!((manifest.counts.pages, manifest.shards.len()), (0, 0));
}
