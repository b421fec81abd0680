//! `extract_wiki` on dumps made here, in the format that Wikipedia publishes.

mod bad;
mod languages;
mod resume;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use bzip2::Compression;
use bzip2::write::BzEncoder;
use gpt2_train::data::{TextFormat, WikiManifest, WikiOptions, extract_wiki, read_documents};
use gpt2_train::{Control, Result};

/// Names of files and categories in a wiki.
pub struct Wiki {
    language: &'static str,
    main_page: &'static str,
    file: &'static str,
    category: &'static str,
}

const INDONESIAN: Wiki =
    Wiki { language: "id", main_page: "Halaman_Utama", file: "Berkas", category: "Kategori" };

impl Wiki {
    /// What stands before the first page.
    fn head(&self) -> String {
        let Self { language, main_page, file, category } = self;
        format!(
            "<mediawiki xmlns=\"http://www.mediawiki.org/xml/export-0.11/\" version=\"0.11\" xml:lang=\"{language}\">\n  \
             <siteinfo>\n    <sitename>Wikipedia</sitename>\n    <dbname>{language}wiki</dbname>\n    \
             <base>https://{language}.wikipedia.org/wiki/{main_page}</base>\n    <generator>MediaWiki 1.43</generator>\n    \
             <case>first-letter</case>\n    <namespaces>\n      <namespace key=\"-2\" case=\"first-letter\">Media</namespace>\n      \
             <namespace key=\"0\" case=\"first-letter\" />\n      <namespace key=\"6\" case=\"first-letter\">{file}</namespace>\n      \
             <namespace key=\"14\" case=\"first-letter\">{category}</namespace>\n    </namespaces>\n  </siteinfo>\n"
        )
    }
}

/// A page of a dump.
pub fn page(id: usize, namespace: i32, title: &str, text: &str) -> String {
    let escape = |text: &str| {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    };
    let (title, bytes, text) = (escape(title), text.len(), escape(text));
    format!(
        "  <page>\n    <title>{title}</title>\n    <ns>{namespace}</ns>\n    <id>{id}</id>\n    <revision>\n      <id>{id}00</id>\n      \
         <parentid>{id}01</parentid>\n      <timestamp>2024-05-06T07:08:09Z</timestamp>\n      <contributor>\n        \
         <username>Petani</username>\n        <id>42</id>\n      </contributor>\n      <minor />\n      <comment>/* a */ b</comment>\n      \
         <origin>{id}00</origin>\n      <model>wikitext</model>\n      <format>text/x-wiki</format>\n      \
         <text bytes=\"{bytes}\" sha1=\"phoiac9h4m842xq45sp7s6u21eteeq1\" xml:space=\"preserve\">{text}</text>\n      \
         <sha1>phoiac9h4m842xq45sp7s6u21eteeq1</sha1>\n    </revision>\n  </page>\n"
    )
}

/// One that leads to another page.
fn redirect(id: usize, title: &str, text: &str) -> String {
    let element = format!("    <id>{id}</id>\n    <redirect title=\"Kebun\" />\n");
    page(id, 0, title, text).replacen(&format!("    <id>{id}</id>\n"), &element, 1)
}

pub fn xml(wiki: &Wiki, pages: &[String]) -> String {
    format!("{}{}</mediawiki>\n", wiki.head(), pages.concat())
}

pub fn compress(text: &str) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), Compression::new(1));
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The same in streams: the head, pages a few at a time, and the end.
pub fn multistream(wiki: &Wiki, pages: &[String]) -> Vec<u8> {
    let streams = pages.chunks(3).map(|pages| compress(&pages.concat()));
    [vec![compress(&wiki.head())], streams.collect(), vec![compress("</mediawiki>\n")]]
        .concat()
        .concat()
}

