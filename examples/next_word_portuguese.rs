//! `pierreguillou/gpt2-small-portuguese` (GPorTuguese-2): one word, the loss of a text, one
//! sequence.
//!
//! `cargo run --release --example next_word_portuguese [MODEL]`

use gpt2_examples::{Failure, Options};
use gpt2_infer::GenerationConfig;

const PROMPT: &str = "Quem era Jim Henson? Jim Henson era um";

fn main() -> std::process::ExitCode {
    gpt2_examples::run(complete)
}

fn complete(options: &Options) -> Result<(), Failure> {
    let pipeline = options.pipeline(TEXT)?;

    let word = pipeline.next_word(PROMPT)?;
    println!("input text: {PROMPT}");
    println!("predicted text: {:?} with probability {:.3}", word.text, word.probability);

    // `labels=input_ids` on the card.
    let found = pipeline.loss(PROMPT)?;
    println!("loss: {:.4}, perplexity {:.2}\n", found.loss, found.perplexity());

    let config = GenerationConfig {
        do_sample: true,
        top_k: 40,
        seed: options.seed,
        ..pipeline.generation_config().clone().with_max_length(50)
    };
    for generated in pipeline.generate(PROMPT, &config)? {
        println!("{}", generated.text);
    }
    Ok(())
}

/// What the small model reads where no published one is given.
const TEXT: &str = "\
Quem era Jim Henson? Jim Henson era um homem que fazia bonecos de pano e lhes dava voz.
Quem era Clarice? Clarice era uma escritora que vivia perto do mar e escrevia de madrugada.
Um boneco de pano pode falar, cantar e contar histórias quando alguém lhe empresta a mão.
A cidade fica entre o rio e a serra, e as suas ruas sobem até à igreja velha.
O homem abriu a janela, olhou para o mar e viu três barcos que voltavam do porto.
As histórias que a avó contava começavam sempre com uma porta que ninguém sabia abrir.";
