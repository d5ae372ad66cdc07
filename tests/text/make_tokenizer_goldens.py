"""Writes the goldens of the tokenizer tests into data/tokenizer_*.json.

Independent references (install with pip):
    tokenizers==0.21.1      Hugging Face: byte-level BPE, WordPiece, Unigram, the Split pre-tokenizer (Oniguruma)
    sentencepiece==0.2.0    Google: SentencePiece BPE; for unigram 0.2.3 and tokenizers 0.23.3 (sums that tie were cut otherwise before)
    regex==2024.11.6        a second opinion on the pre-tokenizer patterns
    gguf==0.19.0            reads the vocabulary of a real model

    python make_tokenizer_goldens.py [SmolLM2-135M-Instruct GGUF file]

Without the model file data/tokenizer_smollm2.json is left as it is.
"""
import base64
import io
import json
import pathlib
import sys
import tempfile
import unicodedata

import regex
import sentencepiece
from tokenizers import AddedToken, NormalizedString, PreTokenizedString, Regex, Tokenizer, decoders, models
from tokenizers import normalizers, pre_tokenizers, trainers

DATA = pathlib.Path(__file__).parent / "data"

TEXTS = [
    "",
    " ",
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog. It didn't care; they've said we'll see, I'm sure he'd agree.",
    "IT'S DON'T WE'LL THEY'VE I'M HE'D YOU'RE 'quoted' 'Twas rock'n'roll o'clock",
    "camelCase HTTPServer parseJSONFile XMLHttpRequest iPhone McDonald's e.g. i.e. U.S.A.",
    "def f(x, y=3):\n    return {**x, 'k': [y, -1.5e-10, 0xFF]}  # comment\n\n\nclass A:\n\tpass\n",
    "int main(void) {\r\n\tfor (int i = 0; i < 10; ++i) printf(\"%d\\n\", a[i]->b);\r\n}\r\n",
    "#include <stdio.h>\n/* a */ x <<= 2; y >>= 1; a && b || !c; p->q::r; @decorator $var ~x ^y `z`",
    "<div class=\"a\">1 &amp; 2</div><!-- c --> {{ x }} {% if y %} \\begin{equation} \\frac{1}{2} \\end{equation}",
    "https://example.com/path?q=1&r=a%20b#frag user@example.org C:\\Windows\\System32 /usr/bin/env",
    "0 1 12 123 1234 12345 123456 1234567 12345678901234567890",
    "3.14 1,000,000 2024-11-22T11:17:27Z +49 (0)30 123456 50% $9.99 1/2 0b101 007abc abc007 12a34b 1_000",
    "\u0663\u0664\u0665 \u0967\u0968\u0969\u096a \u2167 \u00bd\u00bc \u00b2\u00b3 \u2460\u2461 \u4e00\u4e8c\u4e09 12\u00bd345 \U0001d7d8\U0001d7d9",
    "a  b   c    d     e\t\tf \t g\n\n\nh \n i\n \n j  \n",
    "   leading and trailing   ",
    "tabs\t\t\ttabs\v\f\x1c\x1d\x85mixed\xa0nbsp\u1680ogham\u180emvs\u2003em\u2028line\u2029para\u202fnarrow\u205fmath\u3000wide",
    "\n", "\r\n", "\n\n\n\n", "\t", " \n", "\n ", "  ", "   \n   \n   ", "x\n\n", "x  ", "x \n y",
    " " * 40 + "x" + " " * 600 + "y",
    "!!!", "...", "?!?!", "a...b", "-----", "=====\n-----\n", "!\n\n", "(((a)))", "/* **/ //", " !", "! ", "!/\n/a",
    "Gr\u00fc\u00dfe aus M\u00fcnchen, \u00c7a va? \u00c5ngstr\u00f6m \u0141\u00f3d\u017a \u010ce\u0161tina \u0130stanbul \u0131\u015f\u0131k na\u00efve r\u00e9sum\u00e9 co\u00f6perate",
    "cafe\u0301 nai\u0308ve A\u030a\u0301 e\u0302\u0301 \u0301alone x\u0301\u0302\u0303y '\u017f k\u212a",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0412 \u0447\u0430\u0449\u0430\u0445 \u044e\u0433\u0430 \u0436\u0438\u043b \u0431\u044b \u0446\u0438\u0442\u0440\u0443\u0441? \u0414\u0430, \u043d\u043e \u0444\u0430\u043b\u044c\u0448\u0438\u0432\u044b\u0439 \u044d\u043a\u0437\u0435\u043c\u043f\u043b\u044f\u0440!",
    "\u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5. \u039e\u03b5\u03c3\u03ba\u03b5\u03c0\u03ac\u03b6\u03c9 \u03c4\u1f74\u03bd \u03c8\u03c5\u03c7\u03bf\u03c6\u03b8\u03cc\u03c1\u03b1 \u03b2\u03b4\u03b5\u03bb\u03c5\u03b3\u03bc\u03af\u03b1.",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd! \u05d1\u05b0\u05bc\u05e8\u05b5\u05d0\u05e9\u05b4\u05c1\u05d9\u05ea \u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645\u060c \u0643\u064a\u0641 \u062d\u0627\u0644\u0643\u061f \u0645\u064f\u062d\u064e\u0645\u064e\u0651\u062f \u0633\u0644\u0627\u0645 \u062f\u0646\u06cc\u0627\u06d4 \u0622\u067e",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e\u0964 \u0995\u09c7\u09ae\u09a8 \u0986\u099b\u09c7\u09a8? \u0bb5\u0ba3\u0b95\u0bcd\u0b95\u0bae\u0bcd \u0c28\u0c2e\u0c38\u0c4d\u0c15\u0c3e\u0c30\u0c02 \u0ca8\u0cae\u0cb8\u0ccd\u0c95\u0cbe\u0cb0 \u0d28\u0d2e\u0d38\u0d4d\u0d15\u0d3e\u0d30\u0d02 \u0a38\u0a24 \u0aa8\u0aae \u0b28 \u0d86\u0dba\u0dd4",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0eaa\u0eb0\u0e9a\u0eb2\u0e8d\u0e94\u0eb5 \u179f\u17bd\u179f\u17d2\u178f\u17b8 \u1019\u1004\u103a\u1039\u1002\u101c\u102c\u1015\u102b \u0f56\u0f40\u0fb2\u0f0b\u0f64\u0f72\u0f66\u0f0b \u12a5\u1295\u12f0\u121d\u1295 \u1230\u120b\u121d \u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0 \u0532\u0561\u0580\u0565\u0582",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u4eca\u5929\u5929\u6c14\u600e\u4e48\u6837\uff1f\u300c\u5f15\u7528\u300d\u3010\u62ec\u53f7\u3011\u2014\u2014\u7834\u6298\u53f7\u2026\u2026 \u3007\u3005 \U00020000\U0002a6d6 abc\u4e2d\u6587def 2024\u5e7411\u6708",
    "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u3002\u30ab\u30bf\u30ab\u30ca\u30fc \uff76\uff80\uff76\uff85 \u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3001\u6771\u4eac\u90fd \uff21\uff22\uff23\uff11\uff12\uff13\uff01",
    "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4! \ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8 \u314b\u314b\u314b \u1112\u1161\u11ab \u3109\u310a Vi\u1ec7t Nam \u00f4i tr\u1eddi \u01a0i",
    "\U0001f600\U0001f602\U0001f923 \U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1e9\U0001f1ea\U0001f1ef\U0001f1f5 1\ufe0f\u20e3 \u2764\ufe0f \u263a a\U0001f680b",
    "\u200bzero\u200cwidth\u200djoin\ufeffbom \u202eRTL\u202c \u00adsoft\u00adhyphen \ue000private \U0010ffff\ufffd\ufffe",
    "\u2200x\u2208\u211d: \u2308x\u2309 = \u2212\u230a\u2212x\u230b, \u03b1 \u2227 \u00ac\u03b2, 2H\u2082 + O\u2082 \u21cc 2H\u2082O, \u2113 \u00b5m \u2030 \u20ac100 \u00a35 \u00a5\u20b9 \u2122\u00ae",
    "\u01c5 \u01c8a \u02b0\u02bc \u1d43 \u16a0\u16b1\u16d6 \U00010330\U00010331 \U00010400\U00010428 \u13a3\u13b3\uab73 \u1c90\u10d0 \ufb01\ufb02 \uff21\uff41",
    "control \x00\x01\x02\x1b[31mred\x1b[0m \x7f end\x00",
    "IMGIMGABCDZ <sentinel:12> <sentinel:x> <|im_start|>user\n</s> <unk> <0x41> \u2581 \u2581\u2581x",
    "word" * 30 + " " + "a" * 100 + "B" * 50 + "\u00e9" * 40,
]

