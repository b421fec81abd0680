//! `--quantize` and `--dtype`.

use super::support::{Place, model, read_json};

const TEXT: &str = "nasi goreng dan sate ayam di pasar malam\n";

/// Every command of inference, of a folder.
fn commands(folder: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["generate", folder, "--prompt", "nasi", "--max-new-tokens", "4"],
        vec!["next", folder, "--prompt", "nasi", "--top", "3"],
        vec!["features", folder, "--prompt", "nasi goreng"],
        vec!["eval", folder, "--data", "text.txt", "--block-size", "8"],
    ]
}

#[test]
fn a_quantized_folder_serves_every_command_as_quantizing_while_loading_does() {
    let (place, source) = (Place::new(), model("bbpe-trained"));
    place.write("text.txt", TEXT.repeat(4));
    for quantize in ["int8", "int4"] {
        place.ok(&["convert", &source, "--output", quantize, "--quantize", quantize]);
        let config = read_json(&place.path(quantize).join("config.json"));
        assert_eq!(config["quantization_config"]["bits"].to_string(), quantize[3..]);
        let info = place.json(&["info", quantize]);
        assert_eq!(info["weights"]["quantization"], quantize);
        assert_eq!(info["parameters"], place.json(&["info", &source])["parameters"]);
        assert!(
            place.ok(&["info", quantize]).stdout.contains(&format!("{quantize}, the rest F32"))
        );
        for (of_folder, of_source) in commands(quantize).into_iter().zip(commands(&source)) {
            let mut stored = place.json(&of_folder);
            let mut loaded = place.json(&[&of_source[..], &["--quantize", quantize]].concat());
            for object in [&mut stored, &mut loaded] {
                object.as_object_mut().unwrap().remove("seconds");
            }
            assert_eq!(stored, loaded, "{of_folder:?}");
        }
    }
}

#[test]
fn a_quantized_folder_becomes_floats_again_or_other_bits() {
    let (place, source) = (Place::new(), model("bbpe-trained"));
    place.ok(&["convert", &source, "--output", "int8", "--quantize", "int8"]);
    place.ok(&["convert", "int8", "--output", "floats"]);
    place.ok(&["convert", "int8", "--output", "again", "--quantize", "int8"]);
    place.ok(&["convert", "int8", "--output", "int4", "--quantize", "int4"]);
    let config = read_json(&place.path("floats").join("config.json"));
    assert!(config.get("quantization_config").is_none(), "{config}");
    assert_eq!(place.json(&["info", "floats"])["weights"]["dtype"], "F32");
    let bytes = |name: &str| std::fs::read(place.path(name).join("model.safetensors")).unwrap();
    assert!(bytes("again") == bytes("int8"));
    assert_eq!(place.json(&["info", "int4"])["weights"]["quantization"], "int4");
    let next =
        |name| place.json(&["next", name, "--prompt", "nasi"])["candidates"][0]["id"].clone();
    assert_eq!(next("floats"), next("int8"));
}

#[test]
fn weights_in_bf16_are_those_of_a_bf16_folder() {
    let (place, source) = (Place::new(), model("bbpe-trained"));
    place.write("text.txt", TEXT.repeat(4));
    place.ok(&["convert", &source, "--output", "half", "--dtype", "bf16"]);
    let eval = |args: &[&str]| {
        let common = ["--data", "text.txt", "--block-size", "8"];
        place.json(&[&["eval"], args, &common].concat())["loss"].as_f64().unwrap()
    };
    let (kept, exact) = (eval(&["half", "--dtype", "bf16"]), eval(&[&source]));
    assert!((kept - eval(&["half"])).abs() < 1e-5);
    assert!((kept - exact).abs() < 1e-2 && kept != exact);
    let both = ["next", "half", "--prompt", "a", "--dtype", "bf16", "--quantize", "int8"];
    assert_eq!(place.run(&both).code, 2);
}

#[test]
fn training_and_gradients_need_floats() {
    let (place, source) = (Place::new(), model("bbpe-trained"));
    place.write("text.txt", TEXT.repeat(40));
    place.ok(&["convert", &source, "--output", "int8", "--quantize", "int8"]);
    let args = ["train", "--model", "int8", "--data", "text.txt", "--output", "run"];
    let ran = place.run(&[&args[..], &["--max-steps", "1", "--quiet"]].concat());
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("`model` is quantized"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`gpt2 convert`"), "{}", ran.stderr);
}
