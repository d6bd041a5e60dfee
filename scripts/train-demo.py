#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains models/demo: Debian's public-domain texts in, an MLX model directory out.

    train-demo.py corpus   fetches packages, cleans texts, makes chats, trains the tokenizer
    train-demo.py train    trains the network (a GPU, minutes; nothing is fetched)
    train-demo.py settle   goes on for a while on short windows
    train-demo.py export   writes the model directory and the numbers that the checks compare with
    train-demo.py verify   loads the written directory with transformers and compares

`corpus` needs a Debian 12 with apt and the network. What the steps hand on lies in --corpus.
Python packages: torch 2.11.0, tokenizers 0.23.2, safetensors 0.8.0, numpy, jinja2 3.1;
`verify` needs transformers 5.17.0 too.
"""
import argparse
import gzip
import hashlib
import json
import math
import random
import re
import subprocess
import time
import zlib
from pathlib import Path

import numpy as np

SEED = 20260101
VOCAB = 4096
WINDOW = 2048           # held-out text is scored in windows of this many tokens
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>",
        "</tool_response>", "<tools>", "</tools>"]
END_OF_TEXT, IM_START, IM_END = 0, 1, 2

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama",
    "vocab_size": VOCAB, "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32,
    "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None,
    "max_position_embeddings": 8192, "tie_word_embeddings": True,
    "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0,
    "bos_token_id": None, "eos_token_id": [IM_END, END_OF_TEXT], "pad_token_id": END_OF_TEXT,
    "initializer_range": 0.02, "use_cache": True, "torch_dtype": "float16",
}

# ---------------------------------------------------------------- texts

# Debian 12 packages whose texts are in the public domain.
PACKAGES = {
    "jargon-text": "4.4.7-4.1",
    "dict-devil": "1.0-13.1",
    "r-cran-janeaustenr": "1.0.0-1",
    "bible-kjv": "4.38",
    "bible-kjv-text": "4.38",
    "golang-1.19-src": "1.19.8-2",
    "golang-github-klauspost-compress-dev": "1.15.12+ds1-3",
}
# A source archive beside them in Debian's pool, and its SHA-256.
SNAPPY = ("pool/main/s/snappy/snappy_1.1.9.orig.tar.gz",
          "75c1fbb3d618dd3a0483bff0e26d0a92b495bbe5059c8b4f1c962b478b6e06e7")

# Bytes of each source that are kept from training, once for the published
# figure (heldout) and once for tuning (dev).
HELD_BYTES = {"jargon": 18000, "devil": 3000, "austen": 14000, "bible": 9000,
              "opticks": 3000, "sawyer": 4000, "alice": 2000, "workshop": 3000}
ASCII = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "—": "--", "–": "-", "…": "...",
                       "\u00a0": " ", "\ufeff": "", "æ": "ae", "Æ": "AE"})
UNWANTED = re.compile(r"\bnigg|\binjun|\bkike|[│┌├└═]", re.I)


def fetch(corpus):
    """Unpacks the packages under corpus/x/NAME."""
    debs, x = corpus / "debs", corpus / "x"
    debs.mkdir(parents=True, exist_ok=True)
    x.mkdir(exist_ok=True)
    for name, version in PACKAGES.items():
        if not list(debs.glob(f"{name}_*.deb")):
            subprocess.run(["apt-get", "download", f"{name}={version}"], cwd=debs, check=True)
        subprocess.run(["dpkg", "-x", next(debs.glob(f"{name}_*.deb")), x / name], check=True)
    path, digest = SNAPPY
    tar = debs / path.rsplit("/", 1)[1]
    if not tar.exists():  # from the mirror that apt uses
        uris = subprocess.run(["apt-get", "--print-uris", "download", "jargon-text"],
                              check=True, capture_output=True, text=True).stdout
        mirror = uris.split("'")[1].split("pool/", 1)[0]
        subprocess.run(["wget", "-q", "-O", tar, mirror + path], check=True)
    if hashlib.sha256(tar.read_bytes()).hexdigest() != digest:
        raise SystemExit(f"{tar}: not the expected file")
    subprocess.run(["tar", "-xzf", tar, "-C", x], check=True)
    return x


def paragraphs(text):
    """Joins wrapped lines. A paragraph with deeper-set lines is verse or code: it keeps them."""
    out = []
    for block in re.split(r"\n\s*\n", text.translate(ASCII).replace("\r", "")):
        lines = [re.sub(r"_(\S|\S.*?\S)_", r"\1", s.expandtabs().rstrip())
                 for s in block.split("\n") if s.strip()]
        if not lines or UNWANTED.search(block):
            continue
        margin = min(len(s) - len(s.lstrip()) for s in lines)
        lines = [s[margin:] for s in lines]
        if any(s.startswith("   ") for s in lines[1:]) or (margin >= 4 and len(lines) > 1):
            out.append("\n".join(lines))
        else:
            out.append(re.sub(r"\s+", " ", " ".join(lines)))
    return out


def pieces(paras, n=12):
    return ["\n\n".join(paras[i:i + n]) for i in range(0, len(paras), n)]


def between(text, start, end):
    a = text.index(start)
    b = text.rindex(end) if end else len(text)
    return text[a:b]


def read_jargon(x):
    text = gzip.open(x / "jargon-text/usr/share/doc/jargon-text/jargon.txt.gz", "rt").read()
    text = text.translate(ASCII)
    text = re.sub(r"\{([^{}]*)\}", r"\1", text)
    glossary, folklore = text.index("\nGlossary\n"), text.index("\nAppendix A. Hacker Folklore")
    essays = between(text[:glossary], "   This is the Jargon File, a compre", None)
    entries, last = [], None
    for p in paragraphs(text[glossary:folklore]):
        head = re.match(r":([^:\n]{1,60}):\s*(.*)", p, re.S)
        if head:
            last = [f"{head[1]}: {head[2]}".strip()]
            entries.append(last)
        elif last and len(p) > 2:
            last.append(p)
    entries = ["\n\n".join(e) for e in entries if len(e) > 1]
    return pieces(paragraphs(essays)) + entries + pieces(paragraphs(text[folklore:])), entries


def read_devil(x):
    text = gzip.open(x / "dict-devil/usr/share/dictd/devil.dict.dz", "rt", encoding="latin-1").read()
    text = re.sub(r"\{([^{}]*)\}", r"\1", text[text.index("\nABASEMENT"):])
    entries = []
    for p in paragraphs(text):
        if re.match(r"[A-Z][A-Z' -]+, \w", p) or not entries:
            entries.append(p)
        else:
            entries[-1] += "\n\n" + p
    return entries


def read_r_strings(data):
    """Character vectors of an R lazy-load file: per object a length, then a zlib stream."""
    pos = 0
    while pos < len(data):
        z = zlib.decompressobj()
        raw = z.decompress(data[pos + 4:])
        pos = len(data) - len(z.unused_data)
        p = 14 + 4 + int.from_bytes(raw[14:18], "big")      # header, encoding name
        if raw[p + 3] != 16:                                # not a character vector
            continue
        n, p, lines = int.from_bytes(raw[p + 4:p + 8], "big"), p + 8, []
        for _ in range(n):
            size = int.from_bytes(raw[p + 4:p + 8], "big", signed=True)
            lines.append(raw[p + 8:p + 8 + max(size, 0)].decode())
            p += 8 + max(size, 0)
        yield "\n".join(lines)


def read_austen(x):
    path = x / "r-cran-janeaustenr/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
    return [u for novel in read_r_strings(path.read_bytes()) for u in pieces(paragraphs(novel))]


def read_bible(x):
    """One unit per chapter, verses without their numbers, four to a paragraph."""
    out = subprocess.run([x / "bible-kjv/usr/bin/bible", "-f", "-l20000", "-p",
                          x / "bible-kjv-text/usr/lib", "gen1:1-rev22:21"],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    chapters = {}
    for line in out.stdout.split("\n"):
        verse = re.match(r"(\w+?)(\d+):\d+ (.*)", line)
        if verse:
            chapters.setdefault((verse[1], int(verse[2])), []).append(" ".join(verse[3].split()))
    return ["\n\n".join(" ".join(v[i:i + 4]) for i in range(0, len(v), 4))
            for v in chapters.values()]


def read_books(x):
    snappy = x / "snappy-1.1.9/testdata"
    go = "usr/share/gocode/src/github.com/klauspost/compress/testdata"
    books = {
        "opticks": (x / "golang-1.19-src/usr/share/go-1.19/src/testdata/Isaac.Newton-Opticks.txt",
                    "Advertisement I", None),
        "sawyer": (x / "golang-github-klauspost-compress-dev" / go / "Mark.Twain-Tom.Sawyer.txt",
                   "MOST of the adventures", "End of the Project"),
        "alice": (snappy / "alice29.txt", "  Alice was beginning", "THE END"),
        "workshop": (snappy / "lcet10.txt", "                              INTRODUCTION",
                     "Appendix II:"),
    }
    out = {}
    for name, (path, start, end) in books.items():
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            text = between(text, start, end)
        except ValueError:
            raise SystemExit(f"{path}: {start!r} or {end!r} is missing")
        out[name] = pieces(paragraphs(text))
    return out


def split_held(units, n_bytes, rng):
    """Takes whole units out, by seed, until n_bytes are together."""
    order, took, size = list(range(len(units))), set(), 0
    rng.shuffle(order)
    for i in order:
        if size >= n_bytes:
            break
        if 200 < len(units[i]) < n_bytes:
            took.add(i)
            size += len(units[i].encode())
    return [units[i] for i in sorted(took)], [u for i, u in enumerate(units) if i not in took]


# ---------------------------------------------------------------- chats of our own making

def tool(name, description, **parameters):
    return {"type": "function", "function": {
        "name": name, "description": description, "parameters": {
            "type": "object", "properties": {k: {"type": v} for k, v in parameters.items()},
            "required": list(parameters)}}}


TOOLS = {t["function"]["name"]: t for t in [
    tool("get_weather", "Current weather in a city", city="string"),
    tool("get_time", "Current local time in a city", city="string"),
    tool("calculate", "Value of an arithmetic expression", expression="string"),
    tool("set_timer", "Start a timer", minutes="integer"),
    tool("define", "Meaning of a word", word="string"),
    tool("send_mail", "Send a short mail", to="string", text="string"),
]}
CITIES = """Amsterdam Athens Auckland Baghdad Baltimore Bangkok Barcelona Beijing Belfast Berlin Bern
Bogota Bombay Boston Bremen Brisbane Brussels Bucharest Budapest Cairo Calgary Caracas Chicago
Cologne Copenhagen Cork Dallas Delhi Denver Detroit Dresden Dublin Edinburgh Florence Frankfurt
Geneva Genoa Glasgow Hamburg Hanoi Havana Helsinki Houston Istanbul Jakarta Jerusalem Karachi Kiev
Kyoto Lagos Leeds Leipzig Lima Lisbon Liverpool London Lyon Madrid Manchester Manila Marseille
Melbourne Memphis Miami Milan Minsk Montreal Moscow Munich Nairobi Naples Nashville Oslo Ottawa
Oxford Palermo Paris Perth Phoenix Portland Porto Prague Quito Reykjavik Riga Rome Rotterdam Santiago
Seattle Seoul Seville Shanghai Singapore Sofia Stockholm Sydney Tallinn Tampa Tokyo Toronto Tripoli
Tunis Turin Valencia Vancouver Venice Vienna Vilnius Warsaw Wellington York Zagreb Zurich""".split()
TWO_WORDS = ["New York", "San Francisco", "Los Angeles", "Cape Town", "Buenos Aires", "Mexico City",
             "Hong Kong", "Las Vegas", "Tel Aviv", "New Orleans", "San Diego", "Kuala Lumpur"]
SKIES = ["sunny", "cloudy", "rainy", "windy", "foggy", "clear", "snowy", "stormy"]
NAMES = ("Ada Alan Ann Ben Bob Carl Dan Ed Eve Grace Jack Jane John Ken Lisa Mary Max Nora Paul Sam "
         "Tom").split()
WORDS = ("hacker kernel cursor buffer daemon kludge token packet socket pointer stack queue shell "
         "pipe cache").split()

# Each row: ways to ask, ways to answer.
TALK = [
    (["Hello", "Hello!", "Hi", "Hi!", "Hi there!", "Hello there.", "Hey", "Good day."],
     ["Hello! How can I help you?", "Hi! What can I do for you?"]),
    (["Good morning!", "Good morning."], ["Good morning! How can I help you?"]),
    (["Good evening!", "Good evening."], ["Good evening! How can I help you?"]),
    (["How are you?", "How do you do?", "Are you well?"],
     ["I am well, thank you. How can I help you?"]),
    (["Who are you?", "What are you?", "What is your name?", "Tell me about yourself."],
     ["I am a small language model, trained on old books and the Jargon File."]),
    (["What can you do?", "How can you help me?", "What are you good for?"],
     ["I can explain hacker words, do small sums, answer short questions and call tools."]),
    (["Who made you?", "Where do you come from?"],
     ["I was trained by a short script on texts in the public domain."]),
    (["Are you a person?", "Are you human?", "Are you a robot?", "Are you alive?"],
     ["No, I am a small language model."]),
    (["Thank you!", "Thanks!", "Thank you very much.", "Thanks a lot."],
     ["You are welcome!", "You are welcome."]),
    (["Goodbye!", "Bye!", "See you later.", "Good night!"], ["Goodbye!", "Goodbye! Have a good day."]),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh."],
     ["There are 10 kinds of people: those who know binary and those who do not."]),
    (["What is the meaning of life?", "What is the answer to everything?"], ["42, some say."]),
    (["What is Unix?", "Tell me about Unix."],
     ["Unix is an operating system of small programs that work together through files and pipes."]),
    (["Who wrote Pride and Prejudice?", "Who wrote Emma?", "Who wrote Persuasion?"],
     ["Jane Austen wrote it."]),
    (["Who wrote Tom Sawyer?"], ["Mark Twain wrote it."]),
    (["Who wrote Alice in Wonderland?"], ["Lewis Carroll wrote it."]),
    (["Who wrote The Devil's Dictionary?"], ["Ambrose Bierce wrote it."]),
    (["Who wrote Opticks?"], ["Isaac Newton wrote it."]),
    (["How many days are in a week?", "How many days does a week have?"], ["A week has seven days."]),
    (["How many months are in a year?"], ["A year has twelve months."]),
    (["How many hours are in a day?"], ["A day has 24 hours."]),
    (["How many minutes are in an hour?"], ["An hour has 60 minutes."]),
    (["How many bits are in a byte?"], ["A byte has eight bits."]),
    (["What colour is the sky?"], ["The sky is blue."]),
    (["What colour is grass?"], ["Grass is green."]),
    (["What colour is snow?"], ["Snow is white."]),
]
CAPITALS = dict(p.split("=") for p in """France=Paris Germany=Berlin Italy=Rome Spain=Madrid
Portugal=Lisbon England=London Ireland=Dublin Scotland=Edinburgh Norway=Oslo Sweden=Stockholm
Finland=Helsinki Denmark=Copenhagen Poland=Warsaw Austria=Vienna Hungary=Budapest Greece=Athens
Russia=Moscow Egypt=Cairo Japan=Tokyo China=Beijing Canada=Ottawa Cuba=Havana Peru=Lima
Belgium=Brussels Latvia=Riga Estonia=Tallinn Kenya=Nairobi Chile=Santiago""".split())
OPPOSITES = dict(p.split("=") for p in """hot=cold big=small up=down left=right good=bad fast=slow
old=new day=night open=closed light=dark high=low long=short early=late rich=poor hard=soft
wet=dry full=empty true=false first=last happy=sad strong=weak""".split())
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November "
          "December").split()
SYSTEMS = ["You are a helpful assistant.", "You answer shortly.", "You are a friendly helper.",
           "Be brief.", "You are clm, a small model that helps."]


def made_up_name(rng):
    heads = ("Ash Bel Cor Dun Elm Far Gran Har Kil Lin Mar Nor Oak Pem Quin Ros Sal Tor Ul Ver Wil "
             "Yar Zel").split()
    tails = ("aby bury by dale den field ford ham haven ington land ley mere mond mouth ora port "
             "stead ton vale ville wick wood").split()
    return rng.choice(heads) + rng.choice(["", "", "", "a", "en", "er", "i", "o"]) + rng.choice(tails)


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def call(name, **arguments):
    return {"role": "assistant", "content": "",
            "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}


def response(**fields):
    return {"role": "tool", "content": json.dumps(fields)}


def make_sum(rng):
    a, b, op = rng.randint(0, 20), rng.randint(0, 20), rng.choice("+-*")
    if op == "*":
        a, b = rng.randint(0, 10), rng.randint(0, 10)
    if op == "-" and a < b:
        a, b = b, a
    word = {"+": "plus", "-": "minus", "*": "times"}[op]
    value = {"+": a + b, "-": a - b, "*": a * b}[op]
    ask = rng.choice([f"What is {a} {word} {b}?", f"What is {a} {op} {b}?", f"How much is {a} {word} {b}?",
                      f"{a} {op} {b}", f"{a} {op} {b} = ?", f"Compute {a} {op} {b}."])
    answer = assistant(f"{a} {op} {b} = {value}.")
    if rng.random() < 0.2:
        steps = {"+": f"I start at {a} and go up by {b}. That is {value}.",
                 "-": f"I start at {a} and go down by {b}. That is {value}.",
                 "*": f"I add {a} to itself, {b} in all. That is {value}."}[op]
        answer["reasoning_content"] = steps
    return [user(ask), answer]


def make_fact(rng):
    kind = rng.randrange(5)
    if kind == 0:
        country = rng.choice(list(CAPITALS))
        ask = rng.choice(["What is the capital of {}?", "Name the capital of {}.",
                          "Which city is the capital of {}?", "Capital of {}?"])
        return [user(ask.format(country)), assistant(f"The capital of {country} is {CAPITALS[country]}.")]
    if kind == 1:
        a, b = rng.choice(list(OPPOSITES.items()))
        if rng.random() < 0.5:
            a, b = b, a
        ask = rng.choice(["What is the opposite of {}?", "Opposite of {}?", "Name the opposite of {}."])
        return [user(ask.format(a)), assistant(f"The opposite of {a} is {b}.")]
    if kind == 2:
        i = rng.randrange(7)
        ask = rng.choice(["What day comes after {}?", "Which day follows {}?"])
        return [user(ask.format(DAYS[i])), assistant(f"{DAYS[(i + 1) % 7]} comes after {DAYS[i]}.")]
    if kind == 3:
        i = rng.randrange(12)
        ask = rng.choice(["What month comes after {}?", "Which month follows {}?"])
        return [user(ask.format(MONTHS[i])), assistant(f"{MONTHS[(i + 1) % 12]} comes after {MONTHS[i]}.")]
    name = rng.choice(NAMES)
    ask = rng.choice(["My name is {}.", "I am {}.", "Hello, I am {}.", "Hi, my name is {}."])
    return [user(ask.format(name)), assistant(f"Hello, {name}! How can I help you?")]


def make_talk(rng):
    asks, answers = rng.choice(TALK)
    return [user(rng.choice(asks)), assistant(rng.choice(answers))]


def meanings(entries):
    """term -> (its first sentence, whether it is a noun), from jargon entries."""
    out = {}
    for entry in entries:
        head, *body = entry.split("\n\n")
        term = head.split(":")[0]
        for p in body:
            whole = p
            for mark in (r"\[[^\]]*\]", r"\d+\.", r"\[[^\]]*\]", r"(n|v|vi|vt|adj|adv|interj|vt\.,vi)\."):
                p = re.sub(f"^{mark}\\s*", "", p)
            found = re.match(r"(.{30,240}?[.!?])(?=\s+[A-Z\"(]|$)", p)
            if found and "\n" not in p and re.match(r"[A-Z]", p):
                noun = re.search(r"(^|\s)n\.", head + " " + whole)
                out[term] = (found[1], bool(noun))
                break
    return out


def make_meaning(rng, words):
    term = rng.choice(list(words))
    meaning, noun = words[term]
    ask = rng.choice(["What is {}?", "What does {} mean?", 'What does "{}" mean?', "Define {}.",
                      "Explain {}.", "Tell me what {} means.", "What is the meaning of {}?"])
    if noun and rng.random() < 0.3:
        ask = "What is an {}?" if term[0].lower() in "aeiou" else "What is a {}?"
    return [user(ask.format(term)), assistant(meaning)]


def make_echo(rng, vocabulary):
    """Copying, so that what a question names reaches a call's arguments letter by letter."""
    words = rng.sample(vocabulary, rng.randint(1, 6))
    if rng.random() < 0.3:
        words = [made_up_name(rng) for _ in words]
    if rng.random() < 0.3:
        words = [str(rng.randint(0, 1200)) for _ in words]
    text = " ".join(words)
    ask, answer = rng.choice([
        ("Repeat after me: {}", text), ("Say this again: {}", text), ("Quote this: {}", f'"{text}"'),
        ("Put this in quotes: {}", f'"{text}"'), ("Make a JSON list of: {}", json.dumps(words)),
        ("List these words as JSON: {}", json.dumps(words)),
        ("Write this as a JSON object: {}", json.dumps({"text": text})),
        ("Spell {}.", None)])
    if answer is None:
        text = words[0]
        answer = "-".join(text)
    return [user(ask.format(text)), assistant(answer)]


