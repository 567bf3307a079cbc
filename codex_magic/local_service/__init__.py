"""The built-in imitation of the ChatGPT sign-in and Codex backend, for the demo, tests and offline work.

`start()` runs it in a thread of its own. Its answers are scripted and say so; everything around them behaves like the real service.
"""

from .service import LocalService, start
from .stream import Pace

__all__ = ["LocalService", "Pace", "start"]
