"""Writes data/unicode.json: what Python's str and unicodedata make of every character.

    python3 make_unicode_goldens.py        (Python 3.11: Unicode 14)

Characters that this Python's Unicode does not assign are left out of all comparisons ("unassigned"): a library of
a newer version knows more of them. Of the mappings only what is no identity is written.
"""
import json
import pathlib
import random
import sys
import unicodedata

CHARS = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
ASSIGNED = [c for c in CHARS if unicodedata.category(c) != "Cn"]
MAPPINGS = {"upper": str.upper, "lower": str.lower, "title": str.title, "casefold": str.casefold}
TESTS = ("isupper", "islower", "istitle", "isdecimal", "isdigit", "isnumeric", "isalpha", "isalnum", "isspace")

# Letters whose neighbours matter, in words and at their ends.
TEXTS = [
    "", "abc", "ABC DEF", "straße", "STRASSE", "ﬁne ﬂow", "ŉa", "ǰ", "İstanbul", "ıI", "ǅ ǆ Ǆ", "ΑΣ", "ΑΣ ΣΑΣ Σ", "ΣΣΣ", "αΣ'Σ", "ΑΣ.", "ΑΣ.Β",
    "Α\u0301Σ", "ΑΣ\u0301", "ΑΣ\u0301Β", "1Σ", "aΣ1", "ᾳ ᾼ", "Ὀδυσσεύς", "ΟΔΥΣΣΕΎΣ", "they're bill's", "x-ray (abc) {d}[e]<f g", "a\tb\nc", "éÉ", "ªº", "ⅷ Ⅷ", "ⓐⒶ",
    "ʰa", "a\u00adB", "\u0345\u0399", "ꙋ Ꙋ", "ვეფხი", "ᏣᎳᎩ ꮳꮃꭹ", "\U00010428\U00010400", "և ﬕ", "ΐΰ", "一二 三", "0x1F", "²½", "mixedCASE Word", "aB cD-eF", "-({[<", "ß-ß",
]
# As the title filter of Jinja2 3.1 does it, from its documentation and source: words are what [-\s({\[<]+ separates.
def title_words(s):
    import re
    return "".join(w[0].upper() + w[1:].lower() for w in re.split(r"([-\s({\[<]+)", s) if w)


METHODS = {"upper": str.upper, "lower": str.lower, "title": str.title, "casefold": str.casefold, "capitalize": str.capitalize,
           "swapcase": str.swapcase, "title_filter": title_words}


def runs(chars):
    """Code points as [first, last, first, last ...]"""
    out = []
    for c in map(ord, chars):
        if out and c == out[-1] + 1:
            out[-1] = c
        else:
            out += [c, c]
    return out


def nfc_texts():
    """Texts with their NFC: each character that changes, decomposed ones, and marks in any order and number."""
    rng = random.Random(1)
    changing = [c for c in ASSIGNED if unicodedata.normalize("NFC", c) != c]
    decomposed = [d for d in (unicodedata.normalize("NFD", c) for c in ASSIGNED if not 0xAC00 < ord(c) <= 0xD7A3) if len(d) > 1]
    marks = [c for c in ASSIGNED if unicodedata.combining(c)]
    texts = ["".join(changing[i:i + 40]) for i in range(0, len(changing), 40)]
    texts += [" ".join(decomposed[i:i + 40]) for i in range(0, len(decomposed), 40)]
    for n in (1, 2, 3, 5, 8, 15, 16, 17, 18, 40, 200):
        for _ in range(6):
            texts.append("e" + "".join(rng.choice(marks) for _ in range(n)) + "z")
    texts += ["", "plain", "caf\u00e9", "\u0301", "\u0301\u0301e", "\n\u0301", "한국어", "\u1112\u1161\u11ab\u1100\u1173", "\uac00\u11a8", "\u212b\u2126", "a\u0300b\u0327\u0301c"]
    texts += ["".join(rng.choice(decomposed + list("abc \n")) for _ in range(30)) for _ in range(60)]
    return {"in": texts, "out": [unicodedata.normalize("NFC", t) for t in texts]}


def main():
    data = {
        "generator": f"tests/text/make_unicode_goldens.py, Unicode {unicodedata.unidata_version}",
        "unassigned": runs(c for c in CHARS if unicodedata.category(c) == "Cn"),
        "mappings": {name: {c: f(c) for c in ASSIGNED if f(c) != c} for name, f in MAPPINGS.items()},
        "tests": {name: runs(c for c in ASSIGNED if getattr(c, name)()) for name in TESTS},
        "texts": TEXTS,
        "methods": {name: [f(t) for t in TEXTS] for name, f in METHODS.items()},
        "nfc": nfc_texts(),
    }
    path = pathlib.Path(__file__).parent / "data" / "unicode.json"
    dump = lambda x: json.dumps(x, ensure_ascii=True, separators=(",", ":"))
    path.write_text("{" + ",\n".join(f"{dump(k)}:{dump(v)}" for k, v in data.items()) + "}\n")
    print(path, path.stat().st_size, "bytes")


main()