WS = r"[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"  # Unicode White_Space
WORD_END = r"(?![\p{L}\p{M}\p{N}\p{Pc}])"  # \b after a digit, as Oniguruma sees it: \w takes all numbers
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def cl100k(digits, tail=r"\s*[\r\n]+|\s+(?!\S)|\s+"):
    return (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits
            + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + tail)


def o200k(suffix, digits):
    lead, up, low = r"[^\r\n\p{L}\p{N}]?", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    return (lead + up + "*" + low + "+" + suffix + "|" + lead + up + "+" + low + "*" + suffix + "|" + digits
            + r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+" + SUFFIX +
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
        + SUFFIX + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
             r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CJK_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
# The cased letters that DeepSeek LLM's tokenizer.json lists: Ll, Lu and Lt of Unicode 11 without the mathematical
# alphabets; over TEXTS that is the same as this.
DEEPSEEK_LETTERS = (
    "[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
    "\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1fff\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134"
    "\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\ua640-\ua66d\ua722-\ua76f"
    "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f]")

# One name of each rule: the stages, as the models' tokenizer.json spells them.
RULES = {
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"],
    "llama-bpe": [cl100k(r"\p{N}{1,3}")],
    "dbrx": [cl100k(r"\p{N}{1,3}")],
    "glm4": [cl100k(r"\p{N}{1,3}")],
    "minicpm5": [r"\p{N}{1,3}", cl100k(r"\p{N}+")],
    "qwen2": [cl100k(r"\p{N}")],
    "laguna": [r"[^\n]+|[\n]+", cl100k(r"\p{N}")],
    "ufakzeka": [cl100k(r"\p{N}").split("|", 7)[7]],
    "qwen35": [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "jais-2": [cl100k(r"\p{N}{1,3}", r"\s*[\r\n]+|" + "|".join(r"\s{%d}(?!\S)" % n for n in
               (512, 256, 128, 64, 32, 16, 8, 4)) + r"|\s{1,2}(?!\S)|\s{1}")],
    "bailingmoe": [r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
                   r"|\s+(?!\S)|\s+"],
    "seed-coder": ["(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+"
                   "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"],
    "exaone-moe": [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
                   r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"],
    "gpt-4o": [o200k(SUFFIX, r"\p{N}{1,3}")],
    "granite-embed-multi-97m": [o200k(SUFFIX, r"\p{N}{1,3}")],
    "tekken": [o200k("", r"\p{N}")],
    "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", o200k(SUFFIX, r"\p{N}{1,3}")],
    "youtu": ["[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f"
              "\ufe30-\ufe4f]+|[\u3105-\u312f]+|" + CJK_KANA, o200k(SUFFIX, r"\p{N}")],
    "kimi-k2": [KIMI],
    "deepseek-llm": ["[\r\n]", r"\s?" + DEEPSEEK_LETTERS + "+",
                     "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", CJK, r"\p{N}+"],
    "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", CJK_KANA, DEEPSEEK3],
    "spark2_5": [r"\p{N}{1,3}", CJK_KANA, DEEPSEEK3.replace(r"[\r\n]*|\s*[\r\n]+", r"|[\r\n]"), r"\p{N}"],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "chameleon": ["<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", r"\p{N}",
                  r"[\p{P}!-/:-@\[-`{-~]", GPT2],
}


def split_oniguruma(stages, text):
    pieces = PreTokenizedString(text)
    for stage in stages:
        pieces.split(lambda i, s, p=Regex(stage): s.split(p, "isolated"))
    return [len(original.encode()) for original, _, _ in pieces.get_splits()]


def split_regex(stages, text):
    pieces = [text]
    for stage in stages:
        stage = stage.replace(r"\S", "[^" + WS[1:]).replace(r"\s", WS).replace(r"\b", WORD_END)
        compiled, out = regex.compile("(?V1)" + stage), []
        for piece in pieces:
            at = 0
            for m in compiled.finditer(piece):
                out += [piece[at:m.start()], m.group()]
                at = m.end()
            out.append(piece[at:])
        pieces = [p for p in out if p]
    return [len(p.encode()) for p in pieces]


def write(name, data):
    dump = lambda x: json.dumps(x, ensure_ascii=True, separators=(",", ":"))
    path = DATA / f"tokenizer_{name}.json"
    path.write_text("{" + ",\n".join(f"{dump(k)}:{dump(v)}" for k, v in data.items()) + "}\n")
    print(path.name, path.stat().st_size)


def make_pretokens():
    rules = {}
    for name, stages in RULES.items():
        rules[name] = [split_oniguruma(stages, t) for t in TEXTS]
        for text, got in zip(TEXTS, rules[name]):
            other = split_regex(stages, text)
            if got != other:
                print(f"{name}: Oniguruma and regex differ on {text!r}\n  {got}\n  {other}")
    write("pretokens", {"texts": TEXTS, "rules": {n: [" ".join(map(str, p)) for p in r] for n, r in rules.items()}})


def make_bpe():
    """One small vocabulary; the patterns differ. Trained on TEXTS and on this file."""
    own = pathlib.Path(__file__).read_text()
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tok.train_from_iterator(TEXTS + own.splitlines(True), trainers.BpeTrainer(
        vocab_size=1500, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    model = json.loads(tok.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    ids = {}
    for name in ("gpt-2", "smollm", "llama-bpe", "qwen2", "gpt-4o", "deepseek-v3", "falcon", "tekken"):
        ignore_merges = name in ("llama-bpe", "tekken")
        t = Tokenizer(models.BPE(vocab=model["vocab"], merges=[tuple(m.split(" ")) for m in merges],
                                 ignore_merges=ignore_merges))
        t.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(s), "isolated") for s in RULES[name]]
            + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        t.decoder = decoders.ByteLevel()
        if name == "qwen2":
            t.normalizer = normalizers.NFC()  # the one of these names whose models' tokenizer.json has a normalizer
        t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in specials])
        ids[name] = [t.encode(x).ids for x in TEXTS]
        for x, i in zip(TEXTS, ids[name]):
            assert t.decode(i, skip_special_tokens=False) == (unicodedata.normalize("NFC", x) if t.normalizer else x)
    write("bpe", {"texts": TEXTS, "tokens": tokens, "types": [3 if t in specials else 1 for t in tokens],
                  "merges": merges, "ids": {n: [" ".join(map(str, x)) for x in v] for n, v in ids.items()}})


