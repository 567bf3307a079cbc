"""The mask on all that leaves for the model: a secret becomes `«SECRET_1»`, and in code that comes back its lookup.

Two nets: the exact values of what this process knows as secrets, in every form they are spelled in, and the
formats of well-known keys. Nothing is guessed from how random a text looks, so ids, hashes and images stay.
"""

from __future__ import annotations

import html
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, islice
from threading import Lock
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, quote_plus, unquote, urlsplit

from ..protocol.secrets import LEAST, Known, is_secret, mask, names_secret, with_texts
from .lookups import PLACEHOLDER, looked_up
from .registry import attributes, static

T = TypeVar("T")

INSTRUCTION = (
    "Secrets were replaced by placeholders like «SECRET_1» before this was sent. In code, write a placeholder as a"
    ' string of its own, "«SECRET_1»": it becomes the lookup of the secret by its name.'
)
"""What the model is told where anything was masked."""


@dataclass(frozen=True)
class NamedSecret:
    """`name`: what users call it; `lookup`: the Python expression that gives it, if there is one."""

    name: str
    value: str = field(repr=False)
    lookup: str | None = None


class _Secrets:
    """What this process knows as secret, and where a text holds some of it or a key of a known format."""

    def __init__(self) -> None:
        self.named: dict[str, NamedSecret] = {}
        self._known = Known(())
        self._odd: dict[str, list[str]] = {}
        self._beginnings: dict[str, str] = {}
        self._lock = Lock()  # cells and tools learn and mask in threads of their own

    def learn(self, secrets: Iterable[NamedSecret]) -> None:
        new = {each.value: each for each in secrets if is_secret(each.value)}
        with self._lock:
            if new.keys() <= self.named.keys():
                return
            self.named = new | self.named
            self._known = Known(self.named)
            self._odd = {value: _spellings(value) for value in self.named if not _PLAIN.fullmatch(value)}
            self._beginnings = {
                begin: value
                for value in self.named
                for size in _CUT_CHARS
                if size < len(value) and not _WORDS.fullmatch(begin := value[:size])
            }

    def masked(self, text: str, placeholder: Callable[[_Place], str]) -> str:
        """Return the text as it may leave; takes time linear in its length."""
        pieces: list[str] = []
        done = 0
        for place in _apart(self._places(text)):
            pieces += text[done : place.begin], placeholder(place)
            done = place.end
        return mask("".join((*pieces, text[done:])) if done else text)

    def _places(self, text: str) -> Iterator[_Place]:
        yield from self._places_in(text)
        yield from self._cut_places(text)
        unwrapped = _unwrapped(text)
        if self._odd:
            flat = _flat(unwrapped.text)
            for place in self._odd_places(flat.text):
                begin, end = flat.place(place.begin), flat.place(place.end - 1)
                yield place._replace(begin=unwrapped.place(begin), end=unwrapped.place(end) + 1)
        if len(unwrapped.text) < len(text):
            for place in self._places_in(unwrapped.text, unwrapped.begins):
                begin, end = unwrapped.place(place.begin), unwrapped.place(place.end - 1) + 1
                if end - begin > place.end - place.begin:  # it goes over a line's end
                    yield place._replace(begin=begin, end=end)

    def _places_in(self, text: str, begins: Collection[int] = ()) -> Iterator[_Place]:
        """Find secrets in a text; `begins`: where lines of it began, which is the beginning of a word."""
        for span in self._known.spans(text):
            # Of an address its beginning is no secret; its password is one by itself.
            if span.is_whole or "://" not in span.secret:
                yield _Place(span.begin, span.end, span.secret, self.named[span.secret].name, span.is_whole)
        lower = _lower(text)
        begins = {*begins, *(found.end() for found in _ESCAPE.finditer(text))}
        for kind in _FORMATS:
            for begin, end in kind.places(text, lower, begins):
                value = text[begin:end]
                if not _is_dummy(value):
                    yield _Place(begin, end, re.sub(r"\s|\\[nrt]", "", value), kind.name, False)

    def _cut_places(self, text: str) -> Iterator[_Place]:
        """Find the beginnings of secrets that were cut off: `abcdef…`."""
        for mark in ("…", "..."):
            at = text.find(mark) if self._beginnings else -1
            while at >= 0:
                for size in _CUT_CHARS:
                    if value := self._beginnings.get(text[max(0, at - size) : at]):
                        yield _Place(at - size, at, value, self.named[value].name, True)
                        break
                at = text.find(mark, at + 1)

    def _odd_places(self, flat: str) -> Iterator[_Place]:
        lower = _lower(flat)
        for value, spellings in self._odd.items():
            for spelling in spellings:
                at = lower.find(spelling)
                while at >= 0:
                    end = at + len(spelling)
                    yield _Place(at, end, value, self.named[value].name, True)
                    at = lower.find(spelling, end)


