"""The local service as tests need it: strict, over https and WebSockets too, and failing on demand.

It stands on the shipped service's own seams (`routes`, `middleware`, `faults`), so what tests run against
is what the demo and the notebooks run against.
"""

from codex_magic.local_service import Pace
from tests.service.recorder import RecordedRequest
from tests.service.service import LocalService, start

__all__ = ["LocalService", "Pace", "RecordedRequest", "start"]
