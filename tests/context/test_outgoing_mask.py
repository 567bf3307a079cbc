"""What leaves for the model holds no secret, in whatever form, and all else is as it was."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import pprint
import random
import string
import subprocess
import textwrap
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from pydantic import SecretBytes, SecretStr

from codex_magic.context.secrets import (
    Marks,
    NamedSecret,
    OutgoingMask,
    environment_secrets,
    file_secrets,
    object_secrets,
    variable_secrets,
)
from tests.context.lines import lines_run

CHANCE = random.Random(12)
LETTERS = string.ascii_letters + string.digits
LOWER_HEX = "0123456789abcdef"


def chars(size: int, alphabet: str = LETTERS) -> str:
    return "".join(CHANCE.choices(alphabet, k=size))


def values() -> list[str]:
    """Secrets as environments have them: keys, passwords, passphrases, a key of several lines."""
    alphabets = [LETTERS, LETTERS + "+/=", LETTERS + "-_.", LETTERS + "!$%&#@*", LOWER_HEX]
    made = [
        chars(size, alphabet) + "7" for alphabet in alphabets for size in (8, 11, 15, 20, 32, 40, 64, 120)
    ]
    made += [
        "Pässwört-1ß",
        "correct Horse battery 9",
        'with "quotes" & \\ 1',
        "tab\there is 1 line",
        "密码是一二三四五六七",
        "aB3&cD4eF5gH6iJ<7kL8mN9",
        'aB3%cDh&"rT5%eFgH6iJ',
    ]
    made += ["\n".join(["-----BEGIN KEY-----", *(chars(64) for _ in range(4)), "-----END KEY-----"])]
    return made


VALUES = values()

FORMATS: dict[str, tuple[str, Callable[[], str]]] = {
    "AWS key": ("{}", lambda: "AKIA" + chars(16, string.ascii_uppercase + "234567")),
    "AWS secret": ('aws_secret_access_key = "{}"', lambda: chars(40, LETTERS + "+/")),
    "AWS session": ("AWS_SESSION_TOKEN={}", lambda: chars(220, LETTERS + "+/")),
    "Google": ("{}", lambda: "AIza" + chars(35)),
    "Google OAuth": ("{}", lambda: "ya29." + chars(60)),
    "Azure": ("AccountName=a;AccountKey={}==;Endpoint=b", lambda: chars(86, LETTERS + "+/")),
    "Azure signature": ("https://a.blob.core.windows.net/c?sv=1&sig={}%3D", lambda: chars(43)),
    "GitHub": ("{}", lambda: "ghp_" + chars(36)),
    "GitHub fine": ("{}", lambda: f"github_pat_{chars(22)}_{chars(59)}"),
    "GitLab": ("{}", lambda: "glpat-" + chars(20)),
    "OpenAI": ("{}", lambda: "sk-" + chars(20) + "7T3BlbkFJ" + chars(20)),
    "OpenAI project": ("{}", lambda: "sk-proj-" + chars(80, LETTERS + "-_") + "x"),
    "Anthropic": ("{}", lambda: "sk-ant-api03-" + chars(90, LETTERS + "-_") + "AA"),
    "Hugging Face": ("{}", lambda: "hf_" + chars(34, string.ascii_letters)),
    "Slack": ("{}", lambda: f"xoxb-{chars(12, string.digits)}-{chars(24)}"),
    "Slack webhook": ("https://hooks.slack.com/services/{}", lambda: f"T{chars(9)}/B{chars(9)}/{chars(24)}"),
    "Stripe": ("{}", lambda: "sk_live_" + chars(24)),
    "Twilio": ("{}", lambda: "SK" + chars(32, LOWER_HEX)),
    "SendGrid": ("{}", lambda: f"SG.{chars(22)}.{chars(43)}"),
    "npm": ("{}", lambda: "npm_" + chars(36)),
    "PyPI": ("{}", lambda: "pypi-AgE" + chars(150)),
    "JWT": ("{}", lambda: f"{_part({'alg': 'HS256'})}.{_part({'sub': '1234567890'})}.{chars(43)}"),
    "PEM": (
        "-----BEGIN RSA PRIVATE KEY-----\n{}==\n-----END RSA PRIVATE KEY-----",
        lambda: "\n".join(chars(64, LETTERS + "+/") for _ in range(12)),
    ),
    "Postgres": ("postgresql+psycopg://app:{}@db.example.com:5432/main", lambda: chars(12)),
    "weak Postgres": ("postgres://app:{}@db/main", lambda: "hunter-2"),
    "Mongo": ("mongodb+srv://root:{}@cluster0.mongodb.net", lambda: chars(16)),
    "ODBC": ("Driver=x;Server=tcp:a,1433;Database=b;Uid=c;Pwd={};Encrypt=yes", lambda: chars(14)),
    "libpq": ("host=db user=app password={} dbname=x", lambda: chars(14)),
    "bearer": ("Authorization: Bearer {}", lambda: chars(40) + "0"),
    "basic": ("'authorization': 'Basic {}'", lambda: base64.b64encode(b"someone:S3cretWord").decode()),
    "header": ("-H 'x-api-key: {}'", lambda: chars(32) + "0"),
    "code": ('connect(user="app", password="{}")', lambda: chars(9) + "4x"),
    "Databricks": ("{}", lambda: "dapi" + chars(32, LOWER_HEX)),
    "DigitalOcean": ("{}", lambda: "dop_v1_" + chars(64, LOWER_HEX)),
    "Shopify": ("{}", lambda: "shpat_" + chars(32, LOWER_HEX)),
    "Telegram": ("123456789:{}", lambda: "AA" + chars(33)),
    "Vault": ("{}", lambda: "hvs." + chars(90)),
    "Docker": ("{}", lambda: "dckr_pat_" + chars(27)),
    "Groq": ("{}", lambda: "gsk_" + chars(52)),
    "Replicate": ("{}", lambda: "r8_" + chars(37)),
    "Linear": ("{}", lambda: "lin_api_" + chars(40)),
    "Kaggle": ('{"username":"ana","key":"{}"}', lambda: chars(32, LOWER_HEX)),
    "Grafana": ("{}", lambda: f"glsa_{chars(32)}_a1b2c3d4"),
    "Supabase": ("{}", lambda: "sbp_" + chars(40, LOWER_HEX)),
    ".netrc": ("machine api.a.org\n  login ana\n  password {}\n", lambda: chars(14)),
    "token in an address": ("git clone https://{}@git.a.org/b", lambda: chars(36) + "a1"),
    "token before a user": ("https://{}:x-oauth-basic@git.a.org/b", lambda: chars(36) + "a1"),
    "password with @": ("postgres://ana:{}@db/main", lambda: f"{chars(9)}@{chars(9)}"),
    "password with /": ("postgres://ana:{}@db/main", lambda: f"a{chars(9)}/{chars(9)}"),
    "ODBC first": ("Driver=x;PWD={};Server=a;UID=b", lambda: chars(14)),
    "ODBC in braces": ("Server=a;Uid=b;Pwd={{}};", lambda: chars(12) + "a1"),
    "libpq first": ("password={} host=db user=app", lambda: chars(14)),
    "JDBC": ("jdbc:mysql://h/db?user=ana&password={}", lambda: chars(16) + "a1"),
    "Oracle": ("jdbc:oracle:thin:ana/{}@//h:1521/x", lambda: chars(12)),
    "parameter": ("https://a.org/v1?page=1&access_token={}&b=c", lambda: chars(30) + "a1"),
    "AWS signature": ("https://b.s3.amazonaws.com/k?X-Amz-Signature={}", lambda: "a1" + chars(62, LOWER_HEX)),
    "Azure signature in HTML": ("?sv=1&amp;ss=b&amp;sig={}%3D", lambda: chars(43)),
    "Azure account": ("{'account_key': '{}=='}", lambda: chars(86, LETTERS + "+/")),
    "printed environment": ("HOME=/home/ana\nOTHER_TOKEN={}\nA=1", lambda: chars(30) + "a1"),
    "YAML": ("db:\n  password: {}\n", lambda: chars(20) + "a1"),
    "f-string": ('password = f"{}"', lambda: chars(20) + "a1"),
    "annotated": ('api_key: str = "{}"', lambda: chars(20) + "a1"),
    "option": ("!tool login --token {} x", lambda: chars(20) + "a1"),
    "curl": ("curl -s -u ana:{} https://a.org", lambda: chars(16)),
    "mysql": ("mysql -u ana -p{} db", lambda: chars(16) + "a1"),
    "basic auth": ("get(url, auth=('ana', '{}'))", lambda: chars(16)),
    "Docker sign-in": ('{"auths": {"a.io": {"auth": "{}"}}}', lambda: chars(30) + "a1=="),
    "XML": ("<password>{}</password>", lambda: chars(16)),
    "W&B": ("wandb.login(key='{}')", lambda: chars(40, LOWER_HEX)),
    "Fernet": ("Fernet(b'{}=')", lambda: chars(43)),
    "Azure OpenAI": ("-H 'api-key: {}'", lambda: "a1" + chars(30, LOWER_HEX)),
}
"""Keys of known formats, and the text that each stands in: what the mask has never seen before."""


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def raised(value: str) -> str:
    try:
        raise ValueError(f"could not connect with {value!r} to the server")
    except ValueError:
        return traceback.format_exc()


def wrapped(value: str, width: int) -> list[str]:
    return [value[at : at + width] for at in range(0, len(value), width)]


PLACES: dict[str, Callable[[str], str]] = {
    "a value": lambda value: f"key = {value}\n",
    "a repr": lambda value: f"{ {'user': 'ana', 'key': value}!r}",
    "a traceback": raised,
    "JSON": lambda value: json.dumps({"env": {"KEY": value}, "n": 1}, indent=2),
    "JSON in JSON": lambda value: json.dumps({"body": json.dumps({"key": value})}),
    "an address": lambda value: f"https://api.example.com/v1?key={quote(value, safe='')}&page=2",
    "a form": lambda value: f"grant=1&key={quote_plus(value)}&x=y",
    "HTML": lambda value: f"<td>{html.escape(value)}</td>",
    "base64": lambda value: f"Basic {base64.b64encode(value.encode()).decode()}",
    "base64 behind a name": lambda value: base64.b64encode(f"someone:{value}".encode()).decode(),
    "base64 for addresses": lambda value: base64.urlsafe_b64encode(b"x" + value.encode()).decode(),
    "hexadecimal": lambda value: value.encode().hex(),
    "a .env file": lambda value: f"# settings\nDEBUG=1\nMY_KEY={value}\n",
    "a table": lambda value: f"   name                key\n0  ana   {value}\n1  bob   none",
    "lines of 9": lambda value: "key:\n" + "\n".join(wrapped(value, 9)),
    "lines below a word": lambda value: f"the key is below\n{chr(10).join(wrapped(value, 9))}\n\nAnd here",
    "a pretty print": lambda value: pprint.pformat({"a": [value] * 2}, width=30),
    "strings in brackets": lambda value: (
        "key = (\n" + "\n".join(f"    {part!r}" for part in wrapped(value, 12)) + "\n)"
    ),
    "a frame": lambda value: "\n".join(f"│ {part:<14} │" for part in wrapped(value, 14)),
    "a comment": lambda value: "\n".join(f"# {part}" for part in wrapped(value, 16)),
    "lines in JSON": lambda value: json.dumps("\n  ".join(wrapped(value, 10))),
}


def left(text: str, value: str) -> str:
    """Eight characters in a row of a secret that can still be read, also over lines; nothing if there are none."""
    flat = "".join(text.split()).lower()
    value = value.removeprefix("-----BEGIN KEY-----")
    for form in (value, value.encode().hex(), base64.b64encode(value.encode()).decode().rstrip("=")):
        plain = "".join(form.split()).lower()
        for at in range(len(plain) - 7):
            if plain[at : at + 8] in flat:
                return plain[at : at + 8]
    return ""


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_of_the_environment_leaves(place):
    """48 values in 20 places each."""
    mask = OutgoingMask(environment_secrets({f"KEY_{n}": value for n, value in enumerate(VALUES)}))
    for value in VALUES:
        text = mask(f"Before it.\n\n{PLACES[place](value)}\n\nAfter it.")
        assert left(text, value) == ""
        assert "«SECRET_" in text
        assert text.startswith("Before it.")
        assert text.endswith("After it.")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("place", ["a value", "a traceback", "a table", "JSON"])
def test_no_key_of_a_known_format_leaves(kind, place):
    around, key = FORMATS[kind][0], FORMATS[kind][1]()
    mask = OutgoingMask()
    clean = mask(PLACES[place](around.replace("{}", key)))
    assert left(clean, key) == ""
    assert len(mask.names) == 1


@pytest.mark.parametrize(
    "kind",
    ["GitHub", "OpenAI", "OpenAI project", "Anthropic", "JWT", "PEM", "Stripe", "npm", "Vault", "Slack"],
)
@pytest.mark.parametrize(
    "place", ["lines of 9", "strings in brackets", "a frame", "a comment", "lines in JSON"]
)
def test_no_key_of_a_known_format_leaves_over_lines(kind, place):
    around, key = FORMATS[kind][0], FORMATS[kind][1]()
    assert left(OutgoingMask()(PLACES[place](around.replace("{}", key))), key) == ""


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[38;5;28m{}\x1b[0m",
        repr("settings:\n{}"),
        "settings%3A{}%26a%3Db",
        "<b>&quot;{}&quot;</b>",
        json.dumps("ü{}"),
        'key = "{}"',
    ],
)
@pytest.mark.parametrize("kind", ["GitHub", "OpenAI project", "AWS key", "Google", "Hugging Face"])
def test_a_word_begins_after_a_colour_and_after_what_stands_for_another_character(text, kind):
    key = FORMATS[kind][1]()
    assert left(OutgoingMask()(text.replace("{}", key)), key) == ""


def test_a_key_of_two_strings_is_one():
    key = FORMATS["OpenAI project"][1]()
    for joined in (f'"{key[:30]}" + "{key[30:]}"', f"'{key[:30]}' + f'{key[30:]}'"):
        assert left(OutgoingMask()(f"client({joined})"), key) == ""


def ordinary() -> dict[str, str]:
    """Code, prose and data as they stand in notebooks, without a secret: more than 200 KB."""
    library = Path(json.__file__).parent.parent
    texts = {
        name: (library / name).read_text("utf-8")
        for name in (
            *(
                "argparse.py",
                "base64.py",
                "configparser.py",
                "dataclasses.py",
                "getpass.py",
                "hashlib.py",
                "hmac.py",
            ),
            *(
                "netrc.py",
                "secrets.py",
                "ssl.py",
                "tokenize.py",
                "token.py",
                "urllib/request.py",
                "uuid.py",
                "email/utils.py",
            ),
        )
    }
    project = Path(__file__).parents[2]
    for path in [project / "README.md", project / "CONTRIBUTING.md", *project.glob("notebooks/*.ipynb")]:
        texts[path.name] = path.read_text("utf-8")
    chance = random.Random(5)
    texts["hashes"] = "\n".join(
        f"{uuid.UUID(int=chance.getrandbits(128))} {hashlib.sha1(bytes([n])).hexdigest()} "
        f"{hashlib.sha256(bytes([n])).hexdigest()} {hashlib.md5(bytes([n])).hexdigest()}"
        for n in range(200)
    )
    images = [base64.b64encode(chance.randbytes(3_000)).decode() for _ in range(5)]
    texts["images"] = json.dumps({"image/png": images}) + "\n".join(textwrap.wrap(images[0], 76))
    texts["documents"] = (
        "Set `OPENAI_API_KEY=sk-...` or password=os.environ['DB_PASSWORD']; postgresql://user:password@localhost/db, "
        "https://<user>:<token>@host, Authorization: Bearer $TOKEN, `-----BEGIN PRIVATE KEY-----` begins a key, "
        "token=my_token_variable_2, api_key=config.api_key_v2, secret = SECRET_NAME_OF_2024, key: customer_key_2024_v1, "
        "password = make_password2(user), http://localhost:8888/tree/ana@a.org, docker run -u 1000:1000, --token $TOKEN_2, "
        "mkdir -p data2024/raw_files, Pwd={settings.pw2}; auth=(user, password), token: Token2Type = None, "
        "AKIAIOSFODNN7EXAMPLE, sk-proj-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, mysql://{user}:{password}@{host}/x, token='your-token'"
    )
    return texts


def test_ordinary_text_stays_as_it_is():
    names = {f"KEY_{n}": value for n, value in enumerate(VALUES)}
    mask = OutgoingMask(environment_secrets(names))
    texts = ordinary()
    assert sum(map(len, texts.values())) > 200_000
    assert [name for name, text in texts.items() if mask(text) != text] == []
    assert mask.names == []


def test_a_value_keeps_its_number():
    mask = OutgoingMask([NamedSecret("A", "first-Value-1"), NamedSecret("B", "second-Value-2")])
    assert mask("second-Value-2, first-Value-1") == "«SECRET_1», «SECRET_2»"
    assert mask(mask("first-Value-1 and\nfirst-\nValue-1")) == "«SECRET_2» and\n«SECRET_2»"
    mask.learn([NamedSecret("C", "third-Value-3")])
    assert mask("third-Value-3 first-Value-1") == "«SECRET_3» «SECRET_2»"
    assert mask.names == ["B", "A", "C"]


def test_what_a_variable_held_before_is_still_a_secret():
    mask = OutgoingMask(environment_secrets({"MY_TOKEN": "the-Old-one-1"}))
    mask.learn(environment_secrets({"MY_TOKEN": "the-New-one-2"}))
    assert mask("the-Old-one-1 the-New-one-2") == "«SECRET_1» «SECRET_2»"


def test_the_password_of_an_address_is_a_secret_and_its_host_is_none():
    mask = OutgoingMask(environment_secrets({"DATABASE_URL": "postgresql://app:s3cret-word@db.intern/main"}))
    assert mask("postgresql://localhost/other, s3cret-word") == "postgresql://localhost/other, «SECRET_1»"
    assert mask("use postgresql://app:s3cret-word@db.intern/main") == "use «SECRET_2»"
    assert mask.names == ["the password in DATABASE_URL", "DATABASE_URL"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSH_KEY_PATH", "/home/ana/.ssh/id_rsa"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/home/ana/keys/project.json"),
        ("MAX_TOKENS", "8192"),
        ("DATABASE_URL", "sqlite:///data.db"),
        ("DATABASE_URL", "postgresql://localhost:5432/main"),
        ("POSTGRES_PASSWORD", "postgres"),
        ("HOME", "/home/someone-1"),
    ],
)
def test_what_is_no_secret_of_the_environment(name, value):
    mask = OutgoingMask(environment_secrets({name: value}))
    assert mask(f"see {value} there") == f"see {value} there"


def test_secrets_of_a_file_are_those_it_names_and_those_that_look_like_keys():
    text = """
    # for the tests
    export DB_PASSWORD='sp3cial one'
    SENTRY="abc123DEF456ghi789"   # no name says it
    HOST=db.example.com
    DEBUG=true
    NOTE="two
    lines"
    """
    secrets = file_secrets(text, ".env")
    assert [(each.name, each.value) for each in secrets] == [
        ("DB_PASSWORD in .env", "sp3cial one"),
        ("SENTRY in .env", "abc123DEF456ghi789"),
    ]
    assert secrets[0].lookup == 'dotenv_values(".env")["DB_PASSWORD"]'


class Settings:
    def __init__(self) -> None:
        self.password = SecretStr("inside-Settings-1")


def test_secrets_of_objects_are_those_that_hide_themselves():
    namespace = {
        "key": SecretStr("of-Pydantic-1"),
        "raw": SecretBytes(b"of-Pydantic-2"),
        "settings": Settings(),
        "config": {"token": SecretStr("in-a-Dict-1")},
        "listed": [1, SecretStr("in-a-List-1")],
        "text": "no-Secret-1",
    }
    found = {each.value: each.lookup for each in object_secrets(namespace)}
    assert found == {
        "of-Pydantic-1": "key.get_secret_value()",
        "of-Pydantic-2": "raw.get_secret_value()",
        "inside-Settings-1": "settings.password.get_secret_value()",
        "in-a-List-1": "listed[1].get_secret_value()",
        "in-a-Dict-1": "config['token'].get_secret_value()",
    }


def test_of_many_secret_objects_all_count():
    keys = [SecretStr(f"key-Number-{number}") for number in range(6_000)]
    namespace = {"keys": keys, "by_name": {str(key): key for key in range(9_000)}}
    assert len(object_secrets(namespace)) == 6_000


def test_variables_that_the_user_calls_secret():
    namespace = {"mine": "what-Is-mine-1", "n": 1, "config": {"key": "in-a-Dict-1"}}
    assert variable_secrets(namespace, ["mine", "n", "gone", "n.gone", 'config["key"]']) == [
        NamedSecret("mine", "what-Is-mine-1", "mine"),
        NamedSecret('config["key"]', "in-a-Dict-1", 'config["key"]'),
    ]


def test_a_secret_is_never_shown_by_its_name():
    assert "first-Value-1" not in repr(NamedSecret("A", "first-Value-1"))


def test_a_secret_that_was_cut_off_is_masked():
    mask = OutgoingMask([NamedSecret("A", "first-Value-1")])
    for size in range(6, 13):
        assert mask(f"key={'first-Value-1'[:size]}… and more") == "key=«SECRET_1»… and more"
    assert mask("the first… firs...") == "the first… firs..."


def test_an_empty_line_ends_what_is_wrapped():
    mask = OutgoingMask([NamedSecret("A", "first-Value-1")])
    assert mask("first-\nValue-1") == "«SECRET_1»"
    assert mask("first-\n\nValue-1") == "first-\n\nValue-1"


class Message(msgspec.Struct, frozen=True):
    text: str


def test_values_keep_their_shape():
    mask = OutgoingMask([NamedSecret("A", "first-Value-1")])
    clean = mask.clean([{"a": ("first-Value-1", 1)}, Message("first-Value-1")])
    assert clean == [{"a": ("«SECRET_1»", 1)}, Message("«SECRET_1»")]


@pytest.mark.parametrize(
    ("code", "restored"),
    [
        ('connect("«SECRET_1»")', 'import os\nconnect(os.environ["DB_URL"])'),
        ("import os\nurl = '«SECRET_1»'", 'import os\nurl = os.environ["DB_URL"]'),
        ("url = «SECRET_1»", 'import os\nurl = os.environ["DB_URL"]'),
        ('h = {"auth": "Bearer «SECRET_1»"}', 'import os\nh = {"auth": f"Bearer {os.environ[\'DB_URL\']}"}'),
        ("f'{x}: «SECRET_1»'", "import os\nf'{x}: {os.environ[\"DB_URL\"]}'"),
        ("'{x}: «SECRET_1»'", "import os\nf'{{x}}: {os.environ[\"DB_URL\"]}'"),
        ('a = "«SECRET_2»"', 'a = "«SECRET_2»"'),
        ('a = "«SECRET_1» «SECRET_2»"', 'a = "«SECRET_1» «SECRET_2»"'),
        ("# «SECRET_1» goes here", "# «SECRET_1» goes here"),
        ('a = "«SECRET_9»"', 'a = "«SECRET_9»"'),
        ("print('none')", "print('none')"),
    ],
)
def test_in_code_a_placeholder_becomes_the_lookup(code, restored):
    mask = OutgoingMask(environment_secrets({"DB_URL": "postgresql://app:s3cret-word@db/main"}))
    mask("postgresql://app:s3cret-word@db/main; s3cret-word")
    assert mask.restore(code) == restored


@pytest.mark.parametrize(
    ("language", "code", "restored"),
    [
        ("sh", 'curl -H "k: «SECRET_1»" «SECRET_1»', 'curl -H "k: $DB_URL" "$DB_URL"'),
        ("bash", 'curl -d \'{"k": "«SECRET_1»"}\'', 'curl -d \'{"k": "\'"$DB_URL"\'"}\''),
        ("zsh", "# don't\nx=«SECRET_1» # «SECRET_1»", '# don\'t\nx="$DB_URL" # «SECRET_1»'),
        ("sh", 'echo "«SECRET_1»2 \\" «SECRET_2»"', 'echo "${DB_URL}2 \\" «SECRET_2»"'),
        ("r", 'x <- "«SECRET_1»"', 'x <- Sys.getenv("DB_URL")'),
        ("r", "f('Bearer «SECRET_1»')", "f(paste0('Bearer ', Sys.getenv(\"DB_URL\")))"),
        (
            "js",
            "f('«SECRET_1»', `a ${b} «SECRET_1»`)",
            "f(process.env.DB_URL, `a ${b} ${process.env.DB_URL}`)",
        ),
        ("typescript", 'x = "a «SECRET_1»"', 'x = ("a " + process.env.DB_URL)'),
        ("julia", 'x = "«SECRET_1»"', 'x = ENV["DB_URL"]'),
        ("sql", "SELECT '«SECRET_1»'", "SELECT '«SECRET_1»'"),
        ("yaml", "url: «SECRET_1»", "url: «SECRET_1»"),
        (
            "python",
            "!psql «SECRET_1»\nx = '«SECRET_1»'",
            'import os\n!psql "$DB_URL"\nx = os.environ["DB_URL"]',
        ),
        ("python", "%%bash\npsql '«SECRET_1»'", "%%bash\npsql ''\"$DB_URL\"''"),
        ("", "%%script /bin/sh -e\npsql «SECRET_1»", '%%script /bin/sh -e\npsql "$DB_URL"'),
        ("", "%%time\nf('«SECRET_1»')", '%%time\nimport os\nf(os.environ["DB_URL"])'),
        ("", "%%sql\nSELECT '«SECRET_1»'", "%%sql\nSELECT '«SECRET_1»'"),
    ],
)
def test_each_language_looks_up_in_its_own_way(language, code, restored):
    mask = OutgoingMask(environment_secrets({"DB_URL": "postgresql://app:s3cret-word@db/main"}))
    mask("postgresql://app:s3cret-word@db/main; s3cret-word")
    assert mask.restore(code, language) == restored


def test_what_a_shell_runs_is_what_the_code_meant(monkeypatch):
    """Bash itself is asked: whatever the quotes, a value with blanks and quotes arrives as it is."""
    value = "a \"b\" 'c' $d `e`"
    monkeypatch.setenv("DB_KEY", value)
    mask = OutgoingMask(environment_secrets({"DB_KEY": value}))
    mask(value)
    code = "printf '%s|' «SECRET_1» \"x«SECRET_1»y\" '<«SECRET_1»>' a«SECRET_1»"
    done = subprocess.run(
        ["bash", "-c", mask.restore(code, "sh")], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{value}|x{value}y|<{value}>|a{value}|"


def test_numbers_of_a_thread_are_kept_by_name():
    first = OutgoingMask([NamedSecret("A", "first-Value-1"), NamedSecret("B", "second-Value-2")])
    first("second-Value-2, first-Value-1")
    later = OutgoingMask([NamedSecret("A", "first-Value-1"), NamedSecret("C", "third-Value-3")], first.held)
    assert later("third-Value-3, first-Value-1") == "«SECRET_3», «SECRET_2»"
    assert later.names == ["B", "A", "C"]
    assert "Value" not in str(first.held)


def test_what_is_masked_before_its_thread_is_known_gets_that_threads_numbers():
    mask = OutgoingMask([NamedSecret("A", "first-Value-1"), NamedSecret("B", "second-Value-2")])
    marks = Marks(mask)
    marked = marks("«SECRET_1» second-Value-2 first-Value-1 \U0010fffd")
    assert "Value" not in marked
    there = OutgoingMask(held={"«1»": "A", "«7»": ""}, of=mask)
    assert marks.numbered(marked, there) == "«SECRET_1» «SECRET_8» «SECRET_1» \U0010fffd"


HOSTILE = [
    "\n",
    " ",
    "\\n",
    "a:b@",
    "://",
    "://a:",
    "eyJa",
    "sk-a1",
    "aws secret ",
    "key-",
    "-----BEGIN PRIVATE KEY-----\n",
]
HOSTILE += [
    "server=a;",
    "password=",
    "Bearer ",
    "x-api-key: ",
    "%41",
    "\\x41",
    "«SECRET_1»",
    "first-Val",
    "first-Value-1\n",
    "'",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_linear_time(piece):
    mask = OutgoingMask([NamedSecret("A", "first-Value-1")])
    short = lines_run(lambda: mask(piece * 500))
    long = lines_run(lambda: mask(piece * 1_000))
    assert long <= 2.5 * short + 2_000