class OutgoingMask:
    """Replaces secrets by placeholders. The same value has the same number as long as the mask lives.

    A thread goes on in other kernels, so its numbers do too: `held` has the names of those it holds, `""` for those
    that only its texts tell. A name gives no value away, and which secret it is, is known where it has a value.
    """

    def __init__(
        self,
        secrets: Iterable[NamedSecret] = (),
        held: Mapping[str, str] | None = None,
        *,
        of: OutgoingMask | None = None,
    ) -> None:
        """`of`: the mask to share all knowledge with, but not the numbers."""
        self._secrets: _Secrets = of._secrets if of is not None else _Secrets()
        self._lock = Lock()  # as in `_Secrets`
        self._numbers: dict[str, int] = {}
        self._names = {int(key[1:-1]): name for key, name in sorted((held or {}).items()) if key[0] == "«"}
        self.learn(secrets)

    def learn(self, secrets: Iterable[NamedSecret]) -> None:
        """Mask these from now on, besides those it knows: what a variable held before is a secret still."""
        self._secrets.learn(secrets)

    @property
    def names(self) -> list[str]:
        """What was masked so far, in the order of the numbers; never a value."""
        return [name for _, name in sorted(self._names.items())]

    def names_in(self, *texts: str) -> list[str]:
        """Return the names of the placeholders in these texts."""
        numbers = sorted({int(found[1]) for text in texts for found in PLACEHOLDER.finditer(text)})
        return [name for number in numbers if (name := self._names.get(number))]

    @property
    def held(self) -> dict[str, str]:
        """What a thread has to hold of the numbers."""
        return {f"«{number}»": name for number, name in self._names.items()}

    def __call__(self, text: str) -> str:
        """Return the text as it may leave; takes time linear in its length."""
        return self._secrets.masked(text, self._placeholder)

    def clean(self, value: T) -> T:
        """Return a value, JSON or structs, with every text in it masked; itself if that changes nothing."""
        return with_texts(value, self)

    def restore(self, code: str, language: str = "python") -> str:
        """Return code with lookups in place of placeholders; those without a lookup in that language stay."""
        by_name = {each.name: each.lookup for each in self._secrets.named.values()}
        secrets = self._secrets.named
        by_number = {
            number: secrets[value].lookup for value, number in self._numbers.items() if value in secrets
        }
        named = {number: by_name.get(name) for number, name in self._names.items()}
        lookups = {str(number): lookup for number, lookup in (named | by_number).items() if lookup}
        return looked_up(code, lookups, language)

    def _placeholder(self, place: _Place) -> str:
        with self._lock:
            if (number := self._numbers.get(place.value)) is None:
                number = self._numbers[place.value] = self._free_number(place)
                self._names[number] = place.name
        return f"«SECRET_{number}»"

    def _free_number(self, place: _Place) -> int:
        """Return the number that the thread has for it, else a new one. Of a format alone there may be many keys."""
        taken = self._numbers.values()
        if place.value in self._secrets.named:
            for number, name in sorted(self._names.items(), reverse=True):
                if name == place.name and number not in taken:
                    return number
        return max(self._names, default=0) + 1


class Marks:
    """Masks texts before it is known which thread they go to: a secret becomes one character, for `numbered`."""

    def __init__(self, mask: OutgoingMask) -> None:
        self._mask = mask
        self._places: list[_Place] = []
        self._marks: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        return self._mask._secrets.masked(text, self._mark)

    def without(self, text: str) -> str:
        """Return the text without what is secret: what can be made of that gives nothing away."""
        return _MARK.sub("", self(text))

    def numbered(self, text: str, mask: OutgoingMask) -> str:
        """Return the text with all that is secret as `mask` has it."""
        return _MARK.sub(lambda mark: self._numbered(mark[0], mask), mask(text))

    def _mark(self, place: _Place) -> str:
        if (mark := self._marks.get(place.value)) is None:
            mark = self._marks[place.value] = chr(_FIRST_MARK + len(self._places))
            self._places.append(place)
        return mark

    def _numbered(self, mark: str, mask: OutgoingMask) -> str:
        index = ord(mark) - _FIRST_MARK
        return mask._placeholder(self._places[index]) if index < len(self._places) else mark


