"""What code would do beside computing, as far as reading it tells: information for who decides, and no permission."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from IPython.core.inputtransformer2 import TransformerManager

T = TypeVar("T")

PROCESS, INSTALL, NETWORK = "starts a process", "installs packages", "uses the network"
WRITE, DELETE, DATABASE = "writes files", "deletes files", "changes a database"
SETTINGS, ENDS, DYNAMIC = "changes the process", "may end the kernel", "runs code that is not shown here"
UNREADABLE = "is no Python"

_CALLS: Mapping[str, str] = {
    PROCESS: "subprocess.* multiprocessing.* pty.* pexpect.* os.system os.popen os.fork os.exec* os.spawn* "
    "os.posix_spawn* asyncio.create_subprocess_* *.system *.getoutput *.getoutput_ ProcessPoolExecutor",
    NETWORK: "requests.* httpx.* urllib.* urllib3.* aiohttp.* socket.* ssl.* ftplib.* smtplib.* http.client.* "
    "telnetlib.* imaplib.* poplib.* xmlrpc.* boto3.* botocore.* paramiko.* websocket.* websockets.* grpc.* "
    "openai.* anthropic.* huggingface_hub.* kaggle.* gcsfs.* s3fs.* wandb.* mlflow.* urlopen urlretrieve "
    "load_dataset *.from_pretrained fetch_*",
    DELETE: "os.remove os.unlink os.rmdir os.removedirs shutil.rmtree shutil.move *.unlink *.rmdir *.rmtree",
    WRITE: "os.rename os.replace os.renames os.mkdir os.makedirs os.link os.symlink os.chmod os.chown "
    "os.truncate os.mkfifo os.utime shutil.* *.write_text *.write_bytes *.touch *.mkdir *.symlink_to "
    "*.hardlink_to *.rename *.chmod *.to_csv *.to_parquet *.to_excel *.to_pickle *.to_hdf *.to_feather "
    "*.to_orc *.to_stata *.to_json *.to_html *.to_latex *.to_xml *.to_markdown *.to_netcdf *.to_zarr *.to_file "
    "*.write_csv *.write_parquet *.write_ipc *.write_ndjson *.write_json *.write_excel *.write_database "
    "*.sink_* *.savefig *.save *.savez *.savez_compressed *.savetxt *.tofile *.write_image *.write_html "
    "*.dump pickle.dump json.dump joblib.dump torch.save shelve.* sqlite3.* zipfile.* tarfile.* tempfile.* "
    "*.extractall logging.FileHandler",
    DATABASE: "*.to_sql *.commit *.executemany *.executescript",
    SETTINGS: "os.chdir os.putenv os.unsetenv os.umask os.setuid os.nice sys.setrecursionlimit signal.* "
    "locale.setlocale random.seed *.set_option resource.* sys.settrace sys.setprofile",
    ENDS: "os._exit os.abort os.kill os.killpg exit quit sys.exit *.ask_exit ctypes.* faulthandler.*",
    DYNAMIC: "eval exec compile __import__ importlib.* runpy.* pickle.load pickle.loads *.run_cell "
    "*.run_cell_async *.run_code *.safe_execfile *.ex *.ev *.push *.reset",
}
"""What the calls of these names do; `*` is any part of a name."""

_MAGICS: Mapping[str, str] = {
    INSTALL: "pip conda mamba micromamba uv pixi",
    PROCESS: "bash sh script system sx ruby perl js javascript html2 cmd powershell R",
    WRITE: "writefile file save store logstart notebook history edit prun2",
    DYNAMIC: "run load loadpy load_ext macro cython codex ai",
    SETTINGS: "cd env set_env reset reset_selective xdel config matplotlib autoreload pushd popd bookmark alias",
}

_MUTATING = frozenset(
    "append extend insert pop remove clear sort reverse update setdefault popitem add discard "
    "difference_update intersection_update symmetric_difference_update appendleft popleft extendleft rotate "
    "fill put resize setflags itemset partition drop_in_place set_index_in_place insert_column replace_column "
    "fit partial_fit fit_transform load_state_dict train backward step zero_grad".split()
)
"""Methods that change what they are called on."""

_HANDING_ON = frozenset(
    "get setdefault pop popitem values items iter list tuple dict enumerate zip reversed sorted".split()
)
"""Methods and functions whose results hold the same values as what they are given."""

_INSTALL = re.compile(
    r"\b(pip3?|conda|mamba|uv|apt|apt-get|npm|brew)\b.*\b(install|add|remove|uninstall)\b", re.S
)
_ADDRESS = re.compile(r"(https?|ftp|s3|gs|az|abfs|hf|sftp|ws|wss)://")
_SQL = re.compile(r"\s*(insert|update|delete|drop|alter|create|truncate|replace|merge|copy|attach)\b", re.I)


class Effects(NamedTuple):
    """`acts`: beyond this process's memory; `changes`: names whose values are changed in place."""

    acts: tuple[str, ...]
    changes: tuple[str, ...]
    binds: tuple[str, ...]
    """Names that it binds or deletes at the top."""
    uses: tuple[str, ...] = ()
    """Names of the user's own that it reads."""
    calls: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Functions, or values by their methods, that it calls by name, each with the names it passes."""
    parts: tuple[str, ...] = ()
    """What it changes of what a name holds, `sys.path`; the value itself may be a module or a class."""

    @property
    def is_quiet(self) -> bool:
        """Whether it only computes, as far as reading it tells; what is no Python only fails."""
        return self.acts in ((), (UNREADABLE,)) and not self.changes


def effects(code: str) -> Effects:
    """Read `code`, with magics and shell commands."""
    try:
        new: Any = TransformerManager  # IPython is untyped here
        tree = ast.parse(new().transform_cell(code), mode="exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Effects((UNREADABLE,), (), ())
    reader = _Reader()
    reader.visit(tree)
    own = set(reader.binds)
    changes = (name for name in reader.changes if name not in own or name in reader.early)
    uses = tuple(sorted(reader.early))
    parts, calls = once(reader.parts), once(reader.calls)
    return Effects(once(reader.acts), once(changes), once(reader.binds), uses, calls, parts)


def once(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))


class _Reader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.acts: list[str] = []
        self.changes: list[str] = []
        self.binds: list[str] = []
        self.early: set[str] = set()  # names used before the code binds them: the user's own
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.parts: list[str] = []
        self._aliases: dict[str, set[str]] = {}  # names by the one that may stand for a part of their values
        self._modules: dict[str, str] = {}  # by the name they are imported as
        self._depth = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._bind(name)
            self._modules[name] = alias.name if alias.asname else name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name)
            self._modules[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            if node.id not in self.binds:
                self.early.add(node.id)
        else:
            self._bind(node.id)

    def visit_Global(self, node: ast.Global) -> None:
        self.binds += node.names

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._bind(node.name)
        self._depth += not isinstance(node, ast.ClassDef)
        self.generic_visit(node)
        self._depth -= not isinstance(node, ast.ClassDef)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition  # the names of ast

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._alias(target, node.value)
            self._target(target)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._alias(node.target, node.iter)
        self.generic_visit(node)

    visit_AsyncFor = visit_For  # the name of ast

    def visit_withitem(self, node: ast.withitem) -> None:
        if node.optional_vars is not None:
            self._alias(node.optional_vars, node.context_expr)
        self.generic_visit(node)

    def _alias(self, target: ast.expr, value: ast.expr) -> None:
        """Note that what is done to the target may be done to a part of what the value names."""
        sources = set(_parts_of(value))
        for each in ast.walk(target):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                self._aliases.setdefault(each.id, set()).update(sources - {each.id})

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self._change(node.target)  # of a list or an array
        self._target(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._target(node.target)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._target(target)

    def _target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Attribute | ast.Subscript):
            if self._dotted(node).startswith(("os.environ", "sys.")):
                self.acts.append(SETTINGS)
            self._change(node)
        self.visit(node)

    def _change(self, node: ast.expr) -> None:
        if isinstance(node, ast.Attribute | ast.Subscript):
            self.parts.append(self._dotted(node))
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name) and node.id not in self._modules:
            for name in self._standing_for(node.id):
                if name not in self.binds:
                    self.early.add(name)
                self.changes.append(name)

    def _standing_for(self, name: str) -> list[str]:
        """Return a name and those whose values it may be a part of."""
        names = [name]
        for each in names:
            names += [other for other in self._aliases.get(each, ()) if other not in names]
        return [each for each in names if each not in self._modules]

    def _bind(self, name: str) -> None:
        if not self._depth:
            self.binds.append(name)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and _ADDRESS.match(node.value):
            self.acts.append(NETWORK)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._dotted(node.func)
        if name in ("get_ipython.run_line_magic", "get_ipython.run_cell_magic"):
            self._magic(name, node)
        else:
            self.acts += [act for act, pattern in _PATTERNS.items() if pattern.fullmatch(name)]
            if name.endswith("get_ipython.system") and _INSTALL.search(_text(node)):
                self.acts.append(INSTALL)
            if name.rpartition(".")[2] == "open" and _may_write(node):
                self.acts.append(WRITE)
            if name.rpartition(".")[2] in ("execute", "query", "sql", "read_sql") and _SQL.match(_text(node)):
                self.acts.append(DATABASE)
            if name in ("setattr", "delattr", "next") and node.args:
                self._change(node.args[0])
            passed = [*node.args, *(each.value for each in node.keywords)]
            self.calls.append((name.partition(".")[0], tuple(self._named(passed))))
        inplace = (each.value for each in node.keywords if each.arg == "inplace")
        changes = any(not isinstance(each, ast.Constant) or each.value for each in inplace)
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if changes or name in _MUTATING or name.endswith("_"):
                self._change(node.func.value)
        self.generic_visit(node)

    def _named(self, values: list[ast.expr]) -> list[str]:
        """Return the names that stand in these expressions, and what they may be parts of."""
        names = (each.id for value in values for each in ast.walk(value) if isinstance(each, ast.Name))
        return [other for name in names for other in self._standing_for(name)]

    def _magic(self, name: str, node: ast.Call) -> None:
        magic = _text(node)
        acts = [act for act, names in _MAGICS.items() if magic in names.split()]
        self.acts += acts
        for argument in node.args[1:]:
            text = argument.value if isinstance(argument, ast.Constant) else None
            if not isinstance(text, str):
                self.acts.append(DYNAMIC)
            elif "run_cell_magic" in name and not acts and argument is node.args[-1]:
                inner = effects(text)
                self.acts += inner.acts if inner.acts != (UNREADABLE,) else [DYNAMIC]
                self.changes += inner.changes
                self.binds += inner.binds
                self.early |= {*inner.uses}
            elif "run_line_magic" in name and magic in ("time", "timeit", "prun", "memit", "mprun", "lprun"):
                words = text.split(" ")  # options first
                readings = (effects(" ".join(words[number:])) for number in range(len(words)))
                inner = next((each for each in readings if each.acts != (UNREADABLE,)), Effects((), (), ()))
                self.acts += inner.acts
                self.changes += inner.changes
                self.early |= {*inner.uses}

    def _dotted(self, node: ast.expr) -> str:
        """Return the name of a function, `get_ipython().system` as `get_ipython.system`."""
        match node:
            case ast.Name():
                return self._modules.get(node.id, node.id)
            case ast.Attribute():
                return f"{self._dotted(node.value)}.{node.attr}"
            case ast.Call():
                return self._dotted(node.func)
            case ast.Subscript():
                return self._dotted(node.value)
        return "?"


def _parts_of(value: ast.expr) -> Iterator[str]:
    """Yield the names of which an expression may give the value itself, or a part of it and no copy."""
    match value:
        case ast.Name():
            yield value.id
        case ast.Attribute() | ast.Starred():
            yield from _parts_of(value.value)
        case ast.Subscript():
            if not isinstance(value.slice, ast.Compare | ast.BinOp | ast.BoolOp | ast.List | ast.Call):
                yield from _parts_of(value.value)  # else mostly rows that are chosen, which are copies
        case ast.Call(func=ast.Attribute() as method) if method.attr in _HANDING_ON:
            yield from _parts_of(method.value)
        case ast.Call(func=ast.Name(id=name)) if name in _HANDING_ON:
            for each in value.args:
                yield from _parts_of(each)
        case ast.List() | ast.Tuple() | ast.Set():
            for each in value.elts:
                yield from _parts_of(each)
        case ast.Dict():
            for each in value.values:
                yield from _parts_of(each)
        case ast.IfExp():
            yield from (*_parts_of(value.body), *_parts_of(value.orelse))


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(word).replace(r"\*", ".*") for word in words.split()))


_PATTERNS = {act: _pattern(words) for act, words in _CALLS.items()}


def _text(node: ast.Call) -> str:
    """Return the first argument, where it is a text."""
    first = node.args[0] if node.args else None
    if isinstance(first, ast.JoinedStr) and first.values:
        first = first.values[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _may_write(node: ast.Call) -> bool:
    """Whether a call of `open`, or of a path's, may open for writing."""
    is_path = isinstance(node.func, ast.Attribute)
    modes = [each.value for each in node.keywords if each.arg == "mode"]
    modes += node.args[0 if is_path and len(node.args) == 1 else 1 :][:1]
    mode = modes[0] if modes else None
    if mode is None or not isinstance(mode, ast.Constant):
        return mode is not None
    return isinstance(mode.value, str) and len(mode.value) <= 4 and any(char in mode.value for char in "wax+")