/// A folder of its own, for dumps and what is made of them.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Makes articles of dumps without a break.
pub fn extract(dumps: &[PathBuf], output: &Path, options: &WikiOptions) -> Result<WikiManifest> {
    extract_wiki(dumps, output, options, &mut |_| Control::Continue).map(Option::unwrap)
}

/// Names and contents of all files of a folder, in order.
pub fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn names(folder: &Path) -> Vec<String> {
    content(folder).into_iter().map(|(name, _)| name).collect()
}

fn text_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("wiki-00000.txt")).unwrap()
}

/// Pages of every kind.
fn pages() -> Vec<String> {
    vec![
        page(
            1,
            0,
            "Kebun",
            "'''Kebun''' adalah sebidang [[tanah]].\n\nIa ditanami cabai.\n== Kosong ==\n== Isi ==\nTomat.",
        ),
        page(2, 1, "Pembicaraan:Kebun", "Halo."),
        redirect(3, "Ladang", "#ALIH [[Kebun]]"),
        page(4, 0, "Huma", "#redirect [[Kebun]]"),
        page(5, 0, "Mawar", "'''Mawar''':\n* [[Mawar (bunga)]]\n{{disambiguasi}}"),
        page(6, 0, "Melati (disambiguasi)", "Melati itu banyak."),
        page(7, 0, "Kunci", "{{Pilihan}}\nKunci itu banyak."),
        page(8, 0, "Pendek", "Pendek."),
        page(9, 0, "Hampa", "{{x}}[[Kategori:y]]"),
        page(10, 0, "Data", "{}").replace(">wikitext<", ">json<"),
        page(11, 0, "Sawah & \"padi\"", "Padi tumbuh di sawah <ref>a</ref>."),
    ]
}

#[test]
fn articles_are_kept_and_all_other_pages_counted() {
    let place = Place::new();
    let dump = place.write("dump.xml.bz2", multistream(&INDONESIAN, &pages()));
    let options = WikiOptions {
        min_length: 10,
        disambiguation_templates: vec!["Pilihan".to_string()],
        ..WikiOptions::default()
    };
    let manifest = extract(&[dump], &place.path("out"), &options).unwrap();
    let text =
        "Kebun adalah sebidang tanah.\nIa ditanami cabai.\nIsi\nTomat.\n\nPadi tumbuh di sawah.\n";
    assert_eq!(text_of(&place.path("out")), text);
    let counts = manifest.counts;
    assert_eq!((counts.pages, counts.articles, counts.bytes), (11, 2, text.len() as u64));
    assert_eq!(counts.characters, text.chars().count() as u64 - 3);
    let dropped = counts.dropped;
    assert_eq!((dropped.namespace, dropped.redirect, dropped.disambiguation), (1, 2, 3));
    assert_eq!(
        (dropped.short, dropped.not_wikitext, dropped.malformed, dropped.too_large),
        (2, 1, 0, 0)
    );
    assert_eq!(names(&place.path("out")), ["manifest.json", "wiki-00000.txt"]);
    assert_eq!(WikiManifest::read(&place.path("out")).unwrap(), manifest);
    // An article is a document.
    assert_eq!(read_documents(place.path("out/wiki-00000.txt")).unwrap().len(), 2);
}

#[test]
fn titles_headings_and_records_are_options() {
    let place = Place::new();
    let dump = [place.write("dump.xml.bz2", compress(&xml(&INDONESIAN, &pages())))];
    let options =
        WikiOptions { min_length: 25, title: true, headings: false, ..WikiOptions::default() };
    extract(&dump, &place.path("a"), &options).unwrap();
    assert_eq!(
        text_of(&place.path("a")),
        "Kebun\nKebun adalah sebidang tanah.\nIa ditanami cabai.\nTomat.\n"
    );
    let options =
        WikiOptions { min_length: 20, format: TextFormat::Jsonl, ..WikiOptions::default() };
    extract(&dump, &place.path("b"), &options).unwrap();
    let lines = fs::read_to_string(place.path("b/wiki-00000.jsonl")).unwrap();
    let records: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2);
    assert_eq!(
        records[1],
        serde_json::json!({
            "id": "11", "title": "Sawah & \"padi\"", "text": "Padi tumbuh di sawah.",
            "url": "https://id.wikipedia.org/wiki/Sawah_%26_%22padi%22",
        })
    );
    assert_eq!(read_documents(place.path("b/wiki-00000.jsonl")).unwrap().len(), 2);
}

