"""The secrets that this process uses, and how they are taken out of texts.

Whoever holds a key or token makes it a `Secret`, or registers it with `hide`; every text that comes from
elsewhere passes `masked` before it is shown, logged or stored. So a secret is known by its value, whatever
it looks like, and a new kind of secret needs nothing but its registration.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from .plain import DEEPEST

HIDDEN = "<hidden>"

LEAST = 8
"""Characters of the shortest value that is taken for a secret: dummy keys are shorter (`EMPTY`, `ollama`)."""

_LONG_WORD = 16
"""Characters from which on a value without digits and capitals counts as well; `lm-studio` is a placeholder."""

_PREFIX = 12
"""Characters of a secret's beginning that are masked without the rest."""

_PIECE = 20
"""The same of its middle: a key cut by line breaks, the part of a JWT behind a dot."""

_GRAM = 4
"""Characters that are looked up at once. A piece of seven holds one at a multiple of four, wherever it stands."""

_MOST = 48
"""Secrets that are remembered: tokens are replaced every few days, and a process may live for months."""

_GRAMS = re.compile("." * _GRAM)
_RUN = re.compile(rf"[!-~]{{{LEAST},}}")
_GAP = re.compile(r"(?:\\[nrt]|%20|%0[aAdD]|[\s'\"\\]){1,100}")
_ESCAPE = re.compile(
    r"%([0-9a-fA-F]{2})|\\u00([0-9a-fA-F]{2})|\\([\"'/\\])|&#x([0-9a-fA-F]{2});|&#(\d{2,3});"
)
_OPEN_ESCAPE = re.compile(r"(?:%[0-9a-fA-F]?|\\(?:u[0-9a-fA-F]{0,3})?|&(?:#x?[0-9a-fA-F]{0,3})?)\Z")

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
    return words not in _NO_SECRET_NAMES and bool(
        _SECRET_NAME.search(words) or _SECRET_NAME.search(name.upper())
    )


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


# Finding -----------------------------------------------------------------------------------------


class _Match(NamedTuple):
    begin: int
    end: int
    """In the text."""
    rest: str
    """What of the secret is still to come."""


class _Known:
    """Some secrets, in each form they may be spelled in. Forms and texts are compared without regard to case."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = tuple(secrets)
        self.forms = tuple(dict.fromkeys(form.lower() for secret in self.secrets for form in _forms(secret)))
        self.grams = frozenset(
            form[at : at + _GRAM] for form in self.forms for at in range(len(form) - _GRAM + 1)
        )
        self.begins = frozenset(form[:size] for form in self.forms for size in range(1, _GRAM))
        self.initials = frozenset(secret[0].lower() for secret in self.secrets)
        self.longest = max(map(len, self.forms), default=0)

    def matches(self, run: str) -> Iterator[_Match]:
        """What of a run in lower case is (a telling piece of) a secret, from left to right."""
        done = 0
        for index, gram in enumerate(_GRAMS.findall(run)):
            if gram in self.grams and index * _GRAM >= done:
                found = self._match(run, index * _GRAM)
                if found is not None and _tells(*found):
                    yield found[0]
                    done = found[0].end

    def held(self, run: str) -> int:
        """How many characters at the end of a run may be the beginning of what has to be masked."""
        if (last := run[-_GRAM:]) in self.grams:
            found = self._match(run, len(run) - _GRAM)
            if found is not None and found[0].rest:
                return len(run) - found[0].begin
            if found is not None and _tells(*found):
                return 0
        for size in range(min(_GRAM - 1, len(last)), 1, -1):
            if run[-size:] in self.begins:
                return size
        # A letter inside a word begins a key as it stands, not what it is encoded to.
        is_first = not run[-2:-1].isalnum()
        return int(run[-1:] in (self.begins if is_first else self.initials))

    def _match(self, run: str, at: int) -> tuple[_Match, int, int] | None:
        """The longest match around the gram at `at`, where it begins in its form, and the form's length."""
        gram = run[at : at + _GRAM]
        longest: tuple[_Match, int, int] | None = None
        for form in self.forms:
            inside = form.find(gram)
            while inside >= 0:
                before = _same_before(run, at, form, inside)
                after = _same_after(run, at + _GRAM, form, inside + _GRAM)
                if longest is None or before + _GRAM + after > longest[0].end - longest[0].begin:
                    rest = form[inside + _GRAM + after :]
                    match = _Match(at - before, at + _GRAM + after, rest)
                    longest = match, inside - before, len(form)
                inside = form.find(gram, inside + 1)
        return longest


