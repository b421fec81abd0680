//! `gpt2 data wiki`.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bzip2::Compression;
use bzip2::write::BzEncoder;
use serde_json::json;

use super::support::{Place, content, keys, model, names, read_json};

const HEAD: &str = "<mediawiki xmlns=\"http://www.mediawiki.org/xml/export-0.11/\" version=\"0.11\" xml:lang=\"id\">\n  <siteinfo>\n    \
    <sitename>Wikipedia</sitename>\n    <base>https://id.wikipedia.org/wiki/Halaman_Utama</base>\n    <namespaces>\n      \
    <namespace key=\"0\" case=\"first-letter\" />\n      <namespace key=\"6\" case=\"first-letter\">Berkas</namespace>\n    </namespaces>\n  \
    </siteinfo>\n";

const END: &str = "</mediawiki>\n";

fn page(id: usize, text: &str) -> String {
    format!(
        "  <page>\n    <title>Petani {id}</title>\n    <ns>0</ns>\n    <id>{id}</id>\n    <revision>\n      <id>{id}</id>\n      \
         <model>wikitext</model>\n      <format>text/x-wiki</format>\n      <text bytes=\"1\" xml:space=\"preserve\">{text}</text>\n    \
         </revision>\n  </page>\n"
    )
}

fn compress(text: &str) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), Compression::new(9));
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Two articles, and pages that are none.
fn small(place: &Place) -> &'static str {
    let pages = [
        page(1, "'''Kebun''' itu [[tanah|luas]].\n== Isi ==\nCabai &amp; tomat."),
        page(2, "#ALIH [[Kebun]]"),
        page(3, "{{disambig}}"),
        page(4, "Pendek."),
        page(5, "Padi {{x}} tumbuh di sawah."),
    ];
    place.write("small.xml.bz2", compress(&format!("{HEAD}{}{END}", pages.concat())))
}

/// A dump in streams, of so many megabytes of XML.
fn large(place: &Place, megabytes: usize) -> &'static str {
    let text = |id: usize| {
        let line = |at: usize| {
            format!(
                "Petani {} menanam {} cabai di [[kebun|ladang]].\n\n",
                id * 7919 % 1009,
                at * id % 997
            )
        };
        (0..120).map(line).collect::<String>()
    };
    let mut pages = String::new();
    for id in 1.. {
        pages.push_str(&page(id, &text(id)));
        if pages.len() > 1 << 20 {
            break;
        }
    }
    let stream = compress(&pages);
    place.write("large.xml.bz2", [compress(HEAD), stream.repeat(megabytes), compress(END)].concat())
}

fn wiki<'a>(dump: &'a str, output: &'a str) -> Vec<&'a str> {
    vec!["data", "wiki", dump, "--output", output, "--shard-bytes", "10000000", "--quiet"]
}