def make_sentencepiece():
    cases = []
    for byte_fallback, prefix, remove in ((True, True, False), (True, False, False), (False, True, True)):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([t for t in TEXTS if t.strip() and "\0" not in t and len(t) < 600]
                                   + pathlib.Path(__file__).read_text().splitlines()),
            model_writer=model, model_type="bpe", vocab_size=900 if byte_fallback else 640,
            character_coverage=0.98, byte_fallback=byte_fallback, add_dummy_prefix=prefix,
            remove_extra_whitespaces=remove, normalization_rule_name="identity",
            allow_whitespace_only_pieces=not remove, hard_vocab_limit=False, num_threads=1, minloglevel=2)
        sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        n = sp.get_piece_size()
        types = [2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 5 if sp.is_unused(i)
                 else 1 for i in range(n)]
        texts = [t for t in TEXTS if "\0" not in t]  # the Python binding passes C strings
        ids = [sp.encode(t) for t in texts]
        cases.append({"add_space_prefix": prefix, "remove_extra_whitespaces": remove, "texts": texts,
                      "tokens": [sp.id_to_piece(i) for i in range(n)], "scores": [sp.get_score(i) for i in range(n)],
                      "types": types, "ids": [" ".join(map(str, x)) for x in ids],
                      "decoded": [sp.decode(x) for x in ids]})
    write("sentencepiece", {"cases": cases})


