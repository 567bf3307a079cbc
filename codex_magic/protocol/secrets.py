"""The secrets that this process uses, and how they are taken out of texts.

Whoever holds a key or token makes it a `Secret`, or registers it with `hide`; every text that comes from
elsewhere passes `masked` before it is shown, logged or stored. So a secret is known by its value, whatever
it looks like, and a new kind of secret needs nothing but its registration.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from .plain import common_beginning, map_leaves

HIDDEN = "<hidden>"

LEAST = 8
"""Characters of the shortest value that is taken for a secret: dummy keys are shorter (`EMPTY`, `ollama`)."""

# Characters from which on a value without digits and capitals counts as well; `lm-studio` is a placeholder.
_LONG_WORD = 16
# Characters of a secret's beginning that are masked without the rest.
_PREFIX = 12
# The same of its middle: a key cut by line breaks, the part of a JWT behind a dot.
_PIECE = 20
# Characters that are looked up at once. A piece of seven holds one at a multiple of four, wherever it stands.
_GRAM = 4
# Secrets that are remembered: tokens are replaced every few days, and a process may live for months.
_MOST = 48

_GRAMS = re.compile("." * _GRAM, re.DOTALL)
_RUN = re.compile(rf"[!-~]{{{LEAST},}}")
_GAP = re.compile(r"(?:\\[nrt]|%20|%0[aAdD]|[\s'\"\\]){1,100}")
_ESCAPE = re.compile(
    r"(?:%|\\u00|\\x)([0-9a-fA-F]{2})|\\([\"'/\\])|&#x([0-9a-fA-F]{2});|&#(\d{2,3});|&(amp|lt|gt|quot|apos);"
)
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_OPEN_ESCAPE = re.compile(
    r"(?:%[0-9a-fA-F]?|\\(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|&(?:#x?[0-9a-fA-F]{0,3}|[a-z]{0,4})?)\Z"
)

_SECRET_NAME = re.compile(
    r"""TOKEN(?!IZ) | SECRET | PASSW | PASSPHRASE | PASSCODE | KEY(?!BOARD|MAP|TIMEOUT|RING) | CREDENTIAL | PRIVATE
      | COOKIE | AUTHORI[ZS]ATION | CONN(?:ECTION)?_?STR
      | (?:^|_)(?:PASS|PWD|PAT|AUTH|JWT|BEARER|DSN|SAS|CREDS?|WEBHOOK(?:_UR[IL])?|OTP|SALT)$
      | (?:^|_)(?:DATABASE|DB|MONGO|MONGODB|REDIS|POSTGRES|POSTGRESQL|PG|MYSQL|AMQP|RABBITMQ|BROKER|SQLALCHEMY)
        (?:_\w+)?_UR[IL]$""",
    re.VERBOSE,
)
_NO_SECRET_NAMES = frozenset({"PWD", "OLDPWD"})
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def names_secret(name: str) -> bool:
    """Whether a variable, header or parameter of this name holds a secret: `GH_TOKEN`, `x-api-key`, `dbPass`."""
    words = _CAMEL.sub("_", name).replace("-", "_").replace(".", "_").upper()
    spellings = (words, name.upper())
    return words not in _NO_SECRET_NAMES and any(map(_SECRET_NAME.search, spellings))


class Secret:
    """A key or token that shows itself to whoever asks for it by `reveal()` alone."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text
        hide(text)

    @classmethod
    def of(cls, value: Secret | str) -> Secret:
        return value if isinstance(value, Secret) else cls(value)

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> str:
        raise TypeError("A key can't be pickled: read it again where it is needed (Settings.from_env()).")


