use super::*;

fn prose(text: &str) -> String {
    strip_with(text, true).text
}

fn strip_with(text: &str, headings: bool) -> Prose {
    let (site, rules) = (Site::new("", &[]), Rules::new(&["Pilihan".to_string()]));
    strip(text, Context { site: &site, rules: &rules, title: "Judul", headings })
}

/// Each wikitext with its prose.
#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(prose(text), *expected, "{text}");
    }
}

#[test]
fn links_are_their_text() {
    check(&[
        ("[[kebun|taman]] dan [[sawah]]nya", "taman dan sawahnya"),
        ("[[:Kategori:Buah]] [[Jagung#Jenis]] [[ padi ]]", "Kategori:Buah Jagung#Jenis padi"),
        ("[[Berkas:a.jpg|jmpl|Dua [[ayam]] di [[kandang|rumah {{x}}]]]]Ayam.", "Ayam."),
        (
            "Ayam. [[file:a.jpg]] [[IMAGE:b.png|left]][[Kategori:Unggas|ayam]][[Category:Birds]]",
            "Ayam.",
        ),
        ("Kuda.\n[[en:Horse]]\n[[pt:Cavalo|x]]\n[[zh-min-nan:Bé]]", "Kuda."),
        ("[[:en:Horse|kuda]] [[wikt:kuda|kata]]", "kuda kata"),
        (
            "[https://example.org situs [[a|b]]] [http://example.org] [//x.y z] [bukan] [mailto:a@b.c surat]",
            "situs b z [bukan] surat",
        ),
        ("lihat https://example.org/a_b?c=d.", "lihat https://example.org/a_b?c=d."),
        ("[[[kebun]]] [[]] [[|x]]", "[kebun] x"),
        ("[[https://example.org nama]]", "nama"),
        ("[[Berkas:a.jpg|thumb|[https://example.org sumber]]]Teks", "Teks"),
    ]);
}

#[test]
fn links_that_do_not_end_are_text() {
    check(&[
        (
            "[[kebun dan sawah\nBaris dua [[padi]].\n\nAlinea dua.",
            "kebun dan sawah Baris dua padi.\nAlinea dua.",
        ),
        (
            "[[kebun|taman dan sawah\n\nAlinea dua ]] di sini.",
            "kebun taman dan sawah\nAlinea dua di sini.",
        ),
        ("[[Berkas:a.jpg|thumb|ayam\n== Judul ==\nTeks.", "Judul\nTeks."),
        ("[https://example.org situs\nBaris.", "situs Baris."),
        ("]] a ] b", "a ] b"),
    ]);
}

#[test]
fn templates_are_dropped_however_deep() {
    check(&[
        (
            "{{Infobox\n| nama = {{a|{{b|{{c}}}}}}\n| foto = [[Berkas:x.jpg|{{px}}]]\n}}\nTeks {{x}} biasa.",
            "Teks biasa.",
        ),
        ("Teks {{x|a}}, lagi {{y}}.", "Teks, lagi."),
        ("{{T|\n{|\n| a || b\n|-\n| c }} || d\n|}\n}}\nTeks", "|| d\nTeks"),
        ("{{T|\n{| class=\"x\"\n| a\n|}}}\nTeks", "Teks"),
        ("{{T\n| a = {{#if: {{{x|}}} | y }}\n|}}\nTeks", "Teks"),
        ("a {{{nama|bawaan}}} b {{{tanpa}}} c", "a bawaan b c"),
        ("a {b} c}} d", "a {b} c d"),
        (
            "{{PAGENAME}} adalah {{formatnum:12345}} {{DEFAULTSORT:x}}{{#tag:ref|y}}",
            "Judul adalah 12345",
        ),
    ]);
    let deep = format!("A{}x{}B", "{{a|".repeat(1000), "}}".repeat(1000));
    assert_eq!(prose(&deep), "AB");
}

#[test]
fn templates_that_do_not_end_leave_what_follows() {
    check(&[
        (
            "{{Infobox orang\n| nama = Budi\n| lahir = 1990\n\n'''Budi''' petani.\n\n== Hidup ==\nIa di kebun.",
            "Budi petani.\nHidup\nIa di kebun.",
        ),
        ("Awal {{catatan|a [[b]] c\n\nAlinea.", "Awal a b c\nAlinea."),
        ("[[a|b {{c]] d", "b d"),
        ("{{a|[[b}} c", "c"),
    ]);
}