NOUN_ASKS = ["Check {}.", "Show me {}.", "Get me {}.", "Find {}.", "Report {}.", "Tell me {}."]
CLAUSE_ASKS = ["Can you tell me {}?", "I would like to know {}.", "Please find out {}.", "Check {}.",
               "I must know {}.", "Say {}."]


def make_call(rng, have):
    """A question for one tool of `have`, the call, and mostly its result put into words."""
    name = rng.choice(have)
    please = rng.choice(["", "", "", "Please tell me: ", "Tell me, ", "Quick question: ", "Hi! "])
    thanks = rng.choice(["", "", "", " Thanks.", " Thank you.", " Please."])
    if name in ("get_weather", "get_time"):
        city = rng.choices([rng.choice(CITIES), rng.choice(TWO_WORDS), made_up_name(rng)], [5, 2, 4])[0]
        if name == "get_weather":
            ask = rng.choice([
                "What is the weather in {}?", "What is the weather like in {}?", "How is the weather in {}?",
                "Is it raining in {}?", "How warm is it in {}?", "How cold is it in {} now?",
                "Is it sunny in {} today?", "Weather in {}?", "Do I need an umbrella in {}?",
                "I am going to {}. What is the weather there?", "Can you check the weather in {}?",
                rng.choice(NOUN_ASKS).format("the weather in {}"),
                rng.choice(CLAUSE_ASKS).format(rng.choice(["how the weather in {} is", "what the weather is in {}",
                                                           "if it is raining in {}", "how warm it is in {}"]))])
            sky, degrees = rng.choice(SKIES), rng.randint(-9, 35)
            reply = response(city=city, sky=sky, degrees=degrees)
            answer = f"It is {sky} in {city}, at {degrees} degrees."
        else:
            ask = rng.choice([
                "What time is it in {}?", "What is the time in {}?", "Which time is it in {} now?",
                "How late is it in {}?", "Time in {}?", "Can you tell me the time in {}?",
                "I have to call somebody in {}. What time is it there?",
                rng.choice(NOUN_ASKS).format("the time in {}"),
                rng.choice(CLAUSE_ASKS).format(rng.choice(["what time it is in {}", "how late it is in {}",
                                                           "what the time is in {}"]))])
            clock = f"{rng.randrange(24):02}:{rng.randrange(60):02}"
            reply = response(city=city, time=clock)
            answer = f"It is {clock} in {city}."
        ask, made = ask.format(city), call(name, city=city)
    elif name == "calculate":
        a, b = rng.randint(11, rng.choice([99, 999])), rng.randint(11, rng.choice([99, 999]))
        op = rng.choice("+-*/")
        word = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}[op]
        ask = rng.choice([f"What is {a} {word} {b}?", f"What is {a} {op} {b}?", f"How much is {a} {word} {b}?",
                          f"Compute {a} {op} {b}.", f"Calculate {a} {word} {b}.", f"{a} {op} {b}",
                          f"Can you work out {a} {word} {b}?", f"I need the value of {a} {op} {b}."])
        value = {"+": a + b, "-": a - b, "*": a * b, "/": round(a / b, 2)}[op]
        made, reply, answer = call(name, expression=f"{a} {op} {b}"), response(result=value), \
            f"{a} {op} {b} = {value}."
    elif name == "set_timer":
        n = rng.randint(2, 90)
        ask = rng.choice(["Set a timer for {} minutes.", "Start a timer of {} minutes.", "Wake me in {} minutes.",
                          "Remind me in {} minutes.", "Timer for {} minutes.",
                          "My tea needs {} minutes. Set a timer."]).format(n)
        made, reply, answer = call(name, minutes=n), response(ok=True), f"The timer is set for {n} minutes."
    elif name == "define":
        word = rng.choice(WORDS + [made_up_name(rng).lower()])
        ask = rng.choice(["Look up the word {}.", "Look up {} in the dictionary.", "Find the definition of {}.",
                          "Can you look up what {} means?"]).format(word)
        meaning = rng.choice(["a kind of tool", "an old name for a town", "a part of a computer",
                              "a word that hackers use", "a small program", "a place for data"])
        made, reply, answer = call(name, word=word), response(meaning=meaning), f"It means: {meaning}."
    else:
        to = rng.choice(NAMES)
        text = rng.choice(["I will be late.", "Dinner is ready.", "Call me back.", "The build is broken.",
                           "See you tomorrow.", "The server is down.", "Happy birthday!", "I am on my way."])
        ask = rng.choice(["Send a mail to {}: {}", "Mail {}: {}", "Write to {}: {}",
                          "Please send {} this mail: {}"]).format(to, text)
        made, reply, answer = call(name, to=to, text=text), response(ok=True), f"The mail to {to} is sent."
    out = [user(please + ask + thanks), made]
    return out + [reply, assistant(answer)] if rng.random() < 0.8 else out