fn start(place: &Place, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_gpt2"))
        .args(args)
        .current_dir(place.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_dump_becomes_texts_that_can_be_tokenized() {
    let (place, model) = (Place::new(), model("bbpe"));
    let dump = small(&place);
    let made = place.json(&["data", "wiki", dump, "--output", "a", "--min-length", "10"]);
    assert_eq!(
        keys(&made),
        ["articles", "bytes", "characters", "dropped", "pages", "seconds", "shards"]
    );
    assert_eq!(
        (&made["pages"], &made["articles"], &made["shards"]),
        (&json!(5), &json!(2), &json!(1))
    );
    assert_eq!(
        made["dropped"],
        json!({
            "namespace": 0, "redirect": 1, "disambiguation": 1, "short": 1, "not_wikitext": 0, "malformed": 0, "too_large": 0,
        })
    );
    let text = fs::read_to_string(place.path("a/wiki-00000.txt")).unwrap();
    assert_eq!(text, "Kebun itu luas.\nIsi\nCabai & tomat.\n\nPadi tumbuh di sawah.\n");
    assert_eq!(made["bytes"], json!(text.len()));
    let tokens = place.json(&["data", "tokenize", "--tokenizer", &model, "--output", "t", "a"]);
    assert_eq!(tokens["documents"], json!(2));
    let options = ["--title", "--headings", "drop", "--format", "jsonl", "--limit", "1"];
    let printed = place.ok(&[&["data", "wiki", dump, "--output", "b"], &options[..]].concat());
    assert!(printed.stdout.contains("articles     1"), "{}", printed.stdout);
    assert_eq!(
        read_json(&place.path("b/wiki-00000.jsonl")),
        json!({
            "id": "1", "url": "https://id.wikipedia.org/wiki/Petani_1", "title": "Petani 1",
            "text": "Petani 1\nKebun itu luas.\nCabai & tomat.",
        })
    );
}

#[test]
fn what_is_no_dump_or_no_place_is_refused_and_nothing_is_written() {
    let place = Place::new();
    let dump = small(&place);
    let bytes = fs::read(place.path(dump)).unwrap();
    place.write("cut.xml.bz2", &bytes[..bytes.len() / 2]);
    place.write("story.txt", "Nenek menanam cabai.");
    place.write("page.html", "<html><body/></html>");
    place.write("bad.xml", format!("{HEAD}{}{END}", page(1, "a &b; c")));
    for (dump, part) in [
        ("nowhere.bz2", "nowhere.bz2: cannot read"),
        ("cut.xml.bz2", "cut.xml.bz2, byte 4: the bzip2 block that begins here has no end"),
        ("story.txt", "story.txt, byte 0: something else, expected bzip2 data or XML"),
        ("page.html", "page.html, byte 0 of the XML: the root element is <html>"),
        ("bad.xml", "the entity &b; is not known"),
    ] {
        place.refused(&["data", "wiki", dump, "--output", "o"], &[part]);
    }
    place.refused(&["data", "wiki", dump, "--output", "."], &["`output`"]);
    place.refused(
        &["data", "wiki", dump, "--output", "o", "--shard-bytes", "0"],
        &["`shard_bytes`"],
    );
    place.ok(&["data", "wiki", "bad.xml", "--output", "o", "--skip-malformed"]);
    place.refused(
        &["data", "wiki", "bad.xml", "--output", "o"],
        &["o: it holds articles of another job", "`skip_malformed`"],
    );
    place.ok(&["data", "wiki", dump, "--output", "o", "--overwrite"]);
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_and_gives_the_same_bytes() {
    let place = Place::new();
    let dump = large(&place, 60);
    let start_of_run = std::time::Instant::now();
    place.ok(&wiki(dump, "whole"));
    let whole_run = start_of_run.elapsed();
    let expected = content(&place, "whole");
    assert!(expected.len() > 3, "{:?}", names(&place.path("whole")));
    let mut killed = 0;
    for moment in 1..7 {
        let mut child = start(&place, &wiki(dump, "killed"));
        std::thread::sleep(whole_run.mul_f64(0.15 * f64::from(moment)));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
    }
    assert!(killed >= 2, "{killed}");
    place.ok(&wiki(dump, "killed"));
    assert_eq!(names(&place.path("killed")), names(&place.path("whole")));
    assert!(content(&place, "killed") == expected);
}

#[cfg(unix)]
#[test]
fn a_signal_saves_and_the_same_command_goes_on() {
    let place = Place::new();
    let dump = large(&place, 40);
    place.ok(&wiki(dump, "whole"));
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let output = signal.trim_start_matches('-');
        let child = start(&place, &wiki(dump, output));
        while !place.path(output).join("wiki-00000.txt.part").exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let ran = child.wait_with_output().unwrap();
        let message = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{message}");
        assert!(message.contains("articles; the same command goes on"), "{message}");
        assert!(place.path(output).join("unfinished.json").exists());
        place.refused(
            &["data", "tokenize", "--tokenizer", &model("bbpe"), "--output", "t", output],
            &["it is not complete"],
        );
        place.ok(&wiki(dump, output));
        assert!(content(&place, output) == content(&place, "whole"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_dump_or_with_what_a_block_unpacks_to() {
    let place = Place::new();
    let dump = large(&place, 150);
    // A page of 300 MB, in less than a kilobyte.
    let bomb = format!("{HEAD}{}{}{END}", page(1, &"a".repeat(300 << 20)), page(2, "Padi."));
    place.write("bomb.xml.bz2", compress(&bomb));
    drop(bomb);
    for (dump, articles) in [(dump, "large"), ("bomb.xml.bz2", "bomb")] {
        let mut child = start(&place, &[&wiki(dump, articles)[..], &["--threads", "2"]].concat());
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes = high.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
            peak = kilobytes.unwrap_or(peak);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(child.wait().unwrap().success());
        assert!(peak > 0 && peak < 150_000, "{dump}: {peak} kB");
    }
    let manifest = read_json(&place.path("bomb/manifest.json"));
    assert_eq!(manifest["counts"]["dropped"]["too_large"], json!(1));
    assert_eq!(fs::read_to_string(place.path("bomb/wiki-00000.txt")).unwrap(), "Padi.\n");
}
