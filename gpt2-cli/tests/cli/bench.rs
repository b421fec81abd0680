//! `gpt2 bench`.

use serde_json::{Value, json};

use super::support::{Place, keys, model, read_json};

/// `config.json` of a model that takes no time, with a context of this length.
fn config(place: &Place, n_positions: usize) -> &'static str {
    let mut config = read_json(format!("{}/config.json", model("bbpe")).as_ref());
    for (key, value) in [("n_positions", n_positions), ("vocab_size", 40), ("n_embd", 8)] {
        config[key] = json!(value);
    }
    place.write("config.json", config.to_string())
}

fn what(line: &Value) -> &str {
    line["what"].as_str().unwrap()
}

/// Keys of a measurement, in the order of the alphabet.
const KEYS: [&str; 14] = [
    "bytes",
    "compute_floor_seconds",
    "device_memory_bytes",
    "dtype",
    "flops",
    "memory_floor_seconds",
    "of_floor",
    "peak_bandwidth",
    "peak_flops",
    "peak_memory_bytes",
    "seconds",
    "unit",
    "value",
    "what",
];

/// Checks keys and ranges of a measurement.
fn check(line: &Value) {
    assert_eq!(keys(line), KEYS);
    let number = |key: &str| line[key].as_f64().unwrap();
    for key in ["bytes", "flops", "peak_bandwidth", "peak_flops", "seconds"] {
        assert!(number(key) > 0.0, "{key}: {line}");
    }
    // Numbers that went through text differ in the last bit.
    let is = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-12;
    let compute = number("flops") / number("peak_flops");
    let memory = number("bytes") / number("peak_bandwidth");
    assert!(is(number("compute_floor_seconds"), compute), "{line}");
    assert!(is(number("memory_floor_seconds"), memory), "{line}");
    assert!(is(number("of_floor"), compute.max(memory) / number("seconds")), "{line}");
    assert_eq!(line["dtype"], "f32");
    assert!(line["value"].as_f64().unwrap() > 0.0, "{line}");
    let unit = if what(line).starts_with("first token") { "s" } else { "tok/s" };
    assert_eq!(line["unit"], unit);
    if cfg!(target_os = "linux") {
        assert!(line["peak_memory_bytes"].as_u64().unwrap() > 1 << 20, "{line}");
    }
}

#[test]
fn everything_is_measured_by_default_one_line_each() {
    let place = Place::new();
    let config = config(&place, 1024);
    let lines = place.ok(&["bench", "--config", config, "--repeats", "1", "--json"]).lines();
    lines.iter().for_each(check);
    let expected = [
        "train 1x256",
        "train 4x256",
        "train 1x1024",
        "prefill 1x256",
        "prefill 4x256",
        "prefill 1x1024",
        "decode batch 1",
        "decode batch 8",
        "first token 1x512",
    ];
    assert_eq!(lines.iter().map(what).collect::<Vec<_>>(), expected);
    assert_eq!(place.names(), ["config.json"]);
}

#[test]
fn weights_in_fewer_bits_are_measured_and_named() {
    let place = Place::new();
    let config = config(&place, 96);
    let common = ["bench", "--config", config, "--repeats", "1", "--json"];
    for bits in ["int8", "int4"] {
        let option = ["--quantize", bits];
        let lines = place.ok(&[&common[..], &option].concat()).lines();
        assert_eq!(
            lines.iter().map(what).collect::<Vec<_>>(),
            ["decode batch 1", "decode batch 8"]
        );
        assert!(lines.iter().all(|line| line["dtype"] == bits), "{lines:?}");
        let train = [&option[..], &["--only", "train", "--seq", "8"]].concat();
        place.refused(&[&common[..], &train].concat(), &["training needs weights of f32"]);
    }
}

#[test]
fn in_bf16_decoding_reads_weights_of_it_and_training_multiplies_in_it() {
    let place = Place::new();
    let config = config(&place, 96);
    let options = ["--dtype", "bf16", "--seq", "8", "--repeats", "1", "--json", "--device", "flex"];
    let lines = place.ok(&[&["bench", "--config", config], &options[..]].concat()).lines();
    let expected = ["train 1x8", "prefill 1x8", "decode batch 1", "first token 1x8"];
    assert_eq!(lines.iter().map(what).collect::<Vec<_>>(), expected);
    assert!(lines.iter().all(|line| line["dtype"] == "bf16"), "{lines:?}");
}

