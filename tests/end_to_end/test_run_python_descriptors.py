"""Code that Codex runs starts processes and calls C, which print past Python: the model and the user both get it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel, markdown
from tests.end_to_end.test_run_python import commit, probe

PRINTING = {
    "a process": "import subprocess\nsubprocess.run(['sh', '-c', 'echo from a process; echo its error >&2'])",
    "the shell": "import os\nos.system('echo from a process; echo its error >&2')",
    "a descriptor": "import os\nos.write(1, b'from a process'); os.write(2, b'its error');",
    "C": "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.puts(b'from a process'); libc.perror(b'its error'); libc.fflush(None);",
    "many bytes": "import os\nos.system('seq 100000; echo from a process; echo its error >&2')",
}


@pytest.fixture
def watching(service: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A kernel that watches its descriptors, as it does everywhere but in pytest."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    with Kernel(tmp_path) as kernel:
        yield kernel


@pytest.fixture
def page(watching: Kernel) -> ExtendedFrontEnd:
    return page_of(watching)


def page_of(kernel: Kernel) -> ExtendedFrontEnd:
    for line in ("%load_ext codex_magic", "%codex provider local", "%codex reads yes"):
        kernel.execute(line)
    return ExtendedFrontEnd(kernel)


def approve(page: ExtendedFrontEnd, cell: str) -> tuple[str, str]:
    """What the answer says, which is what the model got, and what the streams of its cell show."""
    request = page.run(cell)
    page.choose(page.card(page.attach()), "Approve")
    page.idle(request)
    streams = "".join(str(each["text"]) for each in page.outputs if each["output_type"] == "stream")
    return markdown(page.outputs), streams


@pytest.mark.parametrize("name", PRINTING)
def test_the_model_and_the_user_get_it(page: ExtendedFrontEnd, name: str) -> None:
    answer, streams = approve(page, commit(PRINTING[name]))
    for words in ("from a process", "its error"):
        assert words in answer
        assert streams.count(words) == 1
    assert "server's terminal" not in answer
    assert len(answer) < 50_000
    assert "100000\n" in streams or name != "many bytes"


def test_a_probe_tells_the_model_alone(page: ExtendedFrontEnd) -> None:
    answer, streams = approve(page, probe(PRINTING["a process"]))
    assert "from a process" in answer
    assert "from a process" not in streams


def test_the_descriptors_are_as_before_and_what_runs_on_prints_for_the_user(
    page: ExtendedFrontEnd, watching: Kernel
) -> None:
    pipes = "sum(os.path.exists(f'/dev/fd/{n}') and stat.S_ISFIFO(os.stat(f'/dev/fd/{n}').st_mode) for n in range(1000))"
    look = f"[os.fstat(n).st_ino for n in (1, 2)], {pipes}"
    ended = "[each.join() for each in threading.enumerate() if each.name == 'codex_magic output']"
    watching.execute("import os, stat, threading")
    approve(page, commit(PRINTING["a process"]))
    watching.execute(ended)
    before = watching.value(look)
    runs_on = "import subprocess\nchild = subprocess.Popen(['sh', '-c', 'read line; echo $line'], stdin=-1)"
    answer, _ = approve(page, commit(runs_on))
    assert "of the user" not in answer
    [output] = watching.execute(f"child.communicate(b'of the user\\n');\n{ended};")
    assert output["text"] == "of the user\n"
    assert watching.value(look) == before
    assert watching.execute("import os; os.write(1, b'as ever');")[0]["text"] == "as ever"


def test_what_the_code_puts_there_itself_stays(
    page: ExtendedFrontEnd, watching: Kernel, tmp_path: Path
) -> None:
    approve(page, commit("import os\nos.dup2(os.open('log.txt', os.O_WRONLY | os.O_CREAT), 1);"))
    watching.execute("os.write(1, b'into the file');")
    assert (tmp_path / "log.txt").read_text() == "into the file"


def test_where_nobody_records_it_the_model_is_told(kernel: Kernel) -> None:
    """ipykernel leaves the descriptors alone in pytest, as on Windows."""
    answer, _ = approve(page_of(kernel), commit("import os\nos.system('seq 40 41 | sort -r')"))
    assert "server's terminal" in answer
    assert "41\n40" not in answer