def make_bpe_with_spaces():
    """Merges over characters, U+2581 for spaces, byte tokens: the shape of Gemma 4's tokenizer.json."""
    space = "\u2581"
    reserved = ["<unk>"] + [f"<0x{i:02X}>" for i in range(256)]
    tok = Tokenizer(models.BPE(unk_token="<unk>"))
    tok.normalizer = normalizers.Replace(" ", space)
    tok.train_from_iterator(TEXTS + pathlib.Path(__file__).read_text().splitlines(True), trainers.BpeTrainer(
        vocab_size=1000, special_tokens=reserved, limit_alphabet=160, max_token_length=24))
    model = json.loads(tok.to_str())["model"]
    merges = [m if isinstance(m, list) else m.split(" ") for m in model["merges"]]
    t = Tokenizer(models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in merges], unk_token="<unk>",
                             fuse_unk=True, byte_fallback=True))
    t.normalizer = tok.normalizer
    t.decoder = decoders.Sequence([decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    texts = [x for x in TEXTS if space not in x]  # decoding cannot tell a space from U+2581
    ids = [t.encode(x).ids for x in texts]
    write("bpe_spaces", {"texts": texts, "tokens": tokens, "types": [2] + [6] * 256 + [1] * (len(tokens) - 257),
                         "merges": [" ".join(m) for m in merges], "ids": [" ".join(map(str, x)) for x in ids],
                         "decoded": [t.decode(x) for x in ids]})


def make_wordpiece():
    texts = [t for t in TEXTS if "\U0010ffff" not in t] + ["x" * 100 + " " + "x" * 101, "\u0130\u0130"]
    cases = []
    for lowercase, strip in ((True, True), (False, False), (True, False)):
        tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tok.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip)
        tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tok.train_from_iterator(TEXTS + pathlib.Path(__file__).read_text().splitlines(), trainers.WordPieceTrainer(
            vocab_size=700, special_tokens=specials, limit_alphabet=180))
        vocab = json.loads(tok.to_str())["model"]["vocab"]
        t = Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]"))
        t.normalizer, t.pre_tokenizer, t.decoder = tok.normalizer, tok.pre_tokenizer, decoders.WordPiece(cleanup=False)
        tokens = sorted(vocab, key=vocab.get)
        ids = [t.encode(x).ids for x in texts]
        cases.append({"lowercase": lowercase, "strip_accents": strip, "texts": texts, "tokens": tokens,
                      "types": [2 if x == "[UNK]" else 3 if x in specials else 1 for x in tokens],
                      "ids": [" ".join(map(str, x)) for x in ids], "decoded": [t.decode(x) for x in ids]})
    write("wordpiece", {"cases": cases})