#[test]
fn rates_that_are_given_are_not_measured() {
    let place = Place::new();
    let config = config(&place, 96);
    let common = ["bench", "--config", config, "--repeats", "1", "--seq", "8"];
    let rates = ["--peak-tflops", "989.5", "--peak-gbs", "4800"];
    // One thing in this process, then several, each in its own.
    for only in [&["--only", "prefill"][..], &[]] {
        for line in place.ok(&[&common, only, &rates, &["--json"]].concat()).lines() {
            assert_eq!(line["peak_flops"], 989.5e12);
            assert_eq!(line["peak_bandwidth"], 4.8e12);
        }
    }
    let table = place.ok(&[&common[..], &["--only", "prefill"], &rates].concat()).stdout;
    assert!(table.contains("floors: 989.500 TFLOP/s, 4800.0 GB/s"), "{table}");
}

#[test]
fn the_first_process_measures_the_device_for_all() {
    let place = Place::new();
    let config = config(&place, 96);
    let args = ["bench", "--config", config, "--seq", "8", "--repeats", "1", "--json"];
    let lines = place.ok(&args).lines();
    let peaks = |line: &Value| {
        ["peak_flops", "peak_bandwidth"].map(|rate| line[rate].as_f64().unwrap().round())
    };
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| peaks(line) == peaks(&lines[0])), "{lines:?}");
}

#[test]
fn a_small_context_gets_what_it_has_room_for() {
    let place = Place::new();
    let config = config(&place, 79); // 16 tokens, and 64 new ones, the last of which is not read
    let args = ["bench", "--config", config, "--repeats", "1", "--json"];
    let lines = place.ok(&args).lines();
    assert_eq!(lines.iter().map(what).collect::<Vec<_>>(), ["decode batch 1", "decode batch 8"]);
    let parts = ["`seq` is 256 in `train 1x256`", "at most n_positions = 48"];
    place.refused(&["bench", &model("bbpe")], &parts);
}

#[test]
fn batch_and_length_are_those_that_were_asked_for() {
    let (place, model) = (Place::new(), model("bbpe"));
    let config = config(&place, 200);
    for (subject, options, expected) in [
        (&[&model[..]][..], &["--only", "train", "--batch", "2", "--seq", "9"][..], "train 2x9"),
        (&[&model], &["--only", "train", "--seq", "9", "--dropout", "0"], "train 1x9"),
        (&[&model], &["--only", "prefill", "--seq", "48", "--device", "ndarray"], "prefill 1x48"),
        (&[&model], &["--only", "first-token", "--batch", "3", "--seq", "5"], "first token 3x5"),
        (&["--config", config], &["--only", "decode", "--batch", "3"], "decode batch 3"),
        (&["--config", config], &["--only", "decode", "--seq", "137"], "decode batch 1"),
    ] {
        let args = [&["bench"], subject, options, &["--repeats", "2", "--threads", "1"]].concat();
        let line = place.json(&args);
        check(&line);
        assert_eq!(what(&line), expected);
    }
    let args = ["bench", "--config", config, "--seq", "100", "--repeats", "1", "--json"];
    let lines = place.ok(&args).lines();
    let expected = ["train 1x100", "prefill 1x100", "decode batch 1", "first token 1x100"];
    assert_eq!(lines.iter().map(what).collect::<Vec<_>>(), expected);
}

#[test]
fn people_get_a_table() {
    let (place, model) = (Place::new(), model("bbpe"));
    let table = place.ok(&["bench", &model, "--only", "prefill", "--seq", "8"]).stdout;
    for part in
        ["prefill 1x8", "tok/s", "f32", "peak memory", "FLOPs / peak", "of floor", "floors: "]
    {
        assert!(table.contains(part), "{table}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let (place, model) = (Place::new(), model("bbpe"));
    for (options, parts) in [
        (&["--seq", "49"][..], &["`seq` is 49 in `train 1x49`", "n_positions = 48"][..]),
        (&["--only", "decode"], &["`seq` is 16 with 63 behind", "n_positions = 48"]),
        (&["--only", "train", "--seq", "1"], &["no token to predict"]),
        (&["--only", "train", "--seq", "8", "--dropout", "1"], &["`dropout` is 1", "[0, 1)"]),
        (&["--only", "prefill", "--dropout", "0"], &["`dropout` is for training alone"]),
        (&["--batch", "4294967296", "--seq", "8"], &["`batch` is 4294967296", "at most"]),
    ] {
        place.refused(&[&["bench", &model], options].concat(), parts);
    }
    // What goes wrong in a process of its own is told by the first one.
    let args = ["bench", "--config", config(&place, 100), "--seq", "1"];
    place.refused(&args, &["no token to predict"]);
    place.refused(&["bench", "--config", "nowhere.json"], &["nowhere.json"]);
}
