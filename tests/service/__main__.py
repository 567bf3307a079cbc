"""`python -m tests.service`: the strict service in a process of its own."""

from codex_magic.local_service.__main__ import main
from tests.service import start

main(start)
