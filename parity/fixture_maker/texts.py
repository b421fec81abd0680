"""Every text the fixtures contain. All of it was written for this project."""

import random

INDONESIAN = """\
Nenek menanam cabai di halaman belakang rumah.
Setiap pagi ayah menyapu daun kering di bawah pohon mangga.
Kucing belang itu tidur di atas karung beras.
Hujan turun sejak subuh, jadi kami tidak pergi ke sawah.
Kakak membaca buku cerita sampai larut malam.
Di pasar ikan, ibu menawar harga udang dengan sabar.
Perahu kecil itu bocor, tetapi nelayan tua tetap tersenyum.
Adik saya berumur tujuh tahun dan suka bertanya.
Mereka menunggu bus di depan sekolah yang baru dicat.
Kalau angin bertiup kencang, layang-layang cepat naik.
Guru kami menulis tiga kata di papan, lalu diam.
Jalan ke bukit itu sempit dan penuh batu.
Paman memperbaiki sepeda dengan kawat dan doa.
Sore ini kita minum teh dan makan pisang goreng.
Anak-anak berlari-lari mengejar ayam yang lepas.
Tidak ada yang tahu siapa pemilik payung merah itu.
"""

ENGLISH = """\
The kettle had been singing for a while before anyone noticed.
I'll lend you my coat if you're willing to bring it back.
She didn't say where she'd been, and we've stopped asking.
Two hundred paces north of the mill there's a flat stone.
They're late again; he's sure it'll rain, but I'm not.
"""

PORTUGUESE = """\
O padeiro abriu a porta antes de o sol nascer.
Não há pressa: a maré só começa a descer às três.
Minha irmã guardou o violão atrás do armário.
Ontem choveu tanto que o caminho virou um rio de lama.
"""

CZECH = """\
Na půdě jsme našli krabici plnou starých pohlednic.
Děda říká, že letošní švestky budou sladší než loni.
Vlak měl zpoždění, a tak jsme šli domů pěšky přes les.
"""

JAPANESE = """\
台所の窓から小さな庭が見える。
弟は朝ごはんの前に犬と散歩した。
明日も晴れたら、川まで歩きましょう。
"""

NAMES = ["Sari", "Budi", "Tono", "Wati", "Rini", "Joko", "Dewi", "Agus"]
TIMES = ["Pagi ini", "Kemarin sore", "Setiap hari", "Tadi malam", "Besok siang"]
PLACES = ["ke pasar", "ke sawah", "ke sekolah", "ke rumah nenek", "ke tepi sungai"]
AIMS = ["membeli ikan", "mencari kayu", "membawa buku", "menanam padi", "bertemu teman"]
MOODS = ["dengan senang hati", "tanpa berkata apa-apa", "bersama adiknya", "walaupun hujan"]


def made_sentences(seed, count):
    """`count` Indonesian sentences from a small grammar: regular enough for a tiny model to learn."""
    pick = random.Random(seed)
    lines = []
    for _ in range(count):
        name, time, place = pick.choice(NAMES), pick.choice(TIMES), pick.choice(PLACES)
        lines.append(f"{time} {name} pergi {place} untuk {pick.choice(AIMS)} {pick.choice(MOODS)}.")
    return "\n".join(lines) + "\n"


def tokenizer_corpus():
    """What the tokenizer is trained on, as a list of lines."""
    text = INDONESIAN * 2 + ENGLISH + PORTUGUESE + CZECH + JAPANESE + made_sentences(11, 40)
    return text.splitlines(keepends=True)


def training_text():
    """What `bbpe-trained` learns."""
    return INDONESIAN + made_sentences(12, 320)


def curve_text():
    """What the training curves of the untrained base model read."""
    return INDONESIAN + PORTUGUESE + ENGLISH + CZECH + JAPANESE + made_sentences(13, 70)


def evaluation_text():
    """Held out: other draws from the grammar between sentences that are in the training text."""
    return made_sentences(14, 14) + INDONESIAN[:260] + made_sentences(15, 8)


PROMPTS = ["Nenek menanam cabai", "Pagi ini Sari pergi", "Kucing", "O padeiro abriu a"]

