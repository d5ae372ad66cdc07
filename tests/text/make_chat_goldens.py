"""Writes the chat template goldens: tests/text/data/chat_goldens_*.json and chat_expressions.json.

The oracle is Jinja2 3.1.6, set up as Hugging Face transformers sets it up for chat templates (written here from
its documented behaviour: ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls, the
`generation` tag, and tojson, raise_exception, strftime_now replaced). strftime_now sees a fixed time in UTC.

    pip install jinja2==3.1.6 gguf==0.19.0
    python make_chat_goldens.py --templates LLAMA_CPP/models/templates --gguf SmolLM2-135M-Instruct.Q4_1.gguf

Templates are metadata of the models named in SOURCES, each under its model's licence; the copies used are those
that llama.cpp's repository keeps for its tests (ggml-org/llama.cpp, models/templates), and for SmolLM2 the model
file's own. --all DIR writes goldens of every template of the folder into DIR, for a local check.
"""

import argparse
import datetime
import json
import pathlib

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2025, 7, 6, 13, 45, 6, tzinfo=datetime.timezone.utc)

N_PARTS = 3

APACHE, MIT, MODIFIED_MIT = "Apache-2.0", "MIT", "modified MIT"
SOURCES = {
    "Apertus-8B-Instruct": ("swiss-ai/Apertus-8B-Instruct-2509", APACHE),
    "Apriel-1.6-15b-Thinker-fixed": ("ServiceNow-AI/Apriel-1.6-15b-Thinker", MIT),
    "unsloth-Apriel-1.5": ("ServiceNow-AI/Apriel-1.5-15b-Thinker", MIT),
    "Bielik-11B-v3.0-Instruct": ("speakleash/Bielik-11B-v3.0-Instruct", APACHE),
    "ByteDance-Seed-OSS": ("ByteDance-Seed/Seed-OSS-36B-Instruct", APACHE),
    "GLM-4.6": ("zai-org/GLM-4.6", MIT),
    "GLM-4.7-Flash": ("zai-org/GLM-4.7-Flash", MIT),
    "GigaChat3-10B-A1.8B": ("ai-sage/GigaChat3-10B-A1.8B", MIT),
    "HuggingFaceTB-SmolLM3-3B": ("HuggingFaceTB/SmolLM3-3B", APACHE),
    "Kimi-K2-Instruct": ("moonshotai/Kimi-K2-Instruct", MODIFIED_MIT),
    "Kimi-K2-Thinking": ("moonshotai/Kimi-K2-Thinking", MODIFIED_MIT),
    "MiMo-VL": ("XiaomiMiMo/MiMo-VL-7B-RL", MIT),
    "MiniMax-M1": ("MiniMaxAI/MiniMax-M1-40k", APACHE),
    "MiniMax-M2": ("MiniMaxAI/MiniMax-M2", MODIFIED_MIT),
    "Mistral-Small-3.2-24B-Instruct-2506": ("mistralai/Mistral-Small-3.2-24B-Instruct-2506", APACHE),
    "mistralai-Ministral-3-14B-Reasoning-2512": ("mistralai/Ministral-3-14B-Reasoning-2512", APACHE),
    "mistralai-Mistral-Nemo-Instruct-2407": ("mistralai/Mistral-Nemo-Instruct-2407", APACHE),
    "unsloth-mistral-Devstral-Small-2507": ("mistralai/Devstral-Small-2507", APACHE),
    "Qwen-QwQ-32B": ("Qwen/QwQ-32B", APACHE),
    "Qwen-Qwen2.5-7B-Instruct": ("Qwen/Qwen2.5-7B-Instruct", APACHE),
    "Qwen-Qwen3-0.6B": ("Qwen/Qwen3-0.6B", APACHE),
    "Qwen3-Coder": ("Qwen/Qwen3-Coder-30B-A3B-Instruct", APACHE),
    "Qwen3.5-4B": ("Qwen/Qwen3.5-4B", APACHE),
    "StepFun3.5-Flash": ("stepfun-ai/Step-3.5-Flash", APACHE),
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", MIT),
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", MIT),
    "deepseek-ai-DeepSeek-V3.1": ("deepseek-ai/DeepSeek-V3.1", MIT),
    "deepseek-ai-DeepSeek-V3.2": ("deepseek-ai/DeepSeek-V3.2", MIT),
    "llama-cpp-deepseek-r1": ("ggml-org/llama.cpp", MIT),
    "llama-cpp-rwkv-world": ("ggml-org/llama.cpp", MIT),
    "google-gemma-4-31B-it": ("google/gemma-4-31B-it", APACHE),
    "ibm-granite-granite-3.3-2B-Instruct": ("ibm-granite/granite-3.3-2b-instruct", APACHE),
    "ibm-granite-granite-4.0": ("ibm-granite/granite-4.0-tiny-preview", APACHE),
    "llm-jp-llm-jp-4.1-8b-thinking": ("llm-jp/llm-jp-4.1-8b-thinking", APACHE),
    "meetkai-functionary-medium-v3.1": ("meetkai/functionary-medium-v3.1", MIT),
    "meetkai-functionary-medium-v3.2": ("meetkai/functionary-medium-v3.2", MIT),
    "microsoft-Phi-3.5-mini-instruct": ("microsoft/Phi-3.5-mini-instruct", MIT),
    "openai-gpt-oss-120b": ("openai/gpt-oss-120b", APACHE),
    "openbmb-MiniCPM5-1B": ("openbmb/MiniCPM5-1B", APACHE),
}