_FIRST_MARK = 0x10_0000
_MARK = re.compile("[\U00100000-\U0010fffd]")
"""Characters for private use, which texts rarely have and fonts even less."""


class _Place(NamedTuple):
    begin: int
    end: int
    value: str
    name: str
    is_exact: bool


def _apart(places: Iterable[_Place]) -> list[_Place]:
    """Return the places one after the other: those that overlap become one, named for what is known best."""
    merged: list[_Place] = []
    for place in sorted(places, key=lambda each: (each.begin, -each.end)):
        if not merged or place.begin >= merged[-1].end:
            merged.append(place)
            continue
        last = merged[-1]
        better = max(last, place, key=lambda each: (each.is_exact, each.end - each.begin))
        merged[-1] = better._replace(begin=last.begin, end=max(last.end, place.end))
    return merged


_BREAK = re.compile(r"""\r?\n|\\r\\n|\\n|["'] ?\+ ?[bfr]?["']|\Z""")
_ESCAPE = re.compile(
    r"\\[abfnrtv]|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}|&(?:\w{2,6}|#\d{2,5});|\x1b\[[\d;]{0,20}m"
)
"""What is written for another character, or colours a text: a word begins after it."""
_CUT_CHARS = range(11, 4, -1)
"""Characters of a beginning that are enough where it is cut off; from 12 on the secrets' own matcher finds it."""
_WORDS = re.compile("[a-z ]+")
_LONGEST = 20_000
_FRAME = " \t\r'\"│┃|+\\>#…"
"""What stands around the pieces of a text that was wrapped: blanks, quotes, frames, marks of comments and quotations."""
_KEPT = re.compile(rf"[^\s{re.escape(_FRAME)}]+")
_PLAIN = re.compile(rf"(?:(?![{re.escape(_FRAME)}])[!-~])+")


class _Pieces:
    """Pieces of a text, put together, and where each of their characters stood."""

    def __init__(self, text: str, pieces: Sequence[tuple[int, int]]) -> None:
        self.text = "".join(text[begin:end] for begin, end in pieces)
        self._begins = [begin for begin, _ in pieces]
        self._places = [0, *accumulate(end - begin for begin, end in pieces)]
        self.begins = frozenset(self._places)

    def place(self, at: int) -> int:
        piece = bisect_right(self._places, at) - 1
        return self._begins[piece] + at - self._places[piece]


def _unwrapped(text: str) -> _Pieces:
    """Return a text without its line breaks, real or written `\\n`, and what frames them."""
    lines: list[tuple[int, int]] = []
    done = 0
    for found in _BREAK.finditer(text):
        line = text[done : found.start()]
        begin = found.start() - len(line.lstrip(_FRAME))
        lines.append((begin, max(begin, done + len(line.rstrip(_FRAME)))))
        if done == found.start() and done > 0:
            end = done - (text[done - 1] != "\n")  # of `\\n` its backslash
            lines.append((end - 1, end))  # nothing is wrapped over an empty line
        done = found.end()
    return _Pieces(text, lines)


def _flat(text: str) -> _Pieces:
    """Return a text without blanks, quotes and frames."""
    return _Pieces(text, [found.span() for found in _KEPT.finditer(text)])


def _spellings(value: str) -> list[str]:
    """Return how a value with blanks, frames or foreign letters stands in code, JSON and addresses, `_flat`."""
    texts = {value, quote(value), quote(value, safe=""), quote_plus(value), html.escape(value), repr(value)}
    texts |= {json.dumps(value, ensure_ascii=False), as_json := json.dumps(value), json.dumps(as_json)}
    flat = {_flat(_unwrapped(text).text).text.lower() for text in texts}
    return sorted((text for text in flat if len(text) >= LEAST), key=len, reverse=True)


def _lower(text: str) -> str:
    """Return the text in lower case, each character in its place: of all letters, this one alone becomes two."""
    return text.replace("\u0130", "i").lower()


