"""No traffic beyond this machine, in the tests and in every Python they start (this folder is on PYTHONPATH).

An audit hook sees each connection whatever library makes it. The error is no OSError, so that
nothing takes it for a network that is down. With HTTPX2 set, httpx2 stands in for httpx in all of them.
"""

import ipaddress
import os
import socket
import sys


def _is_here(host) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse_the_world(event: str, args: tuple) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        connection, address = args
        if address is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
            return
        host = address[0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    else:
        return
    if not _is_here(host):
        raise RuntimeError(f"A test may not leave this machine: {event} to {host!r}")


sys.addaudithook(_refuse_the_world)

if os.environ.get("HTTPX2"):
    import httpx2

    httpx2.alias_httpx()