def revealed(values: Mapping[str, Secret | str]) -> dict[str, str]:
    """Headers or parameters as they are sent."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}


def concealed(values: Mapping[str, Secret | str]) -> dict[str, Secret | str]:
    """The same as they are kept: those whose name says so are secrets."""
    return {name: Secret.of(value) if names_secret(name) else value for name, value in values.items()}


class Span(NamedTuple):
    """Where a text holds a secret, or a piece of it that gives it away: from `begin` to `end`."""

    begin: int
    end: int
    secret: str
    is_whole: bool


class _Match(NamedTuple):
    """Where a run of characters holds a form of a secret, or a piece of it."""

    begin: int
    end: int
    form: str
    rest: str
    """The part of the form that would come next."""
    gives_away: bool
    """Whether it is enough of the secret to be masked."""


class Known:
    """Some secrets, in each form they may be spelled in. Forms and texts are compared without regard to case."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = tuple(secrets)
        pairs = ((form, secret) for secret in reversed(self.secrets) for form in _forms(secret))
        self._secret_of = {form.lower(): secret for form, secret in pairs}
        self.forms = tuple(self._secret_of)
        self._forms_with: dict[str, list[str]] = {}
        self.grams = frozenset(
            form[at : at + _GRAM] for form in self.forms for at in range(len(form) - _GRAM + 1)
        )
        self.begins = frozenset(form[:size] for form in self.forms for size in range(1, _GRAM))
        self.initials = frozenset(secret[0].lower() for secret in self.secrets)
        self.longest = max(map(len, self.forms), default=0)
        self.clean: set[str] = set()
        """Short texts that hold none of them: names and words that stand in each event are looked at once."""

    def spans(self, text: str) -> Iterator[Span]:
        """Find what has to be masked in a text, from left to right; takes time linear in its length."""
        if not self.forms or len(text) < LEAST:
            return
        done = 0
        for run in _RUN.finditer(text):
            word = run[0]
            places: Sequence[int] = range(len(word) + 1)
            matches = [(match, places) for match in self.matches(word.lower())]
            if _ESCAPE.search(word):
                # What looks like `%fe` may be the secret's own, where only its quotes or `&` are escaped.
                for each in (word, *((word.replace("%", "\0"),) if "%" in word else ())):
                    plain, places = _decoded(each)
                    plain = plain.replace("\0", "%").lower()
                    matches += [(match, places) for match in self.matches(plain)]
                matches.sort(key=lambda pair: (pair[1][pair[0].begin], -pair[1][pair[0].end]))
            for match, places in matches:
                begin, end = run.start() + places[match.begin], run.start() + places[match.end]
                if end > done:
                    begin, (done, rest) = max(begin, done), _end_of_wrapped(text, end, match.rest)
                    is_whole = not rest and match.end - match.begin + len(match.rest) >= len(match.form)
                    yield Span(begin, done, self._secret_of[match.form], is_whole)

    def matches(self, run: str) -> Iterator[_Match]:
        """Find what has to be masked in a run of lower-case characters, from left to right."""
        done = 0
        for index, gram in enumerate(_GRAMS.findall(run)):
            if gram in self.grams and index * _GRAM >= done:
                match = self._longest_match(run, index * _GRAM)
                if match.gives_away:
                    yield match
                    done = match.end

    def held(self, run: str) -> int:
        """Count the characters at the end of a run that may be the beginning of what has to be masked."""
        if (last := run[-_GRAM:]) in self.grams:
            match = self._longest_match(run, len(run) - _GRAM)
            if match.rest:
                return len(run) - match.begin
            if match.gives_away:
                return 0
        for size in range(min(_GRAM - 1, len(last)), 1, -1):
            if run[-size:] in self.begins:
                return size
        # A letter inside a word begins a key as it stands, not what it is encoded to.
        is_first = not run[-2:-1].isalnum()
        return int(run[-1:] in (self.begins if is_first else self.initials))

    def _longest_match(self, run: str, at: int) -> _Match:
        """Match the gram at `at`, which some form holds, and what stands around it."""
        matches: list[_Match] = []
        gram = run[at : at + _GRAM]
        if (forms := self._forms_with.get(gram)) is None:
            forms = self._forms_with[gram] = [form for form in self.forms if gram in form]
        for form in forms:
            inside = form.find(gram)
            while inside >= 0:
                before = common_beginning(run[max(0, at - inside) : at][::-1], form[:inside][::-1])
                rest = form[inside + _GRAM :]
                after = common_beginning(run[at + _GRAM : at + _GRAM + len(rest)], rest)
                length = before + _GRAM + after
                least = _PREFIX if inside - before < _GRAM else _PIECE
                gives_away = length >= min(least, len(form))
                matches.append(_Match(at - before, at + _GRAM + after, form, rest[after:], gives_away))
                inside = form.find(gram, inside + 1)
        return max(matches, key=lambda match: match.end - match.begin)


def is_secret(text: str) -> bool:
    """Return whether a value is a secret, and no placeholder that may stand in any text."""
    is_word = text.replace("-", "").replace("_", "").isalpha() and text.islower()
    return len(text) >= (_LONG_WORD if is_word else LEAST)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    for part in re.split(r"[.:]", secret):
        if len(part) < _PIECE and part != secret and is_secret(part):
            yield part
    for skipped in range(3):  # wherever it stands in what was encoded
        data = bytes(skipped) + secret.encode()
        whole = len(data) // 3 * 4
        for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
            yield encoded[(0, 2, 3)[skipped] : whole].decode()
    yield secret.encode().hex()


def _decoded(text: str) -> tuple[str, list[int]]:
    """Return the text without escapes, and where each of its characters stood; last, where the text ended."""
    plain: list[str] = []
    places: list[int] = []
    done = 0
    for escape in _ESCAPE.finditer(text):
        code = escape[1] or escape[3]
        character = chr(int(code, 16)) if code else escape[2] or _NAMED.get(escape[5]) or chr(int(escape[4]))
        plain += text[done : escape.start()], character
        places += *range(done, escape.start()), escape.start()
        done = escape.end()
    return "".join((*plain, text[done:])), [*places, *range(done, len(text) + 1)]