class Generation(Extension):
    """{% generation %} renders its body; transformers only notes where it was."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda fmt: NOW.replace(tzinfo=None).strftime(fmt)
    return env


def render(env, source, context):
    """{"text": ...} or {"error": ...}; "raised" marks the template's own raise_exception."""
    try:
        text = env.from_string(source).render(**context)
        text.encode("utf-8")
        return {"text": text}
    except jinja2.exceptions.TemplateError as e:
        own = type(e) is jinja2.exceptions.TemplateError
        return {"raised": str(e)} if own else {"error": str(e)}
    except Exception as e:  # TypeError and its like, as a user of transformers would see them
        return {"error": f"{type(e).__name__}: {e}"}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city <now & \"here\">",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Città, 城市"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": ["integer", "null"], "minimum": 1},
            },
            "required": ["city"],
        },
    },
}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def call(arguments, id="call00001"):
    return {"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


SYSTEM = {"role": "system", "content": "Answer in verse.\n"}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
TURNS = [user(" Hi there \n"), assistant("Hello!"), user("Wie heißt du? 👋🏽"), assistant(" Whimbrel.\n"), user("Ok")]
TOOL_TURNS = [
    user("Weather in Köln?"),
    assistant("", tool_calls=[call({"city": "Köln", "days": 2})]),
    {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "{\"temp\": 21.5}"},
    assistant("21.5 degrees."),
    user("Thanks"),
]
CONVERSATIONS = {
    "one user message": {"messages": [user("Hello")], "add_generation_prompt": True},
    "no generation prompt": {"messages": [user("Hello"), assistant("Hi")], "add_generation_prompt": False},
    "system and turns": {"messages": [SYSTEM] + TURNS, "add_generation_prompt": True},
    "turns without tokens": {"messages": TURNS, "add_generation_prompt": True, "bos_token": "", "eos_token": ""},
    "reasoning": {
        "messages": [
            user("1+1?"),
            assistant("<think>\nEasy.\n</think>\n\n2"),
            user("2+2?"),
            assistant("4", reasoning_content="Two twos.", thinking="Two twos."),
            user("3+3?"),
        ],
        "add_generation_prompt": True,
        "enable_thinking": False,
    },
    "thinking on": {
        "messages": [SYSTEM, user("1+1?")],
        "add_generation_prompt": True,
        "enable_thinking": True,
        "thinking": True,
        "reasoning_effort": "high",
    },
    "tools offered": {"messages": [SYSTEM, user("Weather?")], "tools": [WEATHER], "add_generation_prompt": True},
    "tools used": {"messages": TOOL_TURNS, "tools": [WEATHER], "add_generation_prompt": True},
    "tool call pending": {
        "messages": [
            user("Both?"),
            assistant(None, tool_calls=[call({"city": "Oslo"}), call({"city": "Wien", "unit": None}, "call00002")]),
            {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "1"},
            {"role": "tool", "name": "get_weather", "tool_call_id": "call00002", "content": "true"},
        ],
        "tools": [WEATHER],
        "add_generation_prompt": True,
    },
    "arguments as text": {
        "messages": [user("W?"), assistant("So:", tool_calls=[call('{"city": "Bari"}')])],
        "tools": [WEATHER],
        "add_generation_prompt": False,
    },
    "content in parts": {
        "messages": [user([{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "ñ"}])],
        "add_generation_prompt": True,
    },
    "roles out of order": {"messages": [assistant("I begin"), user("a"), user("b")], "add_generation_prompt": True},
    "unknown role": {"messages": [{"role": "judge", "content": "?"}], "add_generation_prompt": True},
    "nothing": {"messages": []},
}
for context in CONVERSATIONS.values():
    for name, value in TOKENS.items():
        context.setdefault(name, value)


EXPRESSION_CONTEXT = {
    "s": "Hello World",
    "u": "Grüße, 世界! 👋🏽",
    "sp": "  x \n",
    "e": "",
    "html": "<b>&\"'",
    "lines": "one\n\ntwo\r\nthree\n",
    "n": 7,
    "z": 0,
    "neg": -7,
    "f": 2.5,
    "big": 9007199254740993,
    "t": True,
    "no": False,
    "nil": None,
    "l": [3, 1, 2],
    "ls": ["b", "A", "c", "a"],
    "mixed": [1, "a", None, True, 1.5, [2], {"k": "v"}],
    "el": [],
    "d": {"b": 1, "a": {"x": [1, 2]}, "items": "shadow", "Z": None},
    "ed": {},
    "users": [
        {"name": "Bo", "age": 30, "tags": ["x"], "sub": {"k": 2}},
        {"name": "al", "age": 25, "tags": [], "sub": {"k": 1}},
        {"name": "Cy", "age": 30, "active": True, "sub": {"k": 3}},
    ],
}

# Expressions, printed with {{ }}.
EXPRESSIONS = r"""
1|2.0|-3|1e3|1_000|0x1f|0o17|0b101|1.5e-7|1e22|1e16|123456789012345680.0|0.1|1e-5|0.0001|100000000000000000000.0
'a'|"b"|'it''s'|"q\"q"|'\n\t\\'|'\x41\u00e9\U0001F600'|'a' 'b'|''
true|false|none|True|False|None
[]|[1,2,]|[1,[2,[3]]]|()|(1,)|(1,2)|{}|{'a':1}|{'a':{'b':[1,2]}}|{1:2,'x':none}|{'a':1,'a':2}
1+2|1-2|3*4|7/2|8/2|7//2|-7//2|7//-2|7%3|-7%3|7%-3|2**10|2**-1|2**0.5|2**3**2|-2**2|1+2*3|(1+2)*3
7.5//2|-7.5//2|7.5%2|-7.5%2|7.5%-2|1.0*3|0.1+0.2|1/3|10/5|1e308*10|5.0//0.3|-0.0|0.0*-1
1/0|1//0|1%0|1.0/0|0**-1
n+1|n-f|f*2|neg/2|t+1|t+t|-t|+n|-neg|--n|big+1|big*1.0|9223372036854775807
'a'+'b'|'ab'*3|3*'ab'|'a'*0|'a'*-1|[1]+[2]|[1]*3|(1,)+(2,)|'a'+1|1+'a'|[1]+(2,)|none+1|'a'-'b'
'a'~1~none~true~1.5~[1]|n~f|1~2|nil~undef~'x'|'a'~'b'+'c'|1~2+3
1==1|1==1.0|1==true|'a'=='a'|'a'==1|none==none|none==false|[1]==[1]|[1]==(1,)|{}=={}|{'a':1}=={'a':1.0}|undef==undef|undef==none
1!=2|1<2|2<=2|3>2|3>=4|'a'<'b'|'B'<'a'|'é'>'z'|[1,2]<[1,3]|(1,)<(1,2)|1<'a'|none<1|1<1.5|true<2
1<2<3|1<3<2|1==1==1|1<2>0|3>2>1 and 1|1 in [1] in [[1]]|1 < 2 == true
big == 9007199254740992.0|big > 9007199254740992.0|9007199254740992.0 < big|1e300 > big
1 in [1,2]|3 not in [1,2]|'a' in 'abc'|'' in 'abc'|'z' not in 'abc'|'b' in d|'q' in d|1 in (1,)|1 in 'a'|'x' in none|'x' in undef|undef in [1]|none in [none]|1.0 in [1]
true and 1|0 and 1|0 or 'x'|'' or none|not 1|not ''|not not 'a'|1 and 2 or 3|none or undef or 'd'|not 1 == 2|not el|not ed
1 if true else 2|1 if false else 2|1 if false|'a' if el else 'b'|1 if t else 2 if t else 3|(1 if no) is defined|'x' ~ (1 if no)
n is defined|undef is defined|undef is undefined|n is not defined|nil is none|nil is not none|n is number|t is number|f is number|s is number
n is integer|t is integer|f is integer|f is float|n is float|t is boolean|n is boolean|t is true|n is true|no is false|z is false
s is string|n is string|d is mapping|l is mapping|l is iterable|s is iterable|n is iterable|d is iterable|undef is iterable|nil is iterable
l is sequence|s is sequence|d is sequence|n is sequence|undef is sequence|nil is sequence|(1,) is sequence|range(2) is sequence
n is odd|n is even|8 is even|neg is odd|9 is divisibleby 3|9 is divisibleby(4)|f is odd|'a' is odd|n is sameas 7|nil is sameas nil|l is sameas l|[] is sameas []
1 is eq 1|1 is equalto 2|1 is ne 2|1 is lt 2|1 is gt 2|2 is ge 2|2 is le 1|1 is lessthan 2|1 is greaterthan 0|1 is in [1,2]|3 is not in [1,2]|'a' is in 'abc'
'A' is upper|'a' is lower|'1' is upper|'a1' is lower|range is callable|n is callable|undef is callable|'upper' is filter|'zzz' is filter|'odd' is test|s is escaped|s|e is escaped
s is foo|s is defined is defined
undef|undef.x|undef['x']|undef()|undef + 1|undef < 1|-undef|undef|length|undef|list|undef|join|undef|default('d')|undef|upper|undef|int|undef|tojson|undef|first|undef|last|undef|string|undef|trim|undef[0:1]|undef|items|list
d.b|d['b']|d.a.x|d.a.x[0]|d.a.x.0|d['a']['x'][-1]|d.zz|d.zz.y|d['zz']|d[1]|d[none]|d[[1]]|d.Z|d.items|d['items']|d.a.get('x')|nil.x|n.x|n[0]|s.x|s.x.y|l.x|l['a']|d.__class__|s.__len__
l[0]|l[-1]|l[3]|l[-4]|l[true]|l[1.0]|s[0]|s[-1]|u[2]|u[-2]|u[99]|(1,2)[1]|range(5)[2]|range(5)[-1]|range(5)[9]|'abc'[1]|[[1,2],[3]][0][1]
l[1:]|l[:1]|l[:-1]|l[::2]|l[::-1]|l[5:]|l[-2:]|l[1:2:1]|s[1:4]|s[::-1]|s[-3:]|s[::3]|s[4:1]|s[4:1:-1]|u[2:4]|u[::-1]|(1,2,3)[1:]|range(10)[2:5]|range(10)[::3]|l[::0]|d[1:]|n[1:]|l['a':]|s[:100]|s[-100:2]|el[0:1]|s[none:3]|s[2:none]|l[10:0:-1]|l[9223372036854775807:]|l[::9223372036854775807]
s.upper()|s.lower()|s.title()|s.swapcase()|'hello wORLD'.capitalize()|'ab-cd ef'.title()|"they're".title()|u.upper()|u.lower()|'ß'.upper()|'ÀÉ'.lower()|'ǆ'.upper()
sp.strip()|sp.lstrip()|sp.rstrip()|'xxaxx'.strip('x')|'abcba'.lstrip('ab')|'abcba'.rstrip('ab')|'\u00a0a\u2003'.strip()|'xyx'.strip('')|'éaé'.strip('é')|s.strip(1)
s.split()|s.split(' ')|s.split('o')|s.split('o',1)|s.split('l')|' a  b '.split()|' a  b '.split(' ')|'a b c'.split(none,1)|'a b c '.split(none,1)|s.split('')|''.split()|''.split('x')|'a,b,c'.split(',',-1)|'a,b,c'.split(',',0)|'a,b,c'.split(sep=',')|'a,b,c'.split(maxsplit=1)
'a b c'.rsplit(' ',1)|'a b c'.rsplit(none,1)|'a,b,c'.rsplit(',')|' a b '.rsplit()|'  a b  c'.rsplit(none,1)
lines.splitlines()|lines.splitlines(true)|'a\vb\u2028c'.splitlines()|''.splitlines()|'a\n'.splitlines()
s.startswith('He')|s.startswith('x')|s.startswith(('x','He'))|s.startswith('l',2)|s.endswith('ld')|s.endswith(('a','d'))|s.startswith('')|s.startswith('H',1)|s.startswith(1)|s.endswith('o',0,5)|''.startswith('',1)
s.replace('l','L')|s.replace('l','L',1)|s.replace('','-')|u.replace('ü','ue')|s.replace('zz','y')|s.replace('Hello','')|'aaa'.replace('aa','b')|'ab'.replace('','-',2)
s.find('o')|s.find('o',5)|s.find('z')|s.rfind('o')|s.index('W')|s.index('z')|u.find('世')|s.count('l')|s.count('')|'aaaa'.count('aa')|s.find('')|s.find('',20)|s.find('H',1,3)
'-'.join(['a','b'])|'-'.join([])|'-'.join([1])|', '.join(ls)|''.join(d)|'-'.join('abc')
'abc'.removeprefix('a')|'abc'.removesuffix('c')|'abc'.removeprefix('x')|'a=b=c'.partition('=')|'a=b=c'.rpartition('=')|'abc'.partition('=')|'abc'.rpartition('=')
'7'.zfill(3)|'-7'.zfill(4)|'ab'.ljust(4)~'|'|'ab'.rjust(4)|'ab'.center(5,'*')|'abc'.center(6,'*')|'a'.center(4,'*')|'12'.isdigit()|'1a'.isdigit()|'ab'.isalpha()|'a1'.isalnum()|' '.isspace()|''.isspace()|'AB'.isupper()|'ab'.islower()|'aB'.islower()
'{} {}'.format(1,'a')|'{0}{1}{0}'.format('a','b')|'{x}'.format(x=1)|'{{}}'.format()|'{!r}'.format('a')|'{:>5}|'.format('a')|'{:<5}|'.format('a')|'{:^5}|'.format('a')|'{:05d}'.format(42)|'{:.2f}'.format(3.14159)|'{:,}'.format(1234567)|'{:x}'.format(255)|'{:+d}'.format(5)|'{:*^9}'.format('mid')|'{}'.format()|'{a.b}'.format(a={'b':1})|'{a[b]}'.format(a={'b':1})|'{:%}'.format(0.25)|'{:e}'.format(12345.678)|'{:d}'.format('a')|'{:10.3f}|'.format(2.5)|'{:>{w}}'.format(1,w=3)
'%s'|'%s' % 1|'%s %s' % (1,'a')|'%d' % 3.7|'%05d' % 42|'%.2f' % 3.14159|'%5s|' % 'a'|'%-5s|' % 'a'|'%x' % 255|'%%' % ()|'%r' % 'a'|'%(a)s' % {'a':1}|'%s' % [1,2]|'%s' % ()|'%s' % (1,2)|'%d' % 'a'|'%e' % 12345.678|'%g' % 0.0001|'%+d' % 5|'%i' % true|'%.3s' % 'abcdef'|'%o' % 8|'%X' % 255|'% d' % 5|'%.1f' % 0.25|'%.0f' % 0.5|'%.0f' % 1.5
d.items()|d.keys()|d.values()|d.items()|list|d.keys()|list|d.get('b')|d.get('q')|d.get('q','x')|d.get('q',default='x')|d.a.items()|list|d|length|d|list|d|first|d.copy().b|d.pop('b')|d.update({})|d.get()|dict(a=1,b=2)|dict({'a':1},b=2)|dict([('a',1)])|dict(l)
l.index(1)|l.count(1)|l.index(9)|l.append(4)|l.sort()|l.pop()|(1,2,1).count(1)|l.copy()
range(3)|range(3)|list|range(1,4)|list|range(5,0,-2)|list|range(0)|list|range(1,10,3)|list|range(-3)|list|range(3)|length|range('a')|range(1,2,0)|range(1000000)|range(2)|string|range(0,6,2)|1 in range(3)|range(3)==range(3)
s|upper|s|lower|'hELLO'|capitalize|'a-b (c) [d'|title|s|title|sp|trim|'xax'|trim('x')|s|length|u|length|l|length|n|length|d|count|s|replace('l','L')|s|replace('l','L',1)|n|upper|1.5|string|none|string|s|string
l|join|l|join(', ')|ls|join('-')|mixed|join('|')|users|join(',', attribute='name')|users|map(attribute='name')|join('/')|s|join('.')|d|join(',')|el|join('x')|n|join|l|join(1)
l|first|l|last|el|first|el|last|s|first|s|last|d|last|range(3)|last|n|first|el|first|default('none')|l|map('string')|first|l|map('string')|last
l|sort|ls|sort|ls|sort(true)|ls|sort(case_sensitive=true)|l|sort(reverse=true)|users|sort(attribute='age')|map(attribute='name')|list|users|sort(attribute='age,name')|map(attribute='name')|list|users|sort(attribute='sub.k',reverse=true)|map(attribute='name')|list|mixed|sort|s|sort|d|sort
d|dictsort|{'b':1,'A':2}|dictsort|{'b':1,'A':2}|dictsort(true)|{'b':1,'A':2}|dictsort(false,'value')|{'b':2,'a':1}|dictsort(reverse=true)|d|dictsort(by='zz')|l|dictsort
l|reverse|list|s|reverse|el|reverse|list|d|reverse|list|(1,2)|reverse|list|n|reverse
l|unique|list|['a','A','b']|unique|list|['a','A','b']|unique(case_sensitive=true)|list|users|unique(attribute='age')|map(attribute='name')|list|[1,1.0,true,2]|unique|list
l|sum|users|sum(attribute='age')|l|sum(start=10)|el|sum|['a']|sum|[1.5,2]|sum|users|map(attribute='age')|sum
l|min|l|max|ls|min|ls|max|el|min|users|max(attribute='age')|users|min(attribute='sub.k')|['b','A']|min(case_sensitive=true)|mixed|max
l|map('string')|list|ls|map('upper')|list|ls|map('replace','a','x')|list|users|map(attribute='sub.k')|list|users|map(attribute='zz')|list|users|map(attribute='zz',default='-')|list|users|map(attribute='tags.0')|list|l|map('zzz')|list|l|map|list|['a b','c d']|map('split')|list|[[1,2],[3]]|map('first')|list|[[1,2],[3]]|map('length')|list|[[3,4]]|map(attribute=0)|list
l|select|list|[0,1,'',none,'a']|select|list|l|select('odd')|list|l|reject('odd')|list|l|select('gt',1)|list|l|select('in',[1,2])|list|l|select('zzz')|list|mixed|select('string')|list|l|select('odd')|length
users|selectattr('active')|map(attribute='name')|list|users|selectattr('age','equalto',30)|map(attribute='name')|list|users|selectattr('active','defined')|list|length|users|rejectattr('active','defined')|map(attribute='name')|list|users|rejectattr('age','gt',26)|list|users|selectattr('sub.k','ge',2)|map(attribute='name')|list|users|selectattr|list|users|selectattr('name','in',['Bo','al'])|list|length|'yes' if users|selectattr('age','gt',99) else 'no'|'yes' if users|selectattr('age','gt',99)|list else 'no'
d|tojson|l|tojson|s|tojson|u|tojson|nil|tojson|t|tojson|f|tojson|1.0|tojson|1e22|tojson|html|tojson|'\x00\x1f\x7f'|tojson|'\u2028'|tojson|u|tojson(ensure_ascii=true)|u|tojson(true)|d|tojson(indent=2)|l|tojson(indent=4)|el|tojson(indent=2)|ed|tojson(indent=2)|d|tojson(separators=(',',':'))|d|tojson(sort_keys=true)|{1:2,none:3,true:4,1.5:5}|tojson|(1,2)|tojson|range(2)|tojson|mixed|tojson|d|tojson(indent='--')|d|tojson(indent=0)|namespace(a=1)|tojson|{(1,2):3}|tojson|d|tojson(indent=2,separators=(',',':'))|d|tojson(nope=1)
'3'|int|'3.7'|int|'x'|int|'x'|int(5)|'0x1f'|int(base=16)|'1f'|int(0,16)|f|int|t|int|nil|int|' 42 '|int|'1_000'|int|l|int|-2.7|int|'-5'|int|'101'|int(base=2)|'1e3'|int|''|int|'inf'|int
'3.5'|float|'x'|float|'x'|float(1)|n|float|'1e3'|float|nil|float|' 2.5 '|float|'inf'|float|'nan'|float|t|float|'1_0.5'|float
2.5|round|3.5|round|2.567|round(2)|2.567|round(1,'floor')|2.561|round(2,'ceil')|n|round|1234.5|round(-2)|2.675|round(2)|0.5|round|-0.5|round|2.1|round(0,'ceil')|'a'|round|2.5|round(1,'zz')|1.005|round(2)
neg|abs|-2.5|abs|'a'|abs|t|abs|s|default('x')|e|default('x')|e|default('x',true)|nil|default('x')|nil|default('x',boolean=true)|undef|d('y')|undef|default|no|default(1,true)
'a\nb\n\nc'|indent|'a\nb'|indent(2)|'a\nb'|indent(2,true)|'a\n\nb'|indent(2,blank=true)|'a\nb'|indent('> ')|'a\nb\n'|indent|''|indent|n|indent|'a\nb'|indent(width=1,first=true)
html|e|html|escape|html|safe|html|e|e|html|forceescape|html|e|forceescape|html|safe|e|html|safe + '<'|'<' + html|safe|html|e ~ '<'|(html|safe)~'<'|[html|safe]|html|e|length|html|urlencode|'a b/ü?'|urlencode|n|e
'foo bar baz'|truncate(9)|'foo bar baz'|truncate(7,true,'..',0)|'foo bar baz qux'|truncate(11,false,'...',0)|s|truncate(300)|s|wordcount|s|center(15)|'%s-%s'|format(1,2)|'%(a)s'|format(a=1)|s|attr('upper')()|d|attr('b')|l|batch(2)|list|l|batch(2,'x')|list|l|slice(2)|list|l|slice(2,0)|list|s|list|d|items|list|n|list|n|items|list|nil|list
s|zzz|s|upper()|s|upper(1)|s.zzz()|s()|n()|nil()|l[0]()|d.items|range|s.upper|dict|namespace(a=1)|namespace(a=1).a|namespace().q|namespace({'x':2}).x|namespace(a=1)['a']
1 + |(1|[1|{'a'|'a|1 2|a b|{{|}}|.a|a.|a[|a..b|%|1 if|not|is|'a' 'b' 1|@|a!b|$|1=2
strftime_now('%Y-%m-%d')|strftime_now('%d %b %Y')|strftime_now('%B %d, %Y, %A %a')|strftime_now('%H:%M:%S %I %p %j %y %%')|strftime_now('%U %W %w %u')|strftime_now('%-d/%-m')|strftime_now('%e')|strftime_now('')|strftime_now()|strftime_now(1)
raise_exception('boom')|raise_exception('boom ' ~ n)|raise_exception(1)
[1,2]|map('abs')|sum + 1|(l|first)|string + 'x'|l|first|string ~ 'x'|-l|first|-1|abs|not l|first|1 + '2'|int|s|lower|upper|title|s.lower().upper()|(s ~ '!').upper()|(1,2)[0]|{'a':1}.a|{'a':1}['a']|'abc'[::-1]|upper|[l]|tojson|tojson|l|length > 2 and 'many'|s|length is odd|l is defined and l|n|string|length|s in [s]|2 in l and 3 in l|s == 'Hello World' if s else 1|'a' if 1 else 'b'|upper|*l|dict(**{'a':1})|range(*[1,3])|list
inf|1e400|-1e400|(1e308*10)|string|[1e308*10]|(1e308*10)-(1e308*10)|nan is defined|9223372036854775808|'a'.b.c|s[0:2].upper()|[1,2][0:1][0]|()|length|(())|((1))|((1,),)
"""

# Whole templates: statements, whitespace control, scopes.
TEMPLATES = [
    "{% for x in l %}{{ x }},{% endfor %}", "{% for x in el %}a{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }} {% endfor %}",
    "{% for c in s %}{{ c }}.{% endfor %}", "{% for c in u %}{{ c }}|{% endfor %}", "{% for x in n %}{% endfor %}",
    "{% for x in undef %}a{% else %}b{% endfor %}", "{% for x in nil %}{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% endfor %}",
    "{% for x in l if x > 9 %}a{% else %}b{% endfor %}", "{% for x in l if loop.index %}{{ x }}{% endfor %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}"
    "{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }};{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in l %}{{ loop.cycle() }}{% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}", "{% for x in l %}{{ loop.zzz }}{% endfor %}",
    "{% for x in l %}{% for y in ls %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for x in l|map('string') %}{{ loop.last }}{{ loop.length }}{% endfor %}", "{{ loop }}", "{{ loop.index }}",
    "{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}{{ b }} {% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for a, b in [1] %}{% endfor %}", "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% break %}", "{% continue %}",
    "{% for x in [1, 2] %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in l recursive %}{{ x }}{% endfor %}", "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}",
    "{% for x in (l if t else el) %}{{ x }}{% endfor %}", "{% for x in range(3) %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(done=false) %}{% for x in l if not ns.done %}{{ x }}{% if x == 1 %}{% set ns.done = true %}"
    "{% endif %}{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% for i in l %}{% if loop.first %}{% set y = 1 %}{% endif %}[{{ y }}]{% endfor %}{{ y is defined }}",
    "{% if t %}{% set y = 5 %}{% endif %}{{ y }}", "{% if no %}{% set y = 5 %}{% endif %}[{{ y }}]",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = 1 %}", "{% set (a, b) = [3, 4] %}{{ b }}{{ a }}",
    "{% set a = 1, 2 %}{{ a }}", "{% set true = 1 %}", "{% set a.b = 1 %}", "{% set d.b = 1 %}", "{% set 1 = 2 %}",
    "{% set ns = namespace() %}{% set ns.x = 1 %}{{ ns.x }}{{ ns }}{{ ns.y }}|{{ ns.y is defined }}",
    "{% set ns = namespace(n=0) %}{% for x in l %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}",
    "{% set x %}a{{ n }}b{% endset %}[{{ x }}]", "{% set x | upper %}a{{ n }}b{% endset %}[{{ x }}]",
    "{% set x | replace('a', 'z') | trim %} abc {% endset %}[{{ x }}]", "{% set x %}{% set y = 1 %}{% endset %}{{ y }}",
    "{% set s = 'local' %}{{ s }}", "{% set range = 1 %}{{ range }}", "{% set x = x %}{{ x is defined }}",
    "{% if 0 %}a{% elif '' %}b{% elif l %}c{% else %}d{% endif %}", "{% if undef %}a{% else %}b{% endif %}",
    "{% if undef.x %}a{% endif %}", "{% if d.zz.y is defined %}a{% endif %}", "{% if n > 5 and s %}y{% endif %}",
    "{% if not t %}a{% elif n == 7 %}b{% endif %}", "{% if t %}{% if no %}1{% else %}2{% endif %}{% endif %}",
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(1, c=5) }}|{{ m(b=1) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}"
    "{{ m(1, 2, x=3) }}", "{% macro m(a) %}{% if a %}{{ a }}{{ m(a - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro m(x) %}[{{ caller(x) }}]{% endmacro %}{% call(y) m(5) %}got {{ y }}{% endcall %}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{{ m() }}{% macro m() %}{% endmacro %}", "{% macro m(a, b) %}{{ a }}-{{ b is defined }}{% endmacro %}{{ m(1) }}",
    "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m() %}x{% endmacro %}{{ m }}{{ m.name }}",
    "{% macro m() %}{% set x = 2 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{{ x }}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}",
    "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m() %} a {% endmacro %}[{{ m()|trim }}]", "{% macro m() %}{% for x in l %}{{ x }}{% endfor %}{% endmacro %}{{ m() }}",
    "{% filter upper %}abc {{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aaa{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "{% with a = 1, b = a %}{{ b }}{% endwith %}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% print n, s %}", "{% print(n) %}",
    "{% generation %}text {{ n }}{% endgeneration %}", "{% generation %}{% set q = 1 %}{% endgeneration %}{{ q is defined }}",
    "{% raw %}{{ not }} {% if %}{% endraw %}", "{%- raw -%} {{ x }} {%- endraw -%} y", "{% raw %}\n a\n  {% endraw %}\nb",
    "{# comment #}a{#- c -#} b", "a {#- c #} b", "{# {{ n }} {% if %} #}x", "{# unclosed", "{{ unclosed", "{% if", "{% raw %}x",
    "a\n{% if t %}\nb\n{% endif %}\nc", "a\n  {% if t %}\n  b\n  {% endif %}\nc", "a  {% if t %}  b  {% endif %}  c",
    "a\n {%- if t -%}\n b \n {%- endif -%} \n c", "a\n {%+ if t %}\n b\n {%+ endif %}\n c", "a {% if t +%}\nb{% endif +%}\nc",
    "a {{- n -}} b", "a\n  {{ n }}\n  b", "  {{ n }}", "  {% set x = 1 %}  y", "\n  {# c #}\n  z", "a\n\t{% set x = 1 %}\t\nb",
    "{{ n }}\n", "{{ n }}\n\n", "a\r\nb\r{{ n }}\r\n", "{% set x = 'a\r\nb' %}{{ x|length }}", "\n\n{{ n }}", "x{%- set y = 1 %}\n z",
    "{{ '{{' }}{{ '}}' }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ '%}' }}", "{%- for x in l -%} {{ x }} {%- endfor -%}",
    "{{ n\n+\n1 }}", "{%\nif t\n%}a{%\nendif\n%}", "{%if t%}a{%endif%}", "{{n}}{{-n}}{{ -n }}", "{{- n }}", "{{+n}}", "a{{+ n }}",
    "{% zzz %}", "{% endif %}", "{% if t %}", "{% for x %}{% endfor %}", "{% for in l %}{% endfor %}", "{% else %}", "{% include 'x' %}",
    "{% extends 'x' %}", "{% import 'x' as y %}", "{% if t %}{% endfor %}", "{% set x = %}", "{% set %}", "{% macro %}{% endmacro %}",
    "{% if t: %}a{% endif %}", "{{ 1; 2 }}", "{{ }}", "{% %}", "{{ a b }}", "{% do x %}", "{{ n }}}}", "}} %} #}", "{ { n } }", "{", "{{", "{%", "",
    "{{ d.items()|list|first|first }}", "{{ users|map(attribute='tags')|map('length')|list }}", "{{ users[0].tags[0] }}",
    "{% set m = users|selectattr('age', 'eq', 25)|first %}{{ m.name }}", "{{ users|map(attribute='name')|map('lower')|sort|join(' ') }}",
    "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", "{{ (l|map('string')) is iterable }}", "{{ 'a' if l|select('gt', 9) else 'b' }}",
    "{% set x = {'a': 1} %}{% set x = dict(x, b=2) %}{{ x }}", "{% set l2 = l + [4] %}{{ l2 }}{{ l }}", "{{ [1, 2, 3][1:]|join('') }}",
    "{{ ('a', 'b')|join }}", "{% set a = 'x' %}{% set b = a %}{% set a = 'y' %}{{ a }}{{ b }}", "{{ '%s' % undef }}", "{{ [undef] }}",
    "{{ {'k': undef} }}", "{{ [nil, t, 1.0, 'a\\'b', \"q\"] }}", "{{ ['\\n\\t\\\\', '\\x00\\x7f\\xa0\\u200b\\U0001f600é'] }}", "{{ [\"it's\", 'a\"b', 'a\"\\'b'] }}",
    "{{ u }}{{ [u] }}", "{{ 'a' is string and 1 is number }}", "{{ not t is true }}", "{{ t is not false }}", "{{ (n is odd) == true }}", "{{ n is odd == true }}",
    "{{ none is none }}", "{{ x is defined and x }}", "{{ undef is defined and undef.y }}", "{{ (undef|default({})).x }}", "{{ (d.q or {}).x }}",
    "{% if messages is not defined %}none{% endif %}", "{{ 5 is divisibleby 5 and 1 }}", "{{ 'b' is in d }}", "{{ 1 if 'x' is string else 2 }}",
    "{{ 'straße'|upper }}{{ 'ΟΔΟΣ'|lower }}{{ 'ﬁn'|capitalize }}{{ 'ŉ ǆ'|title }}", "{{ 'İ'.lower()|length }}", "{{ 'ß'.casefold() }}",
    "a\0b{{ 'x\0y' }}\0", "{{ 'x\0y'|length }}{{ 'x\0y'|upper }}{{ ['x\0y'] }}{{ 'x\0y'|tojson }}", "{{ 'x\0y'.split('\0') }}",
    "{{ 'x\0y'.replace('\0', '-') }}{{ '\0' in 'x\0y' }}{{ 'x' == 'x\0' }}{{ 'x\0'|trim|length }}", "{{ '%s|%r' % ('a\0b', 'c\0') }}",
    "{{ '{:\0>4}|{:>4}'.format('a', 'b\0') }}", "{{ '{:4\0}'.format('a') }}", "{{ '{:\0}'.format(1) }}", "{{ '%\0' % 1 }}",
    "{{ 'nan\0x'|float(1.5) }}{{ '1\0'|int(7) }}{{ '1.5\0'|float(2.5) }}", "{{ {'k\0': 'v\0'} }}{{ {'k\0': 1}['k\0'] }}", "{{ raise_exception('a?b') }}",
    "{{ 'a\0b-c'|title }}{{ 'a\0b'|capitalize }}{{ 'a\0b c'|wordcount }}{{ 'a\0b'|urlencode }}{{ 'a\0<'|e }}{{ 'a\0b'|center(6) }}|",
    "{{ caller }}", "{{ varargs }}", "{{ true.x }}", "{{ 'x'.join }}", "{{ [].append(1) }}", "{% set _ = [].append(1) %}", "{{ ''.__class__ }}",
    "{{ ().__class__.__bases__ }}", "{{ '{0.__class__}'.format(1) }}", "{{ d['__class__'] }}", "{{ namespace.__init__ }}",
]