class _Format(NamedTuple):
    """What keys of one kind look like: one of `words`, in lower case, stands `before` characters from their beginning."""

    name: str
    words: tuple[str, ...]
    pattern: str  # compiled where one of the words stands: all of them would slow the first question
    before: int

    def places(self, text: str, lower: str, begins: Collection[int]) -> Iterator[tuple[int, int]]:
        for word in self.words:
            at = lower.find(word)
            while at >= 0:
                begin = at - self.before
                done = at + len(word)
                # What stands before the beginning of a line is no part of its word.
                cut = begin if begin in begins else 0
                part = text[cut : cut + _LONGEST] if cut else text
                if begin >= 0 and (match := re.compile(self.pattern).match(part, begin - cut)):
                    yield cut + match.start(match.lastindex or 0), cut + match.end(match.lastindex or 0)
                    done = cut + match.end()
                at = lower.find(word, done)


def _format(name: str, words: str, pattern: str, *, before: int = 0) -> _Format:
    return _Format(name, tuple(words.split()), pattern, before)


_ASSIGNED = r"""[\\"'\]]{0,5}\s{0,3}[=:]\s{0,3}[\\"']{0,4}"""
_BODY = r"""(?:(?:\\[nrt]|[\s"'+,\\│┃|>#]){0,60}[A-Za-z0-9+/=]{16,})"""

_IN_STRING = r"(?:\{(?=[^}\s.()]{0,200}\d))?([^;\s'\"{}&]{4,200})"
"""A value of a connection string; in braces a template's, unless it looks like none."""

_SECRET_NAME = (
    r"(?i:(?:passw(?:or)?d|pwd|passphrase|secret(?:[_-]?key)?|(?:api|access|private|account|secret|license|auth|subscription)"
    r"[_-]?key|token|credential|signature)(?:_?\d{1,2})?)"
)
_BARE = (
    r"[bfru]{0,2}[\\\"']{0,5}(?!(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:_[A-Za-z0-9]+)+(?![\w+/=-]))"
    r"(?=[^\s&;,\"'\\]{0,400}\d)(?=[^\s&;,\"'\\]{0,400}[A-Za-z])"
    r"([A-Za-z0-9_+/=~!@$%^*-]{16,400})(?=[\s&;,\"'<>)}\]#\\|`]|$)"
)
"""A value without blanks that looks like a key: long, with letters and digits, and no identifier."""