def _tells(match: _Match, begin: int, size: int) -> bool:
    length = match.end - match.begin
    return length == size or length >= _PIECE or (begin < _GRAM and length >= _PREFIX)


def _same_before(run: str, at: int, form: str, inside: int) -> int:
    size = 0
    while size < min(at, inside) and run[at - size - 1] == form[inside - size - 1]:
        size += 1
    return size


def _same_after(run: str, at: int, form: str, inside: int) -> int:
    size = 0
    while size < min(len(run) - at, len(form) - inside) and run[at + size] == form[inside + size]:
        size += 1
    return size


def _is_secret(text: str) -> bool:
    """Whether a value is one, and no placeholder that may stand in any text."""
    is_word = text.replace("-", "").replace("_", "").isalpha() and text.islower()
    return len(text) >= (_LONG_WORD if is_word else LEAST)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    for part in re.split(r"[.:]", secret):
        if len(part) < _PIECE and part != secret and _is_secret(part):
            yield part
    for skipped in range(3):  # wherever it stands in what was encoded
        data = bytes(skipped) + secret.encode()
        whole = len(data) // 3 * 4
        for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
            yield encoded[(0, 2, 3)[skipped] : whole].decode()


def _decoded(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[4]
        if code:
            return chr(int(code, 16))
        return match[3] or chr(int(match[5]))

    return _ESCAPE.sub(character, text)


# The process's own -------------------------------------------------------------------------------

_known = _Known(())
_adding = threading.Lock()


def hide(*secrets: str | None) -> None:
    """From now on these are masked in every text."""
    global _known  # what is secret is so for the whole process, as its loggers are
    if all(not secret or secret in _known.secrets for secret in secrets):
        return
    with _adding:
        new = [secret for secret in secrets if secret and _is_secret(secret) and secret not in _known.secrets]
        if new:
            _known = _Known([*_known.secrets, *new][-_MOST:])


def mask(text: str) -> str:
    """The text without the secrets in use; linear in its length."""
    known = _known
    if not known.forms or len(text) < LEAST:
        return text
    pieces: list[str] = []
    done = 0
    for begin, end, instead in _replacements(text, known):
        pieces += text[done:begin], instead
        done = end
    return text if not done else "".join((*pieces, text[done:]))


def _replacements(text: str, known: _Known) -> Iterator[tuple[int, int, str]]:
    done = 0
    for run in _RUN.finditer(text):
        word = run[0]
        matched = False
        for match in known.matches(word.lower()):
            matched = True
            begin, end = run.start() + match.begin, run.start() + match.end
            if begin >= done:
                done = _end_of_wrapped(text, end, match.rest)
                yield begin, done, HIDDEN
        if not matched and run.start() >= done and _ESCAPE.search(word):
            plain = _decoded(word)
            if any(known.matches(plain.lower())):
                done = run.end()
                yield run.start(), done, mask(plain)


def _end_of_wrapped(text: str, at: int, rest: str) -> int:
    """Where a secret ends that goes on after a line break or a blank."""
    while rest and (gap := _GAP.match(text, at)):
        common = _same_after(text[gap.end() : gap.end() + len(rest)].lower(), 0, rest, 0)
        if common < min(_GRAM, len(rest)):
            break
        at, rest = gap.end() + common, rest[common:]
    return at


T = TypeVar("T")


def masked(value: T) -> T:
    """The same value with every text in it masked, dicts' keys too; the value itself where there is nothing to mask."""
    return _masked(value) if _known.forms else value


def _masked(value: Any, levels: int = DEEPEST) -> Any:
    """What is nested deeper than `levels` is left empty, as in what is kept."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        inside = value.items() if levels else ()
        pairs = {
            mask(name) if isinstance(name, str) else name: _masked(each, levels - 1) for name, each in inside
        }
        same = all(a is b and value[a] is pairs[b] for a, b in zip(value, pairs, strict=False))
        return value if same and len(pairs) == len(value) else pairs
    if isinstance(value, list | tuple):
        each = [_masked(one, levels - 1) for one in value] if levels else []
        if len(each) == len(value) and all(a is b for a, b in zip(value, each, strict=True)):
            return value
        return each if isinstance(value, list) else tuple(each)
    if isinstance(value, msgspec.Struct):
        changed = {
            name: new
            for name in value.__struct_fields__
            if (new := _masked(old := getattr(value, name), levels - 1)) is not old
        }
        return msgspec.structs.replace(value, **changed) if changed else value
    return value


class MaskedText:
    """One text that arrives in pieces. What may be the beginning of a secret is held until more has come."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        known = _known
        if not known.forms:
            return piece
        text = self._held + piece
        held = _held(text, known)
        if held:
            self._held = text[len(text) - held :]
            return mask(text[: len(text) - held])
        self._held = ""
        return text if len(text) < LEAST else mask(text)

    def end(self) -> str:
        """What is held still, when no more comes."""
        held, self._held = self._held, ""
        return mask(held)


def _held(text: str, known: _Known) -> int:
    begin, first = len(text), max(0, len(text) - 3 * known.longest)
    while begin > first and "!" <= text[begin - 1] <= "~":
        begin -= 1
    run = text[begin:]
    if not run:
        return 0
    if ("%" in run or "\\" in run or "&" in run) and (_ESCAPE.search(run) or _OPEN_ESCAPE.search(run)):
        plain = _decoded(_OPEN_ESCAPE.sub("", run)).lower()
        return len(run) if plain != run.lower() and known.held(plain) else 0
    return known.held(run.lower())


D = TypeVar("D", bound=msgspec.Struct)


class MaskedDeltas(Generic[D]):
    """Texts that arrive as structs with a `delta`, several at a time; each is a `MaskedText` of its own."""

    def __init__(self) -> None:
        self._texts: dict[Hashable, _Delivery[D]] = {}

    def feed(self, which: Hashable, told: D) -> D | None:
        """What may be told of it now. `which` names the text: what else the struct holds is the same each time."""
        text = self._texts.get(which)
        if text is None:
            if not _known.forms:
                return told
            text = self._texts[which] = _Delivery(told)
        delta: str = told.delta  # type: ignore[attr-defined]  # it has one
        ready = text.feed(delta)
        if text.is_clean:
            text.frame = told
            if ready == delta:
                return told
        return msgspec.structs.replace(text.frame, delta=ready) if ready else None

    def end(self, is_over: Callable[[D], bool] = lambda told: True) -> list[D]:
        """What is still to be told of the texts that are over, by what they belong to."""
        over = [self._texts.pop(which) for which, text in list(self._texts.items()) if is_over(text.frame)]
        rest = [(text.frame, text.end()) for text in over]
        return [msgspec.structs.replace(frame, delta=delta) for frame, delta in rest if delta]


class _Delivery(MaskedText, Generic[D]):
    """A text, and the struct that its pieces come in."""

    def __init__(self, told: D) -> None:
        super().__init__()
        frame = msgspec.structs.replace(told, delta="")
        self.frame = masked(frame)
        self.is_clean = self.frame is frame