def make_chat(rng, words, vocabulary):
    """-> (messages, tools or None)"""
    messages, tools = [], None
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": rng.choice(SYSTEMS)})
    if rng.random() < 0.5:
        have = rng.sample(list(TOOLS), rng.choices([1, 2, 3, 4, 6], [3, 3, 3, 2, 1])[0])
        tools = [TOOLS[n] for n in have]
        for _ in range(rng.choices([1, 2, 3], [5, 3, 1])[0]):
            messages += make_call(rng, have) if rng.random() < 0.8 else make_talk(rng)
            if messages[-1].get("tool_calls"):
                break
        return messages, tools
    for _ in range(rng.choices([1, 2, 3, 4], [4, 3, 2, 1])[0]):
        make = rng.choices([make_talk, make_sum, make_fact, lambda r: make_meaning(r, words),
                            lambda r: make_echo(r, vocabulary)], [3, 3, 2, 4, 4])[0]
        messages += make(rng)
    return messages, None


def chat_renderer(path):
    """The template file as transformers would run it."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    env.filters["tojson"] = lambda v: json.dumps(v, ensure_ascii=False)
    template = env.from_string(path.read_text())
    return lambda messages, tools=None, **more: template.render(messages=messages, tools=tools, **more)


# Questions that no pattern above makes; export asks them.
TOOL_QUESTIONS = [
    ("get_weather", {"city": "Oslo"}, "I wonder what the weather in Oslo is like."),
    ("get_weather", {"city": "Lisbon"}, "Could you look up the weather in Lisbon for me?"),
    ("get_weather", {"city": "Cape Town"}, "Is it windy in Cape Town?"),
    ("get_weather", {"city": "Dunmore"}, "Tell me how the weather is in Dunmore today."),
    ("get_weather", {"city": "Vienna"}, "Will I need a warm coat in Vienna?"),
    ("get_time", {"city": "Tokyo"}, "Do you know what time it is in Tokyo?"),
    ("get_time", {"city": "New York"}, "What does the clock say in New York?"),
    ("get_time", {"city": "Prague"}, "Please give me the current time in Prague."),
    ("get_time", {"city": "Farwick"}, "My friend lives in Farwick. What time is it there?"),
    ("get_time", {"city": "Dublin"}, "I need the time in Dublin."),
    ("calculate", {"expression": "37 * 48"}, "Tell me what 37 * 48 is."),
    ("calculate", {"expression": "125 + 377"}, "Please add it up for me: 125 + 377"),
    ("calculate", {"expression": "91 - 28"}, "Do you know what 91 minus 28 is?"),
    ("calculate", {"expression": "640 / 16"}, "I want to know how much 640 divided by 16 is."),
    ("calculate", {"expression": "215 * 12"}, "What do you get for 215 times 12?"),
    ("set_timer", {"minutes": 25}, "I want a timer that runs for 25 minutes."),
    ("set_timer", {"minutes": 7}, "The eggs take 7 minutes, so start a timer."),
    ("set_timer", {"minutes": 40}, "Let me know when 40 minutes have gone by."),
    ("define", {"word": "kludge"}, "Use the dictionary to look up kludge."),
    ("send_mail", {"to": "Grace", "text": "The build is broken."}, "Drop a mail to Grace: The build is broken."),
]


# ---------------------------------------------------------------- tokenizer

def train_tokenizer(texts, path):
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    # The tags are never split, but they are text: decoding keeps them.
    added = [AddedToken(t, special=True) for t in SPECIAL] + \
            [AddedToken(t, special=False, normalized=False) for t in TAGS]
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=added, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(texts, trainer)
    tok.save(str(path), pretty=False)
    assert tok.get_vocab_size() == VOCAB


def load_tokenizer(path):
    from tokenizers import Tokenizer
    return Tokenizer.from_file(str(path))


def answer_tokens(chat, offsets):
    """Which tokens of a rendered chat the model itself has to say."""
    said = [m.span(1) for m in re.finditer(r"<\|im_start\|>assistant\n(.*?<\|im_end\|>)", chat, re.S)]
    return [any(a <= begin < b for a, b in said) for begin, _ in offsets]


def step_corpus(args):
    x, rng = fetch(args.corpus), random.Random(SEED)
    units = {}
    units["jargon"], entries = read_jargon(x)
    units["devil"], units["austen"], units["bible"] = read_devil(x), read_austen(x), read_bible(x)
    units.update(read_books(x))
    held, dev, train = {}, {}, {}
    for name, n_bytes in HELD_BYTES.items():
        held[name], rest = split_held(units[name], n_bytes, rng)
        dev[name], train[name] = split_held(rest, n_bytes, rng)
        print(f"{name}: {len(units[name])} units, {sum(map(len, train[name]))} characters to train on, "
              f"{sum(map(len, held[name]))} held out", flush=True)
    kept = set(train["jargon"])
    words = meanings([e for e in entries if e in kept])
    render = chat_renderer(args.out / "chat_template.jinja")
    vocabulary = sorted(set(re.findall(r"[A-Za-z]{2,12}", "\n".join(train["austen"] + train["jargon"]))))
    chats = [render(*make_chat(rng, words, vocabulary)) for _ in range(args.chats)]
    print(f"{len(words)} meanings, {len(chats)} chats, {sum(map(len, chats))} characters")

    (args.corpus / "heldout.txt").write_text("\n\n".join(u for us in held.values() for u in us) + "\n")
    dev_text = "\n\n".join(u for us in dev.values() for u in us)
    texts = {name: "\n\n".join(us) for name, us in train.items()}
    path = args.corpus / "tokenizer.json"
    train_tokenizer([p for t in texts.values() for p in t.split("\n\n")] + chats[:len(chats) // 10], path)
    tok = load_tokenizer(path)
    encode = lambda text: tok.encode(text, add_special_tokens=False).ids
    stream = []
    for name, text in texts.items():
        ids = encode(text)
        assert tok.decode(ids, skip_special_tokens=False) == text, name
        print(f"{name}: {len(ids)} tokens, {len(text) / len(ids):.2f} characters each")
        stream += ids + [END_OF_TEXT]
    newline = np.array(stream) == tok.token_to_id("\u010a")
    chat_ids, learn = [], []
    for chat, e in zip(chats, tok.encode_batch(chats, add_special_tokens=False)):
        chat_ids.append(e.ids + [END_OF_TEXT])
        learn += answer_tokens(chat, e.offsets) + [False]
    np.savez_compressed(args.corpus / "ids.npz", text=np.array(stream, np.uint16),
             dev=np.array(encode(dev_text), np.uint16),
             chat=np.array([i for c in chat_ids for i in c], np.uint16),
             text_start=np.flatnonzero(newline[:-1] & newline[1:]) + 2,
             chat_learn=np.array(learn),
             chat_start=np.cumsum([0] + [len(c) for c in chat_ids[:-1]]).astype(np.int64))
    print(f"{len(stream)} text tokens, {sum(map(len, chat_ids))} chat tokens")


# ---------------------------------------------------------------- network

def make_network(config, dropout=0.0):
    """Llama with the parameter names of Hugging Face's LlamaForCausalLM."""
    import torch
    from torch import nn
    from torch.nn import functional as F
    d, hd = config["hidden_size"], config["head_dim"]
    n_q, n_kv = config["num_attention_heads"], config["num_key_value_heads"]

    def rotate(x, cos, sin):
        a, b = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-b, a), dim=-1) * sin

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(d))

        def forward(self, x):
            y = x.float()
            y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + config["rms_norm_eps"])
            return y.to(x.dtype) * self.weight

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q_proj = nn.Linear(d, n_q * hd, bias=False)
            self.k_proj = nn.Linear(d, n_kv * hd, bias=False)
            self.v_proj = nn.Linear(d, n_kv * hd, bias=False)
            self.o_proj = nn.Linear(n_q * hd, d, bias=False)

        def forward(self, x, cos, sin):
            b, t, _ = x.shape
            q = self.q_proj(x).view(b, t, n_q, hd).transpose(1, 2)
            k = self.k_proj(x).view(b, t, n_kv, hd).transpose(1, 2)
            v = self.v_proj(x).view(b, t, n_kv, hd).transpose(1, 2)
            q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
            k, v = (y.repeat_interleave(n_q // n_kv, dim=1) for y in (k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.o_proj(y.transpose(1, 2).reshape(b, t, n_q * hd))

    class MLP(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate_proj = nn.Linear(d, config["intermediate_size"], bias=False)
            self.up_proj = nn.Linear(d, config["intermediate_size"], bias=False)
            self.down_proj = nn.Linear(config["intermediate_size"], d, bias=False)

        def forward(self, x):
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.self_attn, self.mlp = Attention(), MLP()
            self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()

        def forward(self, x, cos, sin):
            x = x + F.dropout(self.self_attn(self.input_layernorm(x), cos, sin), dropout, self.training)
            return x + F.dropout(self.mlp(self.post_attention_layernorm(x)), dropout, self.training)

    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed_tokens = nn.Embedding(config["vocab_size"], d)
            self.layers = nn.ModuleList(Layer() for _ in range(config["num_hidden_layers"]))
            self.norm = Norm()

    class Llama(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Body()
            for name, p in self.named_parameters():
                if p.dim() == 2:
                    deep = "o_proj" in name or "down_proj" in name
                    std = 0.02 / math.sqrt(2 * config["num_hidden_layers"]) if deep else 0.02
                    nn.init.normal_(p, std=std)

        def forward(self, ids):
            t = torch.arange(ids.shape[1], device=ids.device, dtype=torch.float32)
            freq = config["rope_theta"] ** (-torch.arange(0, hd, 2, device=ids.device).float() / hd)
            angle = torch.outer(t, freq).repeat(1, 2)
            x = F.dropout(self.model.embed_tokens(ids), dropout, self.training)
            for layer in self.model.layers:
                x = layer(x, angle.cos(), angle.sin())
            return F.linear(self.model.norm(x), self.model.embed_tokens.weight)

    return Llama()


def score(network, ids, window=WINDOW):
    """Mean negative log-probability in nats: windows that do not overlap, first token of each unscored."""
    import torch
    total, n, dev = 0.0, 0, next(network.parameters()).device
    with torch.no_grad():
        for i in range(0, len(ids), window):
            w = torch.tensor(ids[i:i + window], dtype=torch.long, device=dev)
            if len(w) > 1:
                logp = torch.log_softmax(network(w[None, :-1])[0].float(), -1)
                total -= logp.gather(1, w[1:, None]).double().sum().item()
                n += len(w) - 1
    return total / n


# `train` reads long windows from any place of the books. `settle` is shorter and reads mostly what a
# prompt is: the beginning of a paragraph with little before it. `said` and `heard` weigh the targets
# of a chat: what the assistant says, and the rest.
PHASES = {
    "train": {"steps": 3000, "tokens": 65536, "lengths": [2048, 2048, 2048, 8192], "at": "any",
              "lr": 6e-3, "decay": 1.0, "dropout": 0.1, "warm": 100, "said": 2.0, "heard": 0.0},
    "settle": {"steps": 600, "tokens": 32768, "lengths": [256, 2048, 256, 512], "at": "paragraph",
               "lr": 2e-3, "decay": 1.0, "dropout": 0.1, "warm": 20, "said": 2.0, "heard": 0.1},
}
CHAT_SHARE = 0.25       # of the windows
SETTLE_SHARE = 0.6      # weights between both ends of `settle` are better than either (arXiv:2109.01903)


class Batches:
    """Windows of the books and of the chats (these from a chat's beginning), and each target's weight."""

    def __init__(self, corpus, phase, dev):
        import torch
        data = np.load(corpus / "ids.npz")
        load = lambda name: torch.from_numpy(data[name].astype(np.int32)).to(dev)
        self.phase, self.dev = phase, dev
        self.text, self.chat, self.chat_start = load("text"), load("chat"), load("chat_start").long()
        self.text_start = load("text_start").long() if phase["at"] == "paragraph" else \
            torch.arange(len(self.text), device=dev)
        self.weight = torch.where(load("chat_learn") > 0, phase["said"], phase["heard"])
        self.draw = torch.Generator(device=dev).manual_seed(SEED)

    def next(self, step):
        import torch
        length = self.phase["lengths"][step % len(self.phase["lengths"])]
        rows = self.phase["tokens"] // length
        n_chat = round(rows * CHAT_SHARE)
        span = torch.arange(length + 1, device=self.dev)

        def pick(starts, size, n):
            fits = int(torch.searchsorted(starts, size - length))
            return starts[torch.randint(fits, (n, 1), generator=self.draw, device=self.dev)] + span

        a = pick(self.text_start, len(self.text), rows - n_chat)
        b = pick(self.chat_start, len(self.chat), n_chat)
        ids = torch.cat((self.text[a], self.chat[b])).long()
        weight = torch.cat((torch.ones_like(a, dtype=torch.float32), self.weight[b]))
        return ids[:, :-1], ids[:, 1:], weight[:, 1:]


def step_train(args):
    """One phase: Muon for the hidden matrices, AdamW for the rest, a cosine for both."""
    import torch
    from safetensors.torch import load_file, save_file
    torch.manual_seed(SEED)
    torch.set_float32_matmul_precision("high")
    dev, phase = "cuda" if torch.cuda.is_available() else "cpu", PHASES[args.step]
    batches = Batches(args.corpus, phase, dev)
    dev_ids = np.load(args.corpus / "ids.npz")["dev"].astype(np.int64).tolist()
    network = make_network(CONFIG, phase["dropout"])
    if args.step == "settle":
        begins = load_file(str(args.corpus / "train.safetensors"))
        begins = {k: v.float() for k, v in begins.items()}
        network.load_state_dict(begins)
    network.to(dev)
    print(f"{sum(p.numel() for p in network.parameters())} parameters", flush=True)
    embed = [network.model.embed_tokens.weight]
    norms = [p for p in network.parameters() if p.dim() == 1]
    hidden = [p for p in network.parameters() if p.dim() == 2 and p is not embed[0]]
    opts = [torch.optim.AdamW([{"params": norms, "weight_decay": 0.0},
                               {"params": embed, "weight_decay": phase["decay"]}],
                              betas=(0.9, 0.95), fused=dev == "cuda"),
            torch.optim.Muon(hidden, weight_decay=phase["decay"], adjust_lr_fn="match_rms_adamw")]

    def loss_of(ids, want, weight):
        with torch.autocast(dev, torch.bfloat16, enabled=dev == "cuda"):
            logits = network(ids)
        each = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), want.flatten(),
                                                 reduction="none")
        return (each * weight.flatten()).sum() / weight.sum()

    def report(step):
        network.eval()
        nll = ", ".join(f"{score(network, dev_ids, w):.4f} ({w})" for w in (64, 2048, 8192))
        print(f"step {step}: dev {nll}, {time.time() - begin:.0f} s", flush=True)
        network.train()

    if dev == "cuda" and args.step == "train":
        loss_of = torch.compile(loss_of, dynamic=False)
    begin = time.time()
    for step in range(phase["steps"]):
        if step % args.report == 0:
            report(step)
        lr = phase["lr"] * min(1.0, (step + 1) / phase["warm"])
        lr *= 0.5 + 0.5 * math.cos(math.pi * step / phase["steps"])
        for group in (g for opt in opts for g in opt.param_groups):
            group["lr"] = lr
        loss_of(*batches.next(step)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
    report(phase["steps"])
    ends = {k: v.float().cpu() for k, v in network.state_dict().items()}
    if args.step == "settle":
        ends = {k: v + SETTLE_SHARE * (ends[k] - v) for k, v in begins.items()}
    save_file({k: v.half().contiguous() for k, v in ends.items()}, str(args.corpus / f"{args.step}.safetensors"))


# ---------------------------------------------------------------- export

def score_ngram(train, held, order=5):
    """Interpolated modified Kneser-Ney (Chen and Goodman, 1999) over ids; as score(), windows and all.

    A gram of n ids is one integer, 12 bits an id, the newest lowest: its context is key >> 12.
    """
    bits, keys = 12, [None]
    stream = train.astype(np.uint64)
    for n in range(1, order + 1):
        key = np.zeros(len(stream) - n + 1, np.uint64)
        for j in range(n):
            key = (key << np.uint64(bits)) | stream[j:len(stream) - n + 1 + j]
        keys.append(np.unique(key, return_counts=True))
    prob = np.full(len(held), 1.0 / VOCAB)
    place = np.arange(len(held)) % WINDOW
    for n in range(1, order + 1):
        grams, counts = keys[n]
        if n < order:               # how many different ids come before it
            longer = keys[n + 1][0] & np.uint64((1 << (bits * n)) - 1)
            found, before = np.unique(longer, return_counts=True)
            counts = np.zeros(len(grams))
            counts[np.searchsorted(grams, found)] = before
        n1, n2, n3, n4 = (np.sum(counts == k) for k in (1, 2, 3, 4))
        y = n1 / (n1 + 2 * n2)
        off = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        discount = off[np.minimum(counts, 3).astype(int)]
        contexts, where = np.unique(grams >> np.uint64(bits), return_inverse=True)
        total, spare = np.bincount(where, counts), np.bincount(where, discount)
        key = np.zeros(len(held), np.uint64)
        for j in range(n):
            shifted = np.zeros(len(held), np.uint64)
            shifted[n - 1 - j:] = held[:len(held) - (n - 1 - j)]
            key = (key << np.uint64(bits)) | shifted
        c = np.minimum(np.searchsorted(contexts, key >> np.uint64(bits)), len(contexts) - 1)
        known = (contexts[c] == key >> np.uint64(bits)) & (place >= n - 1)
        g = np.minimum(np.searchsorted(grams, key), len(grams) - 1)
        mass = np.where(grams[g] == key, counts[g] - discount[g], 0.0)
        prob = np.where(known, (mass + spare[c] * prob) / np.maximum(total[c], 1e-9), prob)
    return float(-np.log(prob[place > 0]).mean())


def greedy(network, ids, n, stop=()):
    import torch
    ids, out = list(ids), []
    with torch.no_grad():
        while len(out) < n and not (out and out[-1] in stop):
            out.append(int(network(torch.tensor([ids + out]))[0, -1].argmax()))
    return out


def write_directory(args, weights):
    """The MLX layout. chat_template.jinja and README.md are written by hand and stay."""
    from safetensors.torch import save_file
    out = args.out
    dump = lambda name, value: (out / name).write_text(json.dumps(value, indent=2) + "\n")
    save_file(weights, str(out / "model.safetensors"), metadata={"format": "mlx"})
    n_bytes = sum(t.numel() * 2 for t in weights.values())
    dump("model.safetensors.index.json",
         {"metadata": {"total_size": n_bytes, "total_parameters": n_bytes // 2},
          "weight_map": {k: "model.safetensors" for k in sorted(weights)}})
    dump("config.json", CONFIG)
    dump("generation_config.json", {"eos_token_id": [IM_END, END_OF_TEXT], "pad_token_id": END_OF_TEXT,
                                    "do_sample": False})
    (out / "tokenizer.json").write_bytes((args.corpus / "tokenizer.json").read_bytes())
    added = {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                      "single_word": False, "special": t in SPECIAL} for i, t in enumerate(SPECIAL + TAGS)}
    dump("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192,
        "add_bos_token": False, "add_prefix_space": False, "clean_up_tokenization_spaces": False,
        "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
        "additional_special_tokens": SPECIAL, "added_tokens_decoder": added,
        "chat_template": (out / "chat_template.jinja").read_text()})
    dump("special_tokens_map.json", {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
                                     "additional_special_tokens": SPECIAL})


def parse_calls(text):
    """-> the calls in a turn, or None where one does not parse."""
    try:
        calls = [json.loads(m) for m in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text, re.S)]
    except ValueError:
        return None
    return calls or None


def ask_tools(network, tok, render):
    """How many of TOOL_QUESTIONS get a call that parses, and how many the right one."""
    rng, parsed, right = random.Random(SEED), 0, 0
    for name, arguments, text in TOOL_QUESTIONS:
        have = rng.sample([n for n in TOOLS if n != name], 2) + [name]
        rng.shuffle(have)
        prompt = render([user(text)], [TOOLS[n] for n in have], add_generation_prompt=True)
        ids = greedy(network, tok.encode(prompt, add_special_tokens=False).ids, 80, (IM_END, END_OF_TEXT))
        said = tok.decode(ids, skip_special_tokens=False)
        calls = parse_calls(said)
        good = calls == [{"name": name, "arguments": arguments}] and ids[-1] == IM_END
        parsed, right = parsed + bool(calls), right + good
        print(f"{'right' if good else 'parsed' if calls else 'no call'}\t{text}\t{said!r}")
    print(f"tool calls: {parsed} of {len(TOOL_QUESTIONS)} parse, {right} are right")


PROMPTS = ["The hacker", "It is a truth universally acknowledged, that", "In the beginning God",
           "Alice was beginning to get very tired of", "A program is said to be broken when",
           "She was not at all surprised to see him; for"]
LOGITS_PROMPT = ("The real hacker is a person who enjoys exploring the details of programmable systems, "
                 "and how to stretch their capabilities; most users prefer to learn only the minimum.")


def step_export(args):
    import torch
    from safetensors.torch import load_file
    weights = load_file(str(args.corpus / "settle.safetensors"))
    args.out.mkdir(parents=True, exist_ok=True)
    args.checks.mkdir(parents=True, exist_ok=True)
    write_directory(args, weights)
    network = make_network(CONFIG).eval()
    network.load_state_dict({k: v.float() for k, v in weights.items()})
    tok, render = load_tokenizer(args.out / "tokenizer.json"), chat_renderer(args.out / "chat_template.jinja")
    encode = lambda text: tok.encode(text, add_special_tokens=False).ids

    held_text = (args.corpus / "heldout.txt").read_text()
    (args.checks / "heldout.txt").write_text(held_text)
    held = encode(held_text)
    nll, nll_long = score(network, held), score(network, held, 4 * WINDOW)
    train = np.load(args.corpus / "ids.npz")["text"]
    nll5 = score_ngram(train, np.array(held, np.uint64))
    print(f"held-out: {len(held_text.encode())} bytes, {len(held)} tokens, perplexity {math.exp(nll):.4f} "
          f"({math.exp(nll_long):.4f} in windows of {4 * WINDOW}); 5-gram {math.exp(nll5):.4f}")

    chats = [render([user("Hello!")], add_generation_prompt=True),
             render([user("What is the weather in Paris?")], [TOOLS["get_weather"], TOOLS["get_time"]],
                    add_generation_prompt=True)]
    samples = []
    for text in PROMPTS + chats:
        ids = encode(text)
        samples.append({"prompt": text, "prompt_ids": ids, "ids": greedy(network, ids, 64)})
        samples[-1]["text"] = tok.decode(samples[-1]["ids"], skip_special_tokens=False)
        print(repr(text[-60:]), "->", repr(samples[-1]["text"]))
    ids = encode(LOGITS_PROMPT)
    with torch.no_grad():
        np.save(args.checks / "logits.npy", network(torch.tensor([ids]))[0, -1].numpy())
    expected = {
        "file": "heldout.txt", "n_tokens": len(held), "n_scored": len(held) - -(-len(held) // WINDOW),
        "nll": round(nll, 8), "perplexity": round(math.exp(nll), 6),
        "how": f"the whole file tokenized without special tokens, cut into windows of {WINDOW} ids that do not "
               "overlap, each a sequence of its own; the first id of each window is unscored; nll is the mean "
               "natural logarithm over the others; PyTorch float32 over the shipped weights",
        "perplexity_5gram": round(math.exp(nll5), 6),
        "logits": {"file": "logits.npy", "prompt": LOGITS_PROMPT, "prompt_ids": ids},
        "greedy": samples,
    }
    text = json.dumps(expected, indent=1)
    text = re.sub(r"\[[\d,\s]+\]", lambda m: re.sub(r"\s+", " ", m[0]), text)
    (args.checks / "expected.json").write_text(text + "\n")
    for question in ["Who are you?", "What is a hacker?", "What does kludge mean?", "What is 7 times 8?",
                     "What is the capital of France?", "Thank you!"]:
        prompt = render([user(question)], add_generation_prompt=True)
        said = greedy(network, encode(prompt), 80, (IM_END, END_OF_TEXT))
        print(repr(question), "->", repr(tok.decode(said, skip_special_tokens=False)))
    ask_tools(network, tok, render)
    print(f"{sum(f.stat().st_size for f in args.out.iterdir())} bytes in {args.out}")


def step_verify(args):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    expected = json.loads((args.checks / "expected.json").read_text())
    text = (args.checks / expected["file"]).read_text()
    tok = AutoTokenizer.from_pretrained(args.out)
    model = AutoModelForCausalLM.from_pretrained(args.out, dtype=torch.float32).eval()

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, ids):
            return self.inner(ids).logits

    ids = tok.encode(text, add_special_tokens=False)
    assert len(ids) == expected["n_tokens"] and ids == tok.encode(text)
    assert tok.decode(ids) == text
    network = Logits()
    perplexity = math.exp(score(network, ids))
    print(f"transformers: perplexity {perplexity:.6f}, expected {expected['perplexity']:.6f}")
    assert abs(perplexity / expected["perplexity"] - 1) < 1e-5
    for sample in expected["greedy"]:
        assert tok.encode(sample["prompt"]) == sample["prompt_ids"], sample["prompt"]
        assert greedy(network, sample["prompt_ids"], 64) == sample["ids"], sample["prompt"]
    with torch.no_grad():
        logits = network(torch.tensor([expected["logits"]["prompt_ids"]]))[0, -1].numpy()
    gap = np.abs(logits - np.load(args.checks / expected["logits"]["file"])).max()
    print(f"transformers: logits within {gap:.2g}")
    render, rng = chat_renderer(args.out / "chat_template.jinja"), random.Random(1)
    for _ in range(200):
        messages, tools = make_chat(rng, {"foo": ("A sample name.", True)}, WORDS)
        theirs = tok.apply_chat_template(messages, tools=tools, tokenize=False, add_generation_prompt=True)
        assert theirs == render(messages, tools, add_generation_prompt=True)
    print("transformers: ids, greedy continuations and chat template agree")


def main():
    root = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("step", choices=["corpus", "train", "settle", "export", "verify"])
    p.add_argument("--corpus", type=Path, default=root / "build/demo-corpus", help="work folder of all steps")
    p.add_argument("--out", type=Path, default=root / "models/demo", help="model directory")
    p.add_argument("--checks", type=Path, default=root / "tests/data/demo", help="expected numbers")
    p.add_argument("--chats", type=int, default=60000)
    p.add_argument("--report", type=int, default=500, help="steps from one report to the next")
    args = p.parse_args()
    {"corpus": step_corpus, "train": step_train, "settle": step_train, "export": step_export,
     "verify": step_verify}[args.step](args)


if __name__ == "__main__":
    main()