# Some of the rules that SentencePiece's nmt_nfkc has, and two of several characters.
CHARSMAP_RULES = ([(chr(0xff01 + i), chr(0x21 + i)) for i in range(94)] + [(c, " ") for c in "\t\n\r\xa0\u2003\u3000\u200d"]
                  + [(c, "") for c in "\x01\x02\x1b"] + [("\ufb01", "fi"), ("\u00bd", "1\u20442"), ("\u2460", "1"), ("e\u0301", "\xe9"),
                     ("A\u030a", "\xc5"), ("A\u030a\u0301", "\u01fa"), ("\u2122", "TM"), ("\u2026", "..."), ("\uff76", "\u30ab")])
BAD_TEXTS = [b"\xff", b"a\xe2\x82b", b"caf\xe9 na\xefve", b"\xf0\x9f\x98", b"x\xed\xa0\x80y", b"\xc0\x80 \xe2\x96\x81\xe2\x96", b"\xf4\x90\x80\x80z\x80\x80"]


def train_unigram(folder, **options):
    rules = pathlib.Path(folder) / "rules.tsv"
    rules.write_text("".join("\t".join(" ".join(f"{ord(c):X}" for c in side) for side in rule) + "\n" for rule in CHARSMAP_RULES))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([t for t in TEXTS if t.strip() and "\0" not in t and len(t) < 600]
                               + pathlib.Path(__file__).read_text().splitlines()),
        model_writer=model, model_type="unigram", vocab_size=520, character_coverage=0.98, hard_vocab_limit=False,
        normalization_rule_tsv=str(rules), num_threads=1, minloglevel=2, **options)
    return model.getvalue()


def make_unigram():
    from sentencepiece import sentencepiece_model_pb2
    cases = []
    for options in ({}, {"add_dummy_prefix": False, "remove_extra_whitespaces": False}, {"byte_fallback": True}):
        with tempfile.TemporaryDirectory() as folder:
            raw = train_unigram(folder, **options)
        model, sp = sentencepiece_model_pb2.ModelProto.FromString(raw), sentencepiece.SentencePieceProcessor(model_proto=raw)
        texts = [t for t in TEXTS if "\0" not in t]
        ids = [sp.encode(t) for t in texts]
        cases.append({
            "tokens": [p.piece for p in model.pieces], "scores": [p.score for p in model.pieces],
            "types": [p.type for p in model.pieces], "byte_fallback": model.trainer_spec.byte_fallback,
            "charsmap": base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode(),
            "add_space_prefix": model.normalizer_spec.add_dummy_prefix,
            "remove_extra_whitespaces": model.normalizer_spec.remove_extra_whitespaces,
            "texts": texts, "ids": [" ".join(map(str, x)) for x in ids], "decoded": [sp.decode(x) for x in ids],
            "bad_ids": [" ".join(map(str, sp.encode(t))) for t in BAD_TEXTS]})
    write("unigram", {"bad_texts": [t.hex() for t in BAD_TEXTS], "cases": cases})
    make_unigram_json(cases[0])


