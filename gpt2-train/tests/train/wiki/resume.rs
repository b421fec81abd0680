//! Runs that were broken off.

use std::fs;
use std::time::Duration;

use gpt2_train::Control;
use gpt2_train::data::{WikiOptions, extract_wiki, find_files};

use super::{INDONESIAN, Place, compress, content, extract, many, multistream, names, xml};

/// Three dumps, packed in three ways.
fn dumps(place: &Place) -> Vec<std::path::PathBuf> {
    let pages = many(900, 0);
    vec![
        place.write("a.xml.bz2", multistream(&INDONESIAN, &pages[..300])),
        place.write("b.xml.bz2", compress(&xml(&INDONESIAN, &pages[300..600]))),
        place.write("c.xml", xml(&INDONESIAN, &pages[600..])),
    ]
}

fn options() -> WikiOptions {
    WikiOptions { shard_bytes: 50_000, save_every: Duration::ZERO, ..WikiOptions::default() }
}

#[test]
fn a_run_that_is_stopped_after_every_batch_gives_the_same_bytes() {
    let place = Place::new();
    let dumps = dumps(&place);
    let (whole, stopped) = (place.path("whole"), place.path("stopped"));
    let expected = extract(&dumps, &whole, &options()).unwrap();
    let mut stops = 0;
    let manifest = loop {
        let made = extract_wiki(&dumps, &stopped, &options(), &mut |_| Control::Stop).unwrap();
        match made {
            Some(manifest) => break manifest,
            None => stops += 1,
        }
        assert!(stops < 100);
        // Nothing looks whole before it is.
        let names = names(&stopped);
        assert!(names.contains(&"unfinished.json".to_string()));
        assert!(
            !names.iter().any(|name| name.ends_with(".txt") || name == "manifest.json"),
            "{names:?}"
        );
        let error = find_files(std::slice::from_ref(&stopped)).unwrap_err().to_string();
        assert!(error.contains("not complete"), "{error}");
        // What was written and not noted, as a killed run leaves it.
        let part = names.iter().rev().find(|name| name.ends_with(".part")).unwrap();
        let mut bytes = fs::read(stopped.join(part)).unwrap();
        bytes.extend_from_slice(b"sisa");
        fs::write(stopped.join(part), bytes).unwrap();
        fs::write(stopped.join("wiki-00099.txt.part"), "sisa").unwrap();
    };
    assert!(stops >= 3, "{stops}");
    assert_eq!(manifest, expected);
    assert!(content(&stopped) == content(&whole));
}

#[test]
fn a_run_that_was_killed_while_files_got_their_names_goes_on() {
    let place = Place::new();
    let dumps = dumps(&place);
    let (whole, killed) = (place.path("whole"), place.path("killed"));
    extract(&dumps, &whole, &options()).unwrap();
    let mut batches = 0;
    extract_wiki(&dumps, &killed, &options(), &mut |_| {
        batches += 1;
        if batches == 2 { Control::Stop } else { Control::Continue }
    })
    .unwrap();
    fs::rename(killed.join("wiki-00000.txt.part"), killed.join("wiki-00000.txt")).unwrap();
    extract(&dumps, &killed, &options()).unwrap();
    assert!(content(&killed) == content(&whole));
}

#[test]
fn another_job_is_refused_with_what_differs() {
    let place = Place::new();
    let dumps = dumps(&place);
    let (whole, stopped) = (place.path("whole"), place.path("stopped"));
    extract(&dumps, &whole, &options()).unwrap();
    extract_wiki(&dumps, &stopped, &options(), &mut |_| Control::Stop).unwrap();
    let before = [content(&whole), content(&stopped)];
    let other = place.write("d.xml", xml(&INDONESIAN, &many(3, 0)));
    let longer = WikiOptions { min_length: 5, ..options() };
    for folder in [&whole, &stopped] {
        for (dumps, options, part) in [
            (&dumps[..], &longer, "`min_length` was 0 and is 5"),
            (&dumps[..2], &options(), "there were 3 dumps and now 2"),
            (std::slice::from_ref(&other), &options(), "there was the dump"),
        ] {
            let error = extract(dumps, folder, options).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("--overwrite"), "{error}");
        }
    }
    assert!([content(&whole), content(&stopped)] == before);
    let changed = fs::read_to_string(&dumps[2]).unwrap().replacen("Petani", "Pekebun", 1);
    fs::write(&dumps[2], changed).unwrap();
    let error = extract(&dumps, &stopped, &options()).unwrap_err().to_string();
    assert!(error.contains("c.xml has another content"), "{error}");
    extract(&dumps, &stopped, &WikiOptions { overwrite: true, ..longer.clone() }).unwrap();
    extract(&dumps, &whole, &WikiOptions { overwrite: true, ..longer }).unwrap();
    assert!(content(&whole) == content(&stopped));
    assert!(content(&whole) != before[0]);
}

#[test]
fn a_folder_that_is_whole_is_left_as_it_is() {
    let place = Place::new();
    let dump = [place.write("a.xml", xml(&INDONESIAN, &many(30, 0)))];
    let output = place.path("out");
    let manifest = extract(&dump, &output, &options()).unwrap();
    let time = fs::metadata(output.join("wiki-00000.txt")).unwrap().modified().unwrap();
    assert_eq!(extract(&dump, &output, &options()).unwrap(), manifest);
    assert_eq!(fs::metadata(output.join("wiki-00000.txt")).unwrap().modified().unwrap(), time);
}
