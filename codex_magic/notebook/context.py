"""What a question brings along: gathered in the thread of its cell, masked, and told as far as the thread lacks it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..context.cells import OUTPUT_TOKENS, Cell, CellsText, cells_text, digest_of
from ..context.secrets import (
    INSTRUCTION,
    Marks,
    OutgoingMask,
    environment_secrets,
    file_secrets,
    object_secrets,
    variable_secrets,
)
from ..context.tokens import estimate
from ..protocol import types
from . import gathering
from .gathering import Around, Here, Kernel, Outputs, folder_of
from .screen import count

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..threads.options import TurnOptions
    from ..threads.store import TurnRecord
    from .mentioned import Mentioned


class Told(NamedTuple):
    """What a question is sent with; `line`: that in words for the user, empty where only the question goes."""

    inputs: list[types.InputItem]
    line: str
    cells: CellsText
    masked: list[str]


class Request(NamedTuple):
    """A question as it is sent. `earlier`: the turns that go along once more."""

    told: Told
    options: TurnOptions
    earlier: list[TurnRecord]


class Context:
    """What there is to tell of the notebook with one question. `scope`: none, above, outputs or all."""

    def __init__(
        self,
        shell: InteractiveShell,
        kernel: Kernel,
        path: str | None,
        *,
        scope: str,
        mask: OutgoingMask | None,
    ) -> None:
        self.kernel = kernel
        self.around: Around = gathering.around(kernel, path)
        self.shell, self.path, self.scope = shell, path, scope
        self.mask = mask
        """Of the thread that the question goes to, once that is known."""
        self._marks = Marks(mask) if mask is not None else None
        self.mentioned: list[Mentioned] = []
        self.rows = 5
        """Of a table, at most."""
        self.notes: list[str] = []
        """Sentences on mentions that name nothing, or not what they seem to."""
        if self._marks is not None:
            self.around = _named_without(self.around, self._marks.without)
        if scope in ("outputs", "all"):
            above, everything = map(self._with_outputs, (self.around.above, self.around.all))
            self.around = self.around._replace(above=above, all=everything)

    def _with_outputs(self, cells: list[Cell]) -> list[Cell]:
        outputs = Outputs(self.shell, self.kernel, self.path, self._marks or str)
        return [dataclasses.replace(cell, outputs=outputs.text(cell, OUTPUT_TOKENS)) for cell in cells]

    def mention(self, prompt: str, rows: int) -> str:
        """Take what the prompt mentions along. Returns the prompt, with texts in place of its expressions."""
        self.rows = rows
        if "@" not in prompt and "{{" not in prompt:
            return prompt
        from .mentioned import resolved  # most questions mention nothing

        here = Here(self.shell, self.path, self.kernel, self.around, self._marks or str)
        prompt, self.mentioned, self.notes = resolved(here, prompt, rows)
        return prompt

    def is_empty(self) -> bool:
        return not self.mentioned and (self.scope == "none" or not (self.around.all or self.around.error))

    def told(self, prompt: str, held: Mapping[str, str], mask_there: OutgoingMask | None = None) -> Told:
        """Return what a thread that holds `held` lacks, and the question. `mask_there`: with the thread's numbers."""
        mask: Callable[[str], str] = str
        if self._marks is not None and (numbers := mask_there or self.mask) is not None:
            self.mask = numbers
            mask = partial(self._marks.numbered, mask=numbers)
        around, is_all = self.around, self.scope == "all"
        cells = CellsText("", {}, 0, 0)
        if self.scope != "none":
            cells = cells_text(
                around.all if is_all else around.above,
                held,
                error=around.error,
                existing={cell.id for cell in around.all} if around.is_whole else None,
                place="of the notebook" if is_all else "above the question",
                mask=mask,
            )
        mentioned = mask("\n\n".join(f"# %% {each.title}\n{each.text}" for each in self.mentioned))
        prompt = mask(prompt)
        masked = self.mask.names_in(cells.text, mentioned, prompt) if self.mask is not None else []
        contexts = [("notebook", cells.text, cells.held), ("mentions", mentioned, {})]
        if masked and self.mask is not None:
            last = 1 if mentioned or not cells.text else 0
            name, text, now = contexts[last]
            now = {**now, **{key: each for key, each in self.mask.held.items() if held.get(key) != each}}
            contexts[last] = (name, "\n\n".join(filter(None, (text, INSTRUCTION))), now)
        inputs: list[types.InputItem] = [types.ContextInput(*each) for each in contexts if each[1]]
        tokens = sum(estimate(text) for _, text, _ in contexts)
        inputs += [types.TextInput(prompt), *(image for each in self.mentioned for image in each.images)]
        return Told(inputs, self._line(cells, masked, tokens), cells, masked)

    def _line(self, cells: CellsText, masked: list[str], tokens: int) -> str:
        words = []
        if cells.told:
            left_out = f" of {cells.told + cells.left_out}" if cells.left_out else ""
            order = f" {self.around.order}" if self.around.order else ""
            words.append(f"{cells.told}{left_out} cell{'s' * (cells.told + cells.left_out > 1)}{order}")
        elif cells.text:
            words.append("changes above")
        words += [each.title for each in self.mentioned]
        if masked:
            words.append(f"{count(len(masked), 'secret')} masked")
        if not words:
            return ""
        return f"Sent: {', '.join(words)} · {tokens_words(tokens)} · `%codex peek`"


def _named_without(around: Around, without: Callable[[str], str]) -> Around:
    """Return the cells with ids that give nothing away, where a digest of their text is all the id they have."""

    def named(cells: list[Cell]) -> list[Cell]:
        return [
            dataclasses.replace(cell, id=f"={digest_of(without(cell.source))}") if cell.id[0] == "=" else cell
            for cell in cells
        ]

    return around._replace(above=named(around.above), all=named(around.all))


def tokens_words(tokens: int) -> str:
    return f"{tokens / 1000:.1f}k tokens" if tokens >= 1000 else f"{tokens} tokens"


def learn_secrets(mask: OutgoingMask, shell: InteractiveShell, path: str | None, names: str) -> None:
    """Teach the mask what is secret now: in the environment, in `.env` files beside the notebook, in variables, `names` among them."""
    mask.learn(environment_secrets(os.environ))
    mask.learn(object_secrets(shell.user_ns))
    if names:
        mask.learn(variable_secrets(shell.user_ns, names.split()))
    folder = folder_of(path)
    with suppress(OSError):  # a folder that is gone, or not ours to read: nor is it the model's
        for name in sorted(name for name in os.listdir(folder) if _ENV_FILE.fullmatch(name)):
            with suppress(OSError):
                text = (folder / name).read_text(encoding="utf-8", errors="replace")
                mask.learn(file_secrets(text, name))


_ENV_FILE = re.compile(r"\.env.*|.*\.env")
