//! Articles as they are written in four Wikipedias, with all that is odd in them.

use gpt2_train::data::WikiOptions;

use super::{INDONESIAN, Place, Wiki, extract, multistream, page, text_of};

/// What is left of an article.
#[track_caller]
fn check(wiki: &Wiki, article: &str, expected: &str) {
    let place = Place::new();
    let pages = [page(1, 0, "A", article), page(2, 0, "B", "Akhir.")];
    let dump = place.write("a.xml.bz2", multistream(wiki, &pages));
    extract(&[dump], &place.path("out"), &WikiOptions::default()).unwrap();
    assert_eq!(text_of(&place.path("out")), format!("{}\n\nAkhir.\n", expected.trim()));
}

#[test]
fn indonesian() {
    let article = "{{Infobox tanaman
| nama = Cabai
| gambar = [[Berkas:Cabai.jpg|250px|Cabai di [[pasar]] {{small|(2020)}}]]
| tabel =
{| class=\"wikitable\"
! Tahun !! Panen
|-
| 2020 || {{angka|12}}
|}
<!-- }} bukan akhir -->
}}
[[Berkas:Kebun.jpg|jmpl|ka|Kebun [[cabai]] di [[Garut|kota {{nowrap|Garut}}]]]]
'''Cabai''' ({{lang-en|chili}}, {{IPA|/x/}}) adalah buah<ref name=\"a\">{{cite book|title=Buah & sayur}}</ref> yang \
[[pedas]]nya kuat.<ref name=\"a\" /><ref>Lihat {{cite web|url=https://contoh.id?a=b|title=[[x]] juga}}.</ref>

== Sejarah ==
Cabai datang dari [[Amerika Selatan|seberang laut]] sekitar {{circa|1500}}, lalu ditanam di [https://contoh.id/kebun kebun rakyat].
Harganya 5&nbsp;000 rupiah.

=== Jenis ===
* '''Rawit''': kecil
* ''Keriting''
** panjang

{| class=\"wikitable\"
| [[a]] || b
|}

== Lihat pula ==
{{kotak navigasi}}

== Pranala luar ==
{{reflist}}
[[Kategori:Sayur]]
[[en:Chili pepper]]
";
    let expected = "Cabai (chili) adalah buah yang pedasnya kuat.
Sejarah
Cabai datang dari seberang laut sekitar c. 1500, lalu ditanam di kebun rakyat. Harganya 5 000 rupiah.
Jenis
Rawit: kecil
Keriting
panjang";
    check(&INDONESIAN, article, expected);
}

#[test]
fn portuguese() {
    let wiki = Wiki {
        language: "pt",
        main_page: "Wikipédia:Página_principal",
        file: "Ficheiro",
        category: "Categoria",
    };
    let article = "{{Info/Cidade
|nome = Vila Verde
|mapa = {{Mapa|{{Coord|1|2}}|[[Ficheiro:Mapa.svg]]}}
}}
[[Ficheiro:Praça.jpg|thumb|left|A [[praça]] da ''vila''.]]
[[Imagem:Rio.jpg|thumb|O rio]]
'''Vila Verde''' é um [[município]] {{BRAb}} às margens do rio d'''Água''{{Nota de rodapé|a}}; tem {{formatnum:12345}} habitantes ({{Censo|2020}}).

{{Quote|Quem planta,
colhe.|O prefeito}}

Área: {{convert|5|km2|mi2}}.<br />Fuso: UTC−3.

<!-- == Escondido ==
texto -->
== Economia ==
<gallery>
Ficheiro:A.jpg|a
</gallery>

== Cultura ==
; Festa : em [[junho]]
: com ''forró''
{{Referências}}
{{DEFAULTSORT:Vila Verde}}
[[Categoria:Vilas]]
";
    let expected = "Vila Verde é um município às margens do rio d'Água; tem 12345 habitantes.
Quem planta, colhe.
Área: 5 km².
Fuso: UTC−3.
Cultura
Festa : em junho
com forró";
    check(&wiki, article, expected);
}

#[test]
fn japanese() {
    let wiki =
        Wiki {
            language: "ja", main_page: "メインページ", file: "ファイル", category: "Category"
        };
    let article = "{{基礎情報 町
|画像 = [[ファイル:Sato.jpg|250px|里の[[風景]]]]
}}
[[ファイル:Hata.jpg|thumb|畑{{small|（春）}}]]
'''里山町'''（{{読み仮名|さとやままち|さとやま}}、{{lang-en|Satoyama}}、{{IPA|x}}）は、[[架空]]の[[町 (行政)|町]]である{{R|a}}。
<ruby>田畑<rp>（</rp><rt>たはた</rt><rp>）</rp></ruby>が多い<ref group=\"注\">「春」の『秋』</ref>。

== 歴史 ==
[[1990年]]（[[平成]]2年）に{{仮リンク|隣町|en|Next Town|label=隣の町}}と合併した。{{ruby|稲|いね}}を育てる。
* 「米」・「豆」
* 温度は{{convert|5|°C|°F}}
__目次非表示__
== 脚注 ==
{{Reflist}}
{{デフォルトソート:さとやま}}
[[Category:町]]
[[en:Satoyama]]
";
    let expected = "里山町（さとやままち（さとやま）、Satoyama）は、架空の町である。田畑が多い。
歴史
1990年（平成2年）に隣の町と合併した。稲を育てる。
「米」・「豆」
温度は5 °C";
    check(&wiki, article, expected);
}

#[test]
fn czech() {
    let wiki =
        Wiki { language: "cs", main_page: "Hlavní_strana", file: "Soubor", category: "Kategorie" };
    let article = "{{Různé významy|redirect=Lípa}}
{{Infobox - sídlo
| název = Lípa
| obrázek = Soubor:Lipa.jpg
}}
[[Soubor:Náves.jpg|náhled|Náves s [[lípa|lípou]] „u kostela“]]
'''Lípa''' ({{Vjazyce|de}} ''Linde'', {{Cizojazyčně|la|Tilia}}) je [[vesnice]] s přezdívkou „Zelená“.{{Doplňte zdroj}} Žije tu 12&nbsp;lidí a {{nowrap|3 psi}}.

== Historie ==
První zmínka {{frac|1|2}} [[století|stol.]] „''Stará'' Lípa“<ref>Kronika, s. 5.</ref> <ref name=k/>.
{{citát|Kdo seje,
ten sklízí.}}
<math>\\frac{a}{b}</math>

<table>
<tr><td>a</td></tr>
</table>
{{neuzavřená šablona
| a = b
== Příroda ==
Roste tu dub<sub>1</sub> a lípa.

=== Reference ===
<references />

[[Kategorie:Vesnice]]
";
    let expected = "Lípa (Linde, Tilia) je vesnice s přezdívkou „Zelená“. Žije tu 12 lidí a 3 psi.
Historie
První zmínka 1/2 stol. „Stará Lípa“.
Kdo seje, ten sklízí.
Příroda
Roste tu dub1 a lípa.";
    check(&wiki, article, expected);
}