# One group at most: the part that is secret.
_FORMATS = [
    _format(
        "an AWS access key ID", "akia asia abia acca", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Z0-9])"
    ),
    _format(
        "an AWS secret key",
        "aws secretaccesskey secret_access_key",
        r"(?i:aws.{0,20}(?:secret|access).{0,20}|secret_?access_?key)[\"'=:\s\\]{1,8}([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    _format(
        "an AWS session token",
        "session_token sessiontoken",
        rf"(?i:session_?token){_ASSIGNED}([A-Za-z0-9/+=]{{100,}})",
    ),
    _format("a Google API key", "aiza", r"\bAIza[0-9A-Za-z_-]{35}"),
    _format("a Google token", "ya29. 1//0", r"\bya29\.[0-9A-Za-z_-]{20,}|\b1//0[0-9A-Za-z_-]{40,}"),
    _format("a Google client secret", "gocspx-", r"\bGOCSPX-[0-9A-Za-z_-]{28}"),
    _format(
        "an Azure storage key",
        "accountkey account_key credential",
        rf"(?i:account_?key|credential){_ASSIGNED}([A-Za-z0-9+/]{{86}}==)",
    ),
    _format("an Azure access key", "sharedaccesskey=", r"SharedAccessKey=([A-Za-z0-9+/]{43}=)"),
    _format("an Azure signature", "sig=", r"\bsig=([A-Za-z0-9%+/]{43,}(?:=|%3[Dd])?)"),
    _format(
        "an Azure client secret", "q~", r"(?<![\w~.-])[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}", before=4
    ),
    _format("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"\bgh[pousr]_[A-Za-z0-9]{36,255}"),
    _format("a GitHub token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{50,}"),
    _format(
        "a GitLab token",
        "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glimt- glagent- gloas-",
        r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|imt|agent|oas)-[A-Za-z0-9_.-]{20,}",
    ),
    _format("an Anthropic key", "sk-ant-", r"\bsk-ant-[a-z]{2,8}\d{2}-[A-Za-z0-9_-]{20,}"),
    _format("an OpenRouter key", "sk-or-", r"\bsk-or-v1-[0-9a-f]{64}"),
    _format(
        "an OpenAI key",
        "sk-",
        r"\bsk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|(?=[A-Za-z]{0,40}\d)[A-Za-z0-9]{32,})",
    ),
    _format("a Hugging Face token", "hf_ api_org_", r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    _format("a Slack token", "xox xapp-", r"\b(?:xox[abeoprs]|xapp)-(?=[A-Za-z-]{0,20}\d)[A-Za-z0-9-]{10,}"),
    _format(
        "a Slack webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/+_-]{20,})",
    ),
    _format(
        "a Discord webhook",
        "discord.com/api/ discordapp.com/api/",
        r"discord(?:app)?\.com/api/webhooks/\d{5,25}/([\w-]{60,})",
    ),
    _format(
        "a Stripe key",
        "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_",
        r"\b[rs]k_(?:live|test|prod)_[A-Za-z0-9]{16,}",
    ),
    _format("a webhook secret", "whsec_", r"\bwhsec_[A-Za-z0-9+/=]{24,}"),
    _format("a Twilio key", "sk", r"\bSK[0-9a-f]{32}(?![0-9a-f])"),
    _format("a SendGrid key", "sg.", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{30,}"),
    _format("a Mailgun key", "key-", r"\bkey-[0-9a-f]{32}(?![0-9a-f])"),
    _format("a Mailchimp key", "-us", r"\b[0-9a-f]{32}-us\d{1,2}\b", before=32),
    _format("a Telegram token", ":aa", r"(?<=\d{8}):(AA[A-Za-z0-9_-]{33})"),
    _format("an npm token", "npm_", r"\bnpm_[A-Za-z0-9]{36}"),
    _format("an npm token", "_authtoken", r"_authToken\s?=\s?[\"']?([A-Za-z0-9_+/=-]{16,})"),
    _format("a PyPI token", "pypi-", r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    _format("a RubyGems key", "rubygems_", r"\brubygems_[0-9a-f]{48}"),
    _format("a Docker token", "dckr_", r"\bdckr_(?:pat|oat)_[\w-]{20,}"),
    _format("a DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}"),
    _format("a Databricks token", "dapi", r"\bdapi[a-f0-9]{32}(?:-\d)?\b"),
    _format("a Shopify token", "shpat_ shpca_ shppa_ shpss_", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _format("a Square token", "sq0 eaaa", r"\bsq0[a-z]{3}-[\w-]{22,}|\bEAAA[\w-]{60}"),
    _format("an Airtable token", "pat", r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    _format("an Atlassian token", "atatt3", r"\bATATT3[\w=-]{100,}"),
    _format("a Notion token", "secret_ ntn_", r"\b(?:secret_[A-Za-z0-9]{43}|ntn_[A-Za-z0-9]{40,})"),
    _format("a Linear key", "lin_api_", r"\blin_api_[A-Za-z0-9]{40}"),
    _format("a Figma token", "figd_", r"\bfigd_[A-Za-z0-9_-]{40,}"),
    _format("a Grafana token", "glc_ glsa_", r"\bgl(?:c|sa)_[A-Za-z0-9+/=_]{32,}"),
    _format("a Vault token", "hvs. hvb.", r"\bhv[sb]\.[A-Za-z0-9_-]{24,}"),
    _format("a Terraform token", ".atlasv1.", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}", before=14),
    _format("a New Relic key", "nrak-", r"\bNRAK-[A-Z0-9]{27}"),
    _format("a Groq key", "gsk_", r"\bgsk_[A-Za-z0-9]{50,}"),
    _format("a Perplexity key", "pplx-", r"\bpplx-[A-Za-z0-9]{40,}"),
    _format("an xAI key", "xai-", r"\bxai-[A-Za-z0-9]{60,}"),
    _format("a Replicate token", "r8_", r"\br8_[A-Za-z0-9]{37}"),
    _format("a Pinecone key", "pcsk_", r"\bpcsk_[A-Za-z0-9_]{50,}"),
    _format("a LangSmith key", "lsv2_", r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    _format("a Supabase token", "sbp_", r"\bsbp_[0-9a-f]{40}"),
    _format("a PlanetScale key", "pscale_", r"\bpscale_(?:tkn|pw|oauth)_[\w.=-]{32,}"),
    _format("a Postman key", "pmak-", r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    _format("an age key", "age-secret-key-", r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _format(
        "a Kaggle key",
        "username",
        r'username\\{0,3}"\s?:\s?\\{0,3}"[^"\n]{1,60}",\s?\\{0,3}"key\\{0,3}"\s?:\s?\\{0,3}"([0-9a-f]{32})\b',
    ),
    _format(
        "a JSON web token",
        "eyj",
        r"(?<![\w-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]{10,})?",
    ),
    _format(
        "a private key",
        "-----begin",
        r"-----BEGIN ?(?:[A-Z0-9]{1,20} ?){0,3}PRIVATE ?KEY(?: ?BLOCK)?-----"
        r"(?:(?:\\[nr]|\s){1,4}[A-Z][A-Za-z-]{1,20}: [^\n\\]{1,80}){0,4}"
        rf"{_BODY}{{1,400}}(?:[\s\S]{{0,100}}?-----END ?(?:[A-Z0-9]{{1,20}} ?){{0,3}}PRIVATE ?KEY(?: ?BLOCK)?-----)?",
    ),
    _format(
        "a password in an address",
        "://",
        r"://[^\s:@/'\"<>`]{0,100}:([^\s/'\"<>`]{3,200}(?=@[\w\[])"
        r"|(?!\d{1,5}/)[^\s/@'\"<>`]{1,100}(?:/[^\s/@'\"<>`]{0,100}){1,3})@(?=[\w\[])",
    ),
    _format(
        "a token in an address",
        "://",
        r"://(?=[^\s:@/]{0,200}\d)(?=[^\s:@/]{0,200}[A-Za-z])([A-Za-z0-9_-]{20,200})(?::[^\s@/'\"<>`]{0,100})?@(?=[\w\[])",
    ),
    _format("a password in an address", "jdbc:oracle:", r"jdbc:oracle:\w{3,4}:\w{1,60}/([^\s@/'\"]{3,200})@"),
    _format(
        "a password in a .netrc",
        "machine default",
        r"\b(?:machine\s{1,20}\S{1,200}|default)\s{1,20}login\s{1,20}\S{1,200}\s{1,20}password\s{1,20}(\S{4,200})",
    ),
    _format(
        "a password in a connection string",
        "server data host uid user dbname",
        r"(?i:\b(?:server|data source|host|hostaddr|uid|user|user id|dbname)\s?=[^;\n=]{1,100}[; ]"
        rf"(?:[\w ]{{1,40}}=[^;\n=]{{1,100}}[; ]){{0,8}}\s?(?:password|pwd)\s?=\s?){_IN_STRING}",
    ),
    _format(
        "a password in a connection string",
        "password pwd",
        rf"(?i:(?:password|pwd)\s?=\s?){_IN_STRING}}}?"
        r"(?=[; ]\s?(?i:server|data source|host|hostaddr|port|uid|user|user id|dbname|database|encrypt)\s?=)",
    ),
    _format(
        "an authorization header",
        "authorization bearer",
        r"(?i:authorization[\"']?\s{0,3}[:=,]\s{0,3}[\"']?(?:bearer|basic|token)|\bbearer)\s{1,3}"
        r"(?=[A-Za-z._~+/-]{0,200}\d)([A-Za-z0-9._~+/-]{20,}={0,2})",
    ),
    _format(
        "a password in code",
        "passw secret api_key apikey access_key auth_token access_token private_key",
        r"(?i:(?:passw(?:or)?d|passphrase|secret(?:_?key)?|(?:api|access|private)_?key|(?:auth|access)_?token))"
        r"[\"']?\]?\s{0,3}[=:]\s{0,3}[rb]?(\\{0,3}[\"'])(?=[^\"'\n]{0,100}\d)(?=[^\"'\n]{0,100}[A-Za-z])([^\s\"'\\]{8,200})\1",
    ),
    _format(
        "a password in code",
        "passw pwd secret token credential signature api_key api-key apikey access_key access-key accesskey private_key "
        "account_key accountkey license_key auth_key subscription-key subscription_key",
        rf"{_SECRET_NAME}(?:: ?str)?{_ASSIGNED}{_BARE}",
    ),
    _format(
        "a password of a command",
        "--",
        r"--(?:[a-z]{1,20}-)?(?:password|passwd|token|secret|api-?key|access-key)(?:=|\s{1,3})[\"']?"
        r"(?=[^\s\"']{0,200}\d)(?=[^\s\"']{0,200}[A-Za-z])([^\s\"'$<{(\[\\]{8,200})",
    ),
    _format(
        "a password of a command",
        "curl",
        r"curl\b[^\n]{0,200}?\s(?:-u|--user)\s{0,3}[\"']?[^\s:\"'$<{]{1,100}:([^\s\"'$<{]{4,200})",
    ),
    _format(
        "a password of a command",
        "mysql",
        r"mysql(?:dump|admin|sh)?\b[^\n]{0,200}?\s-p(?=[^\s\"']{0,200}\d)([^\s\"'$<{-][^\s\"'$<{]{5,200})",
    ),
    _format(
        "a password in a request",
        "auth",
        r"(?i:auth\s?=\s?|basicauth)\(\s?[\"'][^\"'\n]{1,100}[\"'],\s?[\"']([^\s\"']{4,200})[\"']",
    ),
    _format(
        "a Docker password",
        "auth",
        r'auth\\{0,3}"\s?:\s?\\{0,3}"(?=[A-Za-z+/]{0,200}\d)([A-Za-z0-9+/]{12,400}={0,2})\\{0,3}"',
    ),
    _format(
        "a password in XML",
        "<pass <secret <token",
        r"<(?:password|passwd|secret|token)>([^\s<>{}$]{6,200})</",
    ),
    _format(
        "a Weights & Biases key",
        "wandb",
        r"(?i:wandb[\w.( ]{0,20}key)[\"'\]]{0,2}\s?[=:]\s?[\"']?([0-9a-f]{40})\b",
    ),
    _format("a Fernet key", "fernet(", r"Fernet\(\s?b?[\"']([A-Za-z0-9_-]{43}=)"),
    _format(
        "an API key in a header",
        "x-api x-auth x-access",
        rf"(?i:x-(?:api|auth|access)-(?:key|token)){_ASSIGNED}(?=[A-Za-z._~+/-]{{0,200}}\d)([A-Za-z0-9._~+/=-]{{16,}})",
    ),
]

_DUMMIES = frozenset(
    """password passwd passwort pass pwd pw secret user username name test testing example changeme token key mypassword
    your_password your-password yourpassword my_password tiger guest postgres root admin foo bar baz dummy none null port
    userpass x-oauth-basic""".split()
)
_TEMPLATE = re.compile(
    r"(?i:(?:my)?(?:password|secret|passwort|key|token)[_-]?\d{0,4})|[\[<{(*%$].*|(.)\1*|.*(?:\{\w*\}|\$\w).*|(?i:.*example.*|x+|.*\.{3}|your.*|.*x{6,}.*)",
    re.DOTALL,
)


def _is_dummy(value: str) -> bool:
    """Whether documentation writes this in place of a secret."""
    return value.lower() in _DUMMIES or (len(value) < 200 and bool(_TEMPLATE.fullmatch(value)))


_PATH_NAME = re.compile(r"_(?:PATH|FILE|DIR|FOLDER|HOME|NAME|TYPE|CREDENTIALS)$")
_PATH = re.compile(r"(?:~|[A-Za-z]:)?[/\\][\w./\\ -]+")


def environment_secrets(environment: Mapping[str, str]) -> list[NamedSecret]:
    """Return the secrets of variables whose names say so."""
    return [
        secret
        for name, value in environment.items()
        if names_secret(name) and not (_PATH_NAME.search(name.upper()) and _PATH.fullmatch(value))
        for secret in _parts(name, value, f"os.environ[{json.dumps(name)}]")
    ]


def file_secrets(text: str, path: str) -> list[NamedSecret]:
    """Return the secrets of a `.env` file: what its name says is one, and what looks like a key whatever its name."""
    return [
        secret
        for name, value in _read_variables(text)
        if names_secret(name) or _may_be_key(value)
        for lookup in [f"dotenv_values({json.dumps(path)})[{json.dumps(name)}]"]
        for secret in _parts(f"{name} in {path}", value, lookup)
    ]


def object_secrets(namespace: Mapping[str, Any]) -> list[NamedSecret]:
    """Return what SecretStr-like objects hold, those of variables and of their fields."""
    found: list[NamedSecret] = []
    known: dict[int, bool] = {}  # by a type's id: a metaclass may run code of its own to hash it

    def take(value: Any, place: str, *names: Any) -> None:
        kind = id(type(value))
        if kind not in known:
            known[kind] = static(value, "get_secret_value") is not None
        if known[kind] and (text := _held_secret(value)) is not None:
            place = place.format(*names)
            found.append(NamedSecret(place, text, f"{place}.get_secret_value()"))

    for name, value in islice(list(namespace.items()), _MOST_VARIABLES):
        kind = type(value)  # compared by `is`: a metaclass may run code of its own
        if name.startswith("_") or issubclass(kind, str | int | float | type):
            continue
        take(value, "{}", name)
        is_object = kind is not dict and kind is not list and kind is not tuple
        fields = attributes(value) if is_object else value.items() if kind is dict else enumerate(value)
        rest: Iterator[tuple[Any, Any]] = iter(fields)
        before, most = -1, _MOST_FIELDS
        with suppress(RuntimeError):  # another thread changes it
            while len(found) > before:  # of many, the first tell what the others are
                before, some = len(found), [*islice(rest, most)]
                most = _MOST_VARIABLES
                for key, each in some:
                    take(each, "{}.{}" if is_object else "{}[{!r}]", name, key)
    return found


def variable_secrets(namespace: Mapping[str, Any], names: Iterable[str]) -> list[NamedSecret]:
    """Return the texts that the user calls secret, by the names of variables or what they hold: `config["key"]`."""
    from .mentions import value_at  # few users name any

    found: list[NamedSecret] = []
    for name in names:
        with suppress(Exception):  # there is none yet, or it raises something of its own
            value = value_at(namespace, name)
            found += [NamedSecret(name, value, name)] if type(value) is str else []
    return found


_MOST_VARIABLES = 5_000
_MOST_FIELDS = 200


def _held_secret(value: Any) -> str | None:
    """Return the text of a pydantic SecretStr or SecretBytes, or of what behaves like one."""
    try:
        text = value.get_secret_value()
    except Exception:  # noqa: BLE001  # a class of the user's may raise anything
        return None
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    return text if isinstance(text, str) else None


def _parts(name: str, value: str, lookup: str) -> Iterator[NamedSecret]:
    """Yield a value, or what of it is secret: the password of an address, the secret fields of JSON."""
    value = value.strip()
    if value.startswith("{"):
        try:
            fields = json.loads(value)
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            for key, each in fields.items():
                if isinstance(each, str) and (names_secret(key) or _may_be_key(each)):
                    yield NamedSecret(f"{name}: {key}", each)
            return
    if "://" not in value:
        yield NamedSecret(name, value, lookup)
        return
    try:
        password = urlsplit(value).password or ""
    except ValueError:
        password = ""
    has_key = any(_may_be_key(part) for part in re.split(r"[/?&=]", value.partition("://")[2]))
    if password or has_key or "WEBHOOK" in name.upper():
        yield NamedSecret(name, value, lookup)
        for each in dict.fromkeys((password, unquote(password))):
            if not _is_dummy(each):
                yield NamedSecret(f"the password in {name}", each)


def _may_be_key(value: str) -> bool:
    """Whether a value looks like a key and not like words, numbers, a path, an address or a version."""
    return bool(_KEY.fullmatch(value))


_KEY = re.compile(r"(?=[^a-zA-Z]*[a-zA-Z])(?=[^0-9]*[0-9])(?!v?\d+(?:\.\d+)+)[A-Za-z0-9_+=~!@#$%^&*-]{16,}")

_VARIABLE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*=[ \t]*"""
    r"""(?:"((?:\\.|[^"\\])*)"|'([^']*)'|([^\n]*?))(?:[ \t]+\#[^\n]*)?[ \t\r]*$""",
    re.MULTILINE | re.DOTALL,
)


def _read_variables(text: str) -> Iterator[tuple[str, str]]:
    for found in _VARIABLE.finditer(text):
        name, double, single, bare = found.groups()
        value = re.sub(r"\\(.)", lambda each: {"n": "\n", "t": "\t"}.get(each[1], each[1]), double or "")
        yield name, value or single or bare or ""