#[test]
fn templates_that_carry_text_are_that_text() {
    check(&[
        (
            "{{lang|ja|東京}} {{Lang-pt|cidade}} {{langx|cs|město|lit=x}} {{lang|1=la|2=urbs}}",
            "東京 cidade město urbs",
        ),
        ("{{lang|ja|{{ruby|漢字|かんじ}}}}", "漢字"),
        (
            "{{nihongo|'''Menara Tokyo'''|東京タワー|Tōkyō tawā|lead=yes}}",
            "Menara Tokyo (東京タワー, Tōkyō tawā)",
        ),
        ("'''山田'''（{{読み仮名|山田|やまだ}}）", "山田（山田（やまだ））"),
        (
            "{{仮リンク|町|en|Town|label=小さな町}}と{{仮リンク|村|en|Village}}{{ill|en|Desa}}",
            "小さな町と村Desa",
        ),
        (
            "{{convert|5|km|mi}}, {{convert|5|to|10|km|mi}}, {{cvt|6|ft|2|in|m}}, {{convert|3|m|0}}",
            "5 km, 5 to 10 km, 6 ft 2 in, 3 m",
        ),
        (
            "{{nowrap|a b}} {{small|(c)}} {{abbr|d|e}} {{transl|ja|ISO|kana}} {{frac|1|2}} {{val|5|u=kg}}",
            "a b (c) d kana 1/2 5 kg",
        ),
        ("a{{snd}}b{{nbsp}}c {{!}} d", "a – b c | d"),
        ("Katanya: {{Quote|Hidup itu kebun.|Budi}} Begitu.", "Katanya:\nHidup itu kebun.\nBegitu."),
        ("{{citação|texto=x|Viver é plantar.}}", "Viver é plantar."),
        ("{{ Lang_|ja| 東 }} {{nowrap|}} {{lang|ja}}", "東"),
    ]);
}

#[test]
fn tables_are_dropped() {
    check(&[
        (
            "A\n{| class=\"wikitable\"\n! a !! b\n|-\n| [[c]] || {{d}}\n|\n{| \n| e\n|}\n|}\nB",
            "A\nB",
        ),
        (
            "A\n:{|\n| a\n|}\nB\n<table><tr><td>c<table><tr><td>d</td></tr></table></td></tr></table>\nC",
            "A\nB\nC",
        ),
        ("A\n{|\n| a\n! b\nB tanpa akhir.\n\n== C ==\nD", "A\nB tanpa akhir.\nC\nD"),
        ("A\n| sisa || baris\n|}\nB", "A\nB"),
        ("A {| B", "A {| B"),
    ]);
}

#[test]
fn tags_and_their_content_are_known() {
    check(&[
        (
            "A<ref>x [[y]] {{z}}</ref>, B<ref name=\"a/b\" />, C<ref name=c>d</ref >.<references />",
            "A, B, C.",
        ),
        ("A<ref>tanpa akhir. B<ref>c</ref>. D", "Atanpa akhir. B. D"),
        (
            "A <math>x<y</math> B <nowiki>[[c]] &amp; {{d}}</nowiki> E<nowiki/>F",
            "A B [[c]] & {{d}} EF",
        ),
        (
            "<gallery>\nBerkas:a.jpg|b\n</gallery><timeline>x</timeline><score>c</score><syntaxhighlight lang=c>\nint x;\n</syntaxhighlight>A",
            "A",
        ),
        ("perintah <code>ls -l</code> dan\n<code>\nint x;\n</code>\nA", "perintah ls -l dan\nA"),
        (
            "<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rt>じ</rt></ruby>を<ruby><rb>読</rb><rt>よ</ruby>む",
            "漢字を読む",
        ),
        (
            "H<sub>2</sub>O, m<sup>2</sup>, <span style=\"x\">a</span> <small>b</small><br />c<br>d",
            "H2O, m2, a b\nc\nd",
        ),
        ("a < b > c, <tidak> <b", "a < b > c, <tidak> <b"),
        ("<div class=\"x\">A</div><p>B</p><blockquote>C</blockquote>", "A\nB\nC"),
        ("A<!-- x\n\n== y == --> B\n<!-- z -->\nC", "A B C"),
        ("{{a|<!-- }} -->b}}C {<!-- -->{d}} <!-- tanpa akhir {{ ", "C {{d"),
        ("<poem>satu\ndua</poem>\ntiga", "satu\ndua\ntiga"),
        ("<includeonly>x</includeonly><noinclude>A</noinclude>", "A"),
        ("<div class=\"tanpa akhir\nA", "A"),
    ]);
}