_known = Known(())
"""The secrets in use: one list for the whole process, as its loggers are."""

_adding = threading.Lock()

_SHORT = 40  # characters of a text that may come again
_MOST_CLEAN = 4096


def hide(*secrets: str | None) -> None:
    """Mask these in every text from now on."""
    global _known
    if all(not secret or secret in _known.secrets for secret in secrets):
        return
    with _adding:
        new = [secret for secret in secrets if secret and is_secret(secret) and secret not in _known.secrets]
        if new:
            _known = Known([*_known.secrets, *new][-_MOST:])


def mask(text: str) -> str:
    """Return the text without the secrets in use; takes time linear in its length."""
    known = _known
    if text in known.clean:
        return text
    pieces: list[str] = []
    done = 0
    for begin, end, *_ in known.spans(text):
        pieces += text[done:begin], HIDDEN
        done = end
    if done:
        return "".join((*pieces, text[done:]))
    if len(text) <= _SHORT and len(known.clean) < _MOST_CLEAN:
        known.clean.add(text)
    return text


def _end_of_wrapped(text: str, at: int, rest: str) -> tuple[int, str]:
    """Return where a secret ends that goes on after a line break or a blank, and what is missing of it."""
    while rest and (gap := _GAP.match(text, at)):
        common = common_beginning(text[gap.end() : gap.end() + len(rest)].lower(), rest)
        if common < min(_GRAM, len(rest)):
            break
        at, rest = gap.end() + common, rest[common:]
    return at, rest


T = TypeVar("T")


def masked(value: T) -> T:
    """Return the value with every text in it masked, dicts' keys too; the value itself if that changes nothing.

    What is nested deeper than `DEEPEST` levels is left empty.
    """
    return with_texts(value, mask) if _known.forms else value


def with_texts(value: T, change: Callable[[str], str]) -> T:
    """Return the value with every text in it changed, dicts' keys too; the value itself if that changes nothing."""

    def leaf(value: Any) -> Any:
        if isinstance(value, str):
            return change(value)
        if not isinstance(value, msgspec.Struct):
            return value
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        clean = with_texts(fields, change)
        return value if clean is fields else msgspec.structs.replace(value, **clean)

    new: T = map_leaves(value, leaf)
    return value if new == value else new


class MaskedText:
    """One text that arrives in pieces. What may be the beginning of a secret is held until more has come."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        known = _known
        if not known.forms:
            return piece
        text = self._held + piece
        shown = len(text) - _held(text, known)
        self._held = text[shown:]
        return mask(text[:shown])

    def end(self) -> str:
        """Return what is still held, when no more comes."""
        held, self._held = self._held, ""
        return mask(held)


def _held(text: str, known: Known) -> int:
    begin, first = len(text), max(0, len(text) - 3 * known.longest)
    while begin > first and "!" <= text[begin - 1] <= "~":
        begin -= 1
    run = text[begin:]
    if not run:
        return 0
    if ("%" in run or "\\" in run or "&" in run) and (_ESCAPE.search(run) or _OPEN_ESCAPE.search(run)):
        plain = _decoded(_OPEN_ESCAPE.sub("", run))[0].lower()
        return len(run) if plain != run.lower() and known.held(plain) else 0
    return known.held(run.lower())


D = TypeVar("D", bound=msgspec.Struct)


class MaskedDeltas(Generic[D]):
    """Texts that arrive as structs with a `delta`, several at a time; each is a `MaskedText` of its own."""

    def __init__(self) -> None:
        self._texts: dict[Hashable, tuple[MaskedText, D, bool]] = {}
        """With the struct that a text's pieces come in, and whether that is the server's own, without secrets."""

    def feed(self, which: Hashable, struct: D) -> D | None:
        """Return what can be passed on now. `which` names the text: its structs differ in `delta` alone."""
        if which not in self._texts:
            if not _known.forms:
                return struct
            bare = msgspec.structs.replace(struct, delta="")
            clean = masked(bare)
            self._texts[which] = MaskedText(), clean, clean is bare
        text, frame, is_clean = self._texts[which]
        delta: str = struct.delta  # type: ignore[attr-defined]  # it has one
        ready = text.feed(delta)
        if is_clean:
            frame = struct
            self._texts[which] = text, frame, True
        if is_clean and ready == delta:
            return struct
        return msgspec.structs.replace(frame, delta=ready) if ready else None

    def end(self, is_over: Callable[[D], bool] = lambda struct: True) -> list[D]:
        """Return what was held of the texts that are over, as `is_over` says of one of their structs."""
        over = [which for which, (_, frame, _) in self._texts.items() if is_over(frame)]
        rest = [(frame, text.end()) for text, frame, _ in map(self._texts.pop, over)]
        return [msgspec.structs.replace(frame, delta=delta) for frame, delta in rest if delta]