def expressions():
    for line in EXPRESSIONS.strip().splitlines():
        yield from split_line(line)


FILTER_NAMES = set(jinja2.defaults.DEFAULT_FILTERS) | {"zzz"}


# Where Whimbrel ends in an error by design: wider integers than 64 bits, recursive loops, format specifiers that
# are themselves formatted, and values that Python prints with their address.
NOT_SUPPORTED = ["9223372036854775808", "recursive %}", "{w}"]


def expected(env, source):
    result = render(env, source, EXPRESSION_CONTEXT)
    text = result.get("text", "")
    if any(mark in source for mark in NOT_SUPPORTED) or " at 0x" in text or "<class" in text:
        return {"error": "not supported"}
    return result


def split_line(line):
    """A | outside of quotes and brackets separates two expressions unless a filter's name follows it."""
    parts, depth, quote, start, i = [], 0, None, 0, 0
    while i < len(line):
        c = line[i]
        if quote:
            if c == "\\":
                i += 1
            elif c == quote:
                quote = None
        elif c in "'\"":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth = max(0, depth - 1)
        elif c == "|" and depth == 0:
            word = ""
            for w in line[i + 1 :]:
                if not (w.isalnum() or w == "_"):
                    break
                word += w
            after = line[i + 1 + len(word) : i + 2 + len(word)]
            is_filter = word in FILTER_NAMES and after in ("", "|", "(", " ", "[", ".")
            if not is_filter:
                parts.append(line[start:i])
                start = i + 1
        i += 1
    parts.append(line[start:])
    return parts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--templates", type=pathlib.Path, required=True)
    parser.add_argument("--gguf", type=pathlib.Path)
    parser.add_argument("--all", type=pathlib.Path)
    options = parser.parse_args()
    env = environment()
    out_dir = options.all or pathlib.Path(__file__).parent / "data"
    names = sorted(p.stem for p in options.templates.glob("*.jinja")) if options.all else list(SOURCES)
    entries = [(n, *SOURCES.get(n, ("?", "?")), (options.templates / f"{n}.jinja").read_text("utf-8")) for n in names]
    if options.gguf:
        import gguf

        text = gguf.GGUFReader(options.gguf).fields["tokenizer.chat_template"].contents()
        entries.append(("SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", APACHE, text))
    generator = f"tests/text/make_chat_goldens.py, jinja2 {jinja2.__version__}"
    paths = []
    for part in range(N_PARTS):  # several files, none of them large
        goldens = {
            "generator": generator,
            "now": int(NOW.timestamp()),
            "conversations": [{"name": k, "context": v} for k, v in CONVERSATIONS.items()],
            "templates": [
                {
                    "name": name,
                    "origin": origin,
                    "licence": licence,
                    "source": source,
                    "results": [render(env, source, context) for context in CONVERSATIONS.values()],
                }
                for name, origin, licence, source in entries[part::N_PARTS]
            ],
        }
        paths.append(out_dir / f"chat_goldens_{part}.json")
        paths[-1].write_text(json.dumps(goldens, ensure_ascii=False, indent=0) + "\n", "utf-8")
    sources = ["{{ " + e + " }}" for e in expressions()] + TEMPLATES
    table = {
        "generator": generator,
        "now": int(NOW.timestamp()),
        "context": EXPRESSION_CONTEXT,
        "cases": [{"source": s, **expected(env, s)} for s in dict.fromkeys(sources)],
    }
    paths.append(out_dir / "chat_expressions.json")
    paths[-1].write_text(json.dumps(table, ensure_ascii=False, indent=0) + "\n", "utf-8")
    for p in paths:
        print(p, p.stat().st_size, "bytes")
    print(len(entries), "templates,", len(table["cases"]), "cases")


if __name__ == "__main__":
    main()