/// Pages whose texts are of some length and all different.
pub fn many(count: usize, first: usize) -> Vec<String> {
    let text = |id: usize| {
        let line = |at: usize| {
            format!(
                "Petani {id} menanam {} cabai di [[kebun|ladang]] {at}.{{{{x|{at}}}}}\n\n",
                id * 7919 % (at + 13)
            )
        };
        (0..id % 50).map(line).collect::<String>()
    };
    (first..first + count).map(|id| page(id, 0, &format!("Petani {id}"), &text(id))).collect()
}

#[test]
fn every_way_to_pack_a_dump_gives_the_same_files() {
    let place = Place::new();
    let pages = many(700, 0);
    let plain = place.write("a.xml", xml(&INDONESIAN, &pages));
    let one = place.write("b.xml.bz2", compress(&xml(&INDONESIAN, &pages)));
    let many = place.write("c.xml.bz2", multistream(&INDONESIAN, &pages));
    let parts = [&pages[..300], &pages[300..301], &pages[301..]];
    let parts: Vec<PathBuf> = (0..3)
        .map(|part| place.write(&format!("p{part}.xml.bz2"), multistream(&INDONESIAN, parts[part])))
        .collect();
    let options = WikiOptions { shard_bytes: 100_000, ..WikiOptions::default() };
    let mut expected = None;
    for (index, dumps) in [vec![plain], vec![one], vec![many], parts].into_iter().enumerate() {
        let output = place.path(&index.to_string());
        let manifest = extract(&dumps, &output, &options).unwrap();
        assert!(manifest.shards.len() > 5, "{}", manifest.shards.len());
        let mut files = content(&output);
        files.retain(|(name, _)| name != "manifest.json");
        assert_eq!(files.len(), manifest.shards.len());
        for (shard, (name, bytes)) in manifest.shards.iter().zip(&files) {
            assert_eq!((&shard.name, shard.bytes), (name, bytes.len() as u64));
            assert!(
                shard.bytes <= 100_000 && shard.bytes > 80_000
                    || name == "wiki-00009.txt"
                    || shard.articles > 0
            );
            let documents = read_documents(output.join(name)).unwrap();
            assert_eq!(documents.len() as u64, shard.articles);
        }
        assert_eq!(
            manifest.shards.iter().map(|shard| shard.articles).sum::<u64>(),
            manifest.counts.articles
        );
        assert!(*expected.get_or_insert(files.clone()) == files, "{index}");
    }
}

#[test]
fn a_limit_ends_the_work() {
    let place = Place::new();
    let dump = place.write("a.xml.bz2", compress(&xml(&INDONESIAN, &many(60, 0))));
    let options = WikiOptions { limit: Some(7), ..WikiOptions::default() };
    let manifest = extract(&[dump], &place.path("out"), &options).unwrap();
    // Pages 0 and 50 have no text.
    assert_eq!((manifest.counts.articles, manifest.counts.pages), (7, 8));
    assert_eq!(read_documents(place.path("out/wiki-00000.txt")).unwrap().len(), 7);
}

#[test]
fn threads_change_nothing() {
    let place = Place::new();
    let dump = [place.write("a.xml.bz2", multistream(&INDONESIAN, &many(500, 0)))];
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let output = place.path(&threads.to_string());
        pool.install(|| extract(&dump, &output, &WikiOptions::default())).unwrap();
        content(&output)
    };
    let one = run(1);
    assert!(run(2) == one && run(7) == one);
}