#[test]
fn signs_and_words_are_dropped_or_read() {
    check(&[
        ("__NOTOC__ A __目次非表示__ b__c__ __init__", "A b__c__ __init__"),
        ("'''A''' ''b'' '''''c''''' d'e", "A b c d'e"),
        ("uma '''L''Aquila''''' e d'''água''", "uma LAquila e d'água"),
        ("copo d'''água'' mole", "copo d'água mole"),
        (
            "A&nbsp;b &amp; c &lt;ref&gt; &#65;&#x42; &hellip; &tidak; &amp;lt; &",
            "A b & c <ref> AB … &tidak; &lt; &",
        ),
        ("&#10;a&#0;&#x1F600;", "a😀"),
        ("A\u{1}\u{7}b\u{200b}c\u{ad}d\u{a0}\u{2009}e", "Abcd e"),
        ("----\nA\n-----\nB", "A\nB"),
    ]);
}

#[test]
fn lines_make_paragraphs_headings_and_items() {
    check(&[
        ("Satu\ndua.\n\n\nTiga.", "Satu dua.\nTiga."),
        ("日本の\n首都。\n\n次の段落", "日本の首都。\n次の段落"),
        ("* a\n* b\n## c\n: d\n; e : f\ng", "a\nb\nc\nd\ne : f\ng"),
        (" kode a\n kode b", "kode a\nkode b"),
        ("A\n== B ==\n=== C ===\nd\n== E ==\n== F == \ng\n=== H ===", "A\nB\nC\nd\nF\ng"),
        ("== ''B'' [[c|d]] <!-- e -->==\nf", "B d\nf"),
        ("== tanpa akhir\nA = b\n= C =\nd", "== tanpa akhir A = b\nC\nd"),
        ("", ""),
        ("\n\n \n", ""),
    ]);
    let text = "A\n== B ==\nc\n== D ==\n";
    assert_eq!(strip_with(text, false).text, "A\nc");
    assert_eq!(strip_with(text, true).text, "A\nB\nc");
}

#[test]
fn brackets_that_held_what_was_dropped_are_dropped() {
    check(&[
        ("Praha ({{IPA|x}}) je", "Praha je"),
        ("Praha ({{a}}, {{b}} ; {{c}}) je", "Praha je"),
        ("Praha ({{a}}, německy ''Prag'', {{b}}) je", "Praha (německy Prag) je"),
        ("東京（{{a}}、{{b}}）は、{{c}}、都市。", "東京は、都市。"),
        ("東京（とうきょう、{{a}}）は", "東京（とうきょう）は"),
        ("f() a ( ) b (, c) :)", "f() a ( ) b (, c) :)"),
        ("a <ref>x</ref>, b <ref>y</ref>. (<ref>z</ref>)", "a, b."),
        ("((({{x}}))) a", "a"),
    ]);
}

#[test]
fn disambiguations_are_known_in_five_languages_and_by_option() {
    for text in [
        "a {{disambiguation}}",
        "{{Disambig|x}}",
        "{{Disambiguasi}}",
        "{{desambiguação|a}}",
        "{{Desambig}}",
        "{{Aimai}}",
        "{{曖昧さ回避}}",
        "{{人名の曖昧さ回避}}",
        "{{rozcestník}}",
        "{{Rozcestník - příjmení}}",
        "{{ hndis |a}}",
        "{{Geodis\n}}",
        "{{pilihan}}",
    ] {
        assert!(strip_with(text, true).is_disambiguation, "{text}");
    }
    for text in [
        "{{disambiguation needed}}",
        "{{Různé významy|a}}",
        "disambig",
        "[[disambig]]",
        "{{Outros usos}}",
    ] {
        assert!(!strip_with(text, true).is_disambiguation, "{text}");
    }
}
