"""Finds values of the settings of transfers that cannot work. Called by ``config``."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_ISDIR
from typing import TypeVar

from imgserve.errors import cause_of
from imgserve.setting import Problem
from imgserve.transfer.client import authorities
from imgserve.transfer.client.handle import parse_referer
from imgserve.transfer.client.proxy import SCHEMES, parse_proxy
from imgserve.transfer.config import Config
from imgserve.transfer.guard import parse_network, parse_ports

T = TypeVar("T")


def problems_of(config: Config) -> Iterator[Problem]:
    for text in config.allow_networks:
        if _parse(parse_network, text) is None:
            yield Problem("allow_networks", f"expected a network such as 10.0.0.0/8, got {text!r}")
    for text in config.ports:
        if _parse(parse_ports, text) is None:
            yield Problem("ports", f"expected a port such as 443 or a range such as 1024-65535, got {text!r}")
    for field, roots in (("read_roots", config.read_roots), ("write_roots", config.write_roots)):
        yield from (Problem(field, fault) for root in roots if (fault := _root_fault(root)))
    if config.ca_file and (fault := _authorities_fault(config.ca_file)):
        yield Problem("ca_file", fault)
    if config.proxy and _parse(parse_proxy, config.proxy) is None:
        yield Problem("proxy", f"expected scheme://host:port, the scheme one of {', '.join(SCHEMES)}")
    referers = {text: _parse(parse_referer, text) for text in config.referers}
    example = "HOST=URL such as pics.example.com=https://shop.example.com/"
    yield from (Problem("referers", f"expected {example}, got {text!r}") for text in referers if not referers[text])
    hosts = Counter(referer.host for referer in set(referers.values()) if referer)
    for host in sorted(host for host in hosts if hosts[host] > 1):
        yield Problem("referers", f"{host} is given twice, expected one URL for each host")


def _root_fault(root: str) -> str:
    try:
        is_directory = S_ISDIR(Path(root).stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_directory = False
    except OSError as error:
        cause, remedy = cause_of(error)
        return f"{root!r} cannot be used: {cause} ({remedy or 'name another'})"
    return "" if is_directory else f"there is no directory {root!r} (make it, or name another)"


def _authorities_fault(ca_file: str) -> str:
    try:
        authorities.check(ca_file)
    except OSError as error:
        cause, remedy = cause_of(error)
        return f"expected a file of PEM certificates, {ca_file!r} cannot be read: {cause} ({remedy or 'name another'})"
    except ValueError:
        return f"expected a file of PEM certificates, there is none in {ca_file!r}"
    return ""


def _parse(parse: Callable[[str], T], text: str) -> T | None:
    try:
        return parse(text)
    except ValueError:
        return None