STRINGS = [
    "", " ", "  ", "     ", "\n", "\n\n\n", "\r\n", "\t", "\t\tnasi", " \n ", "\n \n", "\u3000", "\u3000台所\u3000",
    "\u00a0", "nasi\u00a0goreng", "nasi ", " nasi", "   nasi", "nasi   goreng    ", "nasi\ngoreng",
    "nasi\r\n\r\ngoreng\r\n", "nasi\tgoreng", "nasi \n goreng", "a" + " " * 33 + "b", "\x00", "x\x00y",
    "\x01\x07\x1f\x7f", "\u0085p\x0b\x0cq", "\ufeffnasi", "nasi\u200bgoreng", "\u200eab\u200f", "p\u2028q\u2029r",
    "\ufffd", "\uffff", "\U0010fffd", "\ue123", "I'm sure they're late; he'll say we've won, she'd agree, it's fine",
    "I'M SURE THEY'RE LATE, IT'S HE'LL", "'s't're've'm'll'd", "'sx 'tx 'rex", "it’s ‘odd’ – “very” — …", "'", "''''",
    "a'", "'9", "rock 'n' roll", "7", "2025", "1 22 333 4444", "2.71828", "12,345,678", "6e-23", "٧٨٩", "४५६", "Ⅳ ⅔ ³ ₂",
    "⑦⑧", "４５６ｄｅｆ", "0" * 40, "?", "?!?!?!", "......", "------", "== == ==", "Rp25.000,00 €3 £4 ¥5", "x+y=z;z-=1",
    "<i>nasi</i>", "sari@contoh.example", "https://contoh.example/a/b?c=1&d=%20#e", "C:\\temp\\nasi.txt",
    "fn main() {\n    println!(\"hi\");\n}\n", '{"nasi": [1, null, {"b": true}]}', "`a` *b* _c_ ~d~ #e @f",
    "snake_case__two", "camelCaseHere", "SHOUTING", "wEiRd", "<|endoftext|>", "nasi<|endoftext|>goreng",
    " <|endoftext|> ", "<|endoftext|><|endoftext|><|endoftext|>", "<|endofte", "xt|>", "<|EndOfText|>",
    "<|endoftext |>", "<s>nasi</s>", "[PAD]", "<unk><mask>", "▁nasi", "Ġnasi", "ĊĠ", "Ã©", "\u00e9", "e\u0301",
    "e\u0301" * 6, "a\u0300\u0301\u0302\u0303", "\u212b \u00c5 A\u030a", "ﬃ ﬁ", "ß ẞ", "İ ı", "ǆ ǅ Ǆ",
    "S\u0351\u036b\u0313a\u033d\u0349", "\u1112\u1161\u11ab 한", "か\u3099 が", "ﾀﾞ゛", "😀", "🙂🙂🙂", "nasi 🍚 goreng",
    "👋🏾", "👩\u200d🌾", "👨\u200d👩\u200d👦\u200d👦", "🏴\u200d☠️", "🇮🇩🇵🇹🇨🇿🇯🇵", "☂️", "☂", "7️⃣", "a🍚b", "สวัสดี", "مرحبا", "שלום",
    "नमस्ते", "Привет", "καλημέρα", "你好吗", "안녕", "Xin chào", "გამარჯობა", "ሰላም", "𝒶𝒷𝒸", "𠮟る", "𝟚𝟛",
    "nasi台所nasi", "台所 nasi 窓", "nasi,goreng.台所。窓、", "台所\n窓", "「庭」（犬）", "ーーーー〜", "々ヶ〆", "カナ・かな",
    "á č ď é ě í ň ó ř š ť ú ů ý ž", "ÁČĎÉĚÍŇÓŘŠŤÚŮÝŽ", "ã õ ç â ê ô à ü", "Amanhã às três, não é?", "Žlutá švestka",
    "anak-anak berlari-lari", "se\u00adkolah", "a\u2011b", "z" * 90, "pq" * 45, "nasi" * 25, "あ" * 30, "\u00e9" * 30, "🙂" * 12,
    "bB2?" * 20, "nasi " * 12, "\n\n\n\nnasi", "q\u180er", "\bnasi", "∮∇≤≥", "¶§¦", "[[a|b]]", " ⁇ ", "葛\U000e0100",
    "क्ष", "ทดสอบ 123", "繁體", "🀄🃏", "ゝゞヽ", "Ĳ ĳ ŉ", "ke-3", "H2O dan CO2", "10:45", "50%", "…", "–—―",
]


def strings():
    """The strings whose ids, offsets and decoded text are recorded."""
    sentences = (INDONESIAN + ENGLISH + PORTUGUESE + CZECH + JAPANESE).splitlines()
    paragraphs = [ENGLISH, JAPANESE, CZECH + "\n" + PORTUGUESE]
    return STRINGS + sentences[::2] + paragraphs
