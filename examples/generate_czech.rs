//! `spital/gpt2-small-czech-cs`: Czech Wikipedia, one word and a few full sequences.
//!
//! `cargo run --release --example generate_czech [MODEL]`

use gpt2_examples::{Failure, Options};
use gpt2_infer::GenerationConfig;

const PROMPT: &str = "Umělá inteligence pomůže lidstvu překonat budoucí";

fn main() -> std::process::ExitCode {
    gpt2_examples::run(generate)
}

fn generate(options: &Options) -> Result<(), Failure> {
    let pipeline = options.pipeline(TEXT)?;

    println!("{PROMPT}{}\n", pipeline.next_word(PROMPT)?.text);

    let prompt_length = pipeline.tokenizer().encode_ids(PROMPT)?.len();
    let config = GenerationConfig {
        do_sample: true,
        no_repeat_ngram_size: 2,
        top_p: 0.95,
        top_k: 50,
        temperature: 0.65,
        num_return_sequences: 3,
        pad_token_id: pipeline.tokenizer().eos_token_id(),
        seed: options.seed,
        ..pipeline.generation_config().clone().with_max_length(prompt_length + 20)
    };
    for (number, generated) in pipeline.generate(PROMPT, &config)?.iter().enumerate() {
        println!("{number}: {}", generated.text);
    }
    Ok(())
}

/// What the small model reads where no published one is given.
const TEXT: &str = "\
Umělá inteligence pomůže lidstvu překonat budoucí problémy, ale nejdříve se musí naučit psát.
Umělá řeka vede z lesa k mlýnu a lidé z vesnice ji každé jaro čistí.
Lidstvo se naučilo psát dříve, než se naučilo čekat na odpověď.
Budoucí učitelé chodí do školy na kopci, odkud je vidět celé město.
Na jaře rozkvetou v zahradě třešně a včely létají od rána do večera.
Starý hodinář opravil věžní hodiny a od té doby jdou zase přesně.";