def make_unigram_json(case):
    """The same pieces under the normalizers and pre_tokenizers that models' tokenizer.json have."""
    space = "\u2581"
    precompiled = {"type": "Precompiled", "precompiled_charsmap": case["charsmap"]}
    several = lambda *n: {"type": "Sequence", "normalizers": n}
    cuts = lambda *p: {"type": "Sequence", "pretokenizers": p}
    replace = lambda pattern, content: {"type": "Replace", "pattern": pattern, "content": content}
    mark = lambda scheme, split=True: {"type": "Metaspace", "replacement": space, "prepend_scheme": scheme, "split": split}
    spaces = {"Regex": " {2,}"}
    rules = {
        "xlm-roberta": (precompiled, cuts({"type": "WhitespaceSplit"}, mark("always"))),
        "xlm-roberta of old files": (precompiled, cuts({"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": space, "add_prefix_space": True})),
        "bge-m3": (several(precompiled, replace(spaces, " ")), mark("always")),
        "t5": (several(precompiled, {"type": "Strip", "strip_left": False, "strip_right": True}, replace(spaces, space)), mark("first")),
        "albert": (several(replace({"String": "``"}, '"'), replace({"String": "''"}, '"'), {"type": "NFKD"}, {"type": "StripAccents"},
                           {"type": "Lowercase"}, precompiled), mark("always", False)),
        "first": (several({"type": "Nmt"}, {"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "NFD"}), mark("first")),
        "never": ({"type": "NFKC"}, mark("never", False)),
        "prepend": (several({"type": "NFC"}, {"type": "Prepend", "prepend": space}, replace({"String": " "}, space)), None),
        "nothing": (None, None)}
    added = [{"id": i, "content": c, "single_word": False, "lstrip": strip, "rstrip": False, "normalized": False, "special": True}
             for i, c, strip in ((0, "<unk>", False), (1, "<s>", False), (2, "</s>", False), (len(case["tokens"]), "<mask>", True))]
    document = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "decoder": None, "post_processor": None,
                "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": False, "vocab": [[p, round(s * 1024) / 1024] for p, s in zip(case["tokens"], case["scores"])]}}  # numbers that every reader reads exactly
    texts = TEXTS + ["a <mask> b", "<s>x</s>", " <mask>"]
    ids = {}
    for name, (normalizer, pre_tokenizer) in rules.items():
        t = Tokenizer.from_str(json.dumps(dict(document, normalizer=normalizer, pre_tokenizer=pre_tokenizer)))
        ids[name] = [" ".join(map(str, t.encode(x).ids)) for x in texts]
    write("unigram_json", {"texts": texts, "document": document, "ids": ids,
                           "rules": {n: {"normalizer": a, "pre_tokenizer": b} for n, (a, b) in rules.items()}})


def make_smollm2(path):
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    strings = lambda key: [bytes(fields[key].parts[i]).decode() for i in fields[key].data]
    tokens, merges = strings("tokenizer.ggml.tokens"), strings("tokenizer.ggml.merges")
    types = [int(fields["tokenizer.ggml.token_type"].parts[i][0]) for i in fields["tokenizer.ggml.token_type"].data]
    t = Tokenizer(models.BPE(vocab={x: i for i, x in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    t.add_special_tokens([AddedToken(x, normalized=False, special=True) for x, y in zip(tokens, types) if y == 3])
    write("smollm2", {"texts": TEXTS, "ids": [" ".join(map(str, t.encode(x).ids)) for x in TEXTS]})


DATA.mkdir(exist_ok=True)
make_pretokens()
make_bpe()
make_sentencepiece()
make_bpe_with_spaces()
make_wordpiece()
make_unigram()
if len(sys.argv) > 1:
    make_smollm2(sys.argv[1])
