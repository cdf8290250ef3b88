"""Every option, written once.

A field of `Config` is an option: its type, default, help text and limits stand here and
nowhere else. The command line, the environment (`LOOPHOUND_` and the field's name in
capitals) and `loophound.run()` derive from this table, and so does docs/options.md.
"""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from loophound.addresses import DEFAULT_PORT, parse_address
from loophound.errors import ConfigError
from loophound.threshold import DEFAULT_THRESHOLD_MS

ENV_PREFIX = "LOOPHOUND_"
# Counts where ours is not set: containers are often set up by these, and would otherwise lose their port.
UVICORN_ENV_PREFIX = "UVICORN_"
ALLOW_VARIABLE = "FORWARDED_ALLOW_IPS"
MOST_WORKERS = 512

Lifespan = Literal["auto", "on", "off"]
Interface = Literal["auto", "asgi3", "asgi2", "wsgi"]
LoopKind = Literal["auto", "asyncio", "uvloop"]
Http = Literal["auto"]
WebSockets = Literal["auto", "none"]
LogLevel = Literal["critical", "error", "warning", "info", "debug", "trace"]
LogFormat = Literal["text", "json"]
TlsVersion = Literal["1.2", "1.3"]
ClientCertificates = Literal["none", "optional", "required"]
# Given the configuration and a function that makes the context as the options say.
ContextFactory: TypeAlias = Callable[["Config", Callable[[], ssl.SSLContext]], ssl.SSLContext]

# The numbers of the ssl module, which uvicorn takes: PROTOCOL_TLS_SERVER, PROTOCOL_TLS and PROTOCOL_TLSv1_2.
TLS_VERSIONS = {"17": "1.2", "2": "1.2", "5": "1.2"}
CERT_REQS = {"0": "none", "1": "optional", "2": "required"}
# uvicorn's names of implementations, in whose place there is one here.
HTTP_NAMES = {"httptools": "auto", "h11": "auto"}
WS_NAMES = {"websockets": "auto", "websockets-sansio": "auto", "wsproto": "auto"}
LOG_LEVELS = {"5": "trace", "10": "debug", "20": "info", "30": "warning", "40": "error", "50": "critical"}

TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Option:
    """What the faces of one option need to know: the help text and its limits."""

    help: str
    metavar: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None  # like minimum, but the limit itself is out
    optional_value: str | None = None  # what the bare flag means, where the value may be left out
    flag: str = ""  # where it is not named after the field
    other_flag: str = ""  # a second name, of another server's
    other_env: str = ""  # a variable of another name, which counts where ours is not set
    aliases: Mapping[str, str] = field(default_factory=dict)  # further words for its values
    words: tuple[str, ...] = ()  # what a number may be instead


@dataclass(frozen=True, slots=True)
class Kind:
    """What values an option takes, read off the annotation of its field."""

    type: type[bool] | type[int] | type[float] | type[str] | type[tuple[str, ...]]
    choices: tuple[str, ...] = ()
    importable: bool = False  # besides the choices, "module:attribute" will do
    nullable: bool = False
    mapping: bool = False  # in Python, a dict will do as well


def option(default: Any, help: str, **details: Any) -> Any:
    return field(default=default, metadata={"option": Option(help, **details)})


@dataclass
class Config:
    """How to serve an application. Raises ConfigError for a value that cannot be right."""

    app: Any  # "module:attribute", or the ASGI application itself
    _: KW_ONLY

    host: str | None = option("127.0.0.1", "Address to listen on; an empty one stands for all.", metavar="HOST")
    port: int = option(DEFAULT_PORT, "Port to listen on; 0 takes a free one.", metavar="PORT", minimum=0, maximum=65535)
    uds: str | None = option(None, "Listen on this unix socket instead of a port.", metavar="PATH")
    fd: int | None = option(
        None, "Listen on this socket, which the parent process has bound.", metavar="NUMBER", minimum=0
    )
    bind: tuple[str, ...] = option(
        (),
        "Listen here: HOST:PORT, unix:PATH or fd://NUMBER; can be given several times, in the place of the four above.",
        metavar="ADDRESS",
    )
    factory: bool = option(False, "APP is a function that returns the application.")
    app_dir: str | None = option("", "Look for APP in this directory first.", metavar="DIR")
    loop: LoopKind | str = option(
        "auto",
        "Event loop; auto takes uvloop where it is installed, module:attribute names a function that makes one.",
        aliases={"none": "asyncio"},
    )
    http: Http = option(
        "auto", "HTTP implementation: there is one, on httptools, which uvicorn's names stand for.", aliases=HTTP_NAMES
    )
    interface: Interface = option("auto", "What APP is; auto tells ASGI 3 from ASGI 2. wsgi wants the package a2wsgi.")
    lifespan: Lifespan = option("auto", "Lifespan protocol; auto goes on without it when the application has none.")
    proxy_headers: bool = option(True, "Believe what trusted proxies say of their clients.")
    forwarded_allow_ips: str | None = option(
        None,
        "Proxies to trust: addresses, networks, 'unix' for peers on a unix socket, '*' for all; 127.0.0.1 and ::1"
        " where it is not set.",
        metavar="LIST",
        other_env=ALLOW_VARIABLE,
    )
    forwarded_fields: str = option(
        "for,proto",
        "What to take from them: for, proto, host, port, prefix. Name those that your proxy sets or removes.",
        metavar="LIST",
    )
    proxy_protocol: bool = option(
        False, "Expect the PROXY protocol (version 1 or 2) from the peers of --forwarded-allow-ips."
    )
    root_path: str = option("", "Path under which a proxy mounts the application.", metavar="PATH")
    backlog: int = option(2048, "Connections that the kernel holds until they are accepted.", metavar="N", minimum=1)
    log_level: LogLevel = option(
        "info", "How much the log tells; trace has each ASGI message in it.", aliases=LOG_LEVELS
    )
    log_format: LogFormat = option(
        "text", "How log, access log and reports of stalls are written: text, or one JSON object a line."
    )
    access_log: bool = option(True, "Log each request.")
    access_log_format: str | None = option(
        None,
        "Lines of the access log: common, combined, or text with atoms such as %(h)s, which docs/logging.md lists.",
        metavar="FORMAT",
    )
    log_config: str | dict[str, Any] | None = option(
        None, "Set up logging by this file: .json, .yaml, or an INI file of logging.config.", metavar="FILE"
    )
    use_colors: bool | None = option(None, "Colours in the log; where it is not set, on a terminal.")
    headers: tuple[str, ...] = option(
        (), "Add this header to each response; can be given several times.", metavar="NAME:VALUE", flag="--header"
    )
    server_header: bool = option(True, "Send a Server header.")
    date_header: bool = option(True, "Send a Date header.")
    limit_concurrency: int | None = option(
        None,
        "Answer 503 to a request beyond this many at once, or while this many connections are exceeded.",
        metavar="N",
        minimum=1,
    )
    limit_max_requests: int | None = option(None, "Stop gracefully after N requests.", metavar="N", minimum=1)
    limit_request_line: int = option(
        16_384, "Bytes that a request line may have; a longer one gets 414.", metavar="BYTES", minimum=64
    )
    limit_head: int = option(
        65_536,
        "Bytes that the head of a request may have; more get 431. Trailers and chunk extensions may have a quarter.",
        metavar="BYTES",
        minimum=256,
    )
    h11_max_incomplete_event_size: int | None = option(
        None, "uvicorn's name for --limit-head.", metavar="BYTES", minimum=256
    )
    limit_headers: int = option(256, "Header fields that a request may have; more get 431.", metavar="N", minimum=1)
    limit_body: int | None = option(
        None,
        "Bytes that the body of a request may have; more get 413. Without it, any number.",
        metavar="BYTES",
        minimum=0,
    )
    limit_unread_body: int = option(
        65_536,
        "Bytes of a request's body that wait for the application; then reading pauses.",
        metavar="BYTES",
        minimum=1,
    )
    limit_unwritten: int = option(
        65_536,
        "Bytes of a response that wait for the client; then the application's send() waits.",
        metavar="BYTES",
        minimum=0,
    )
    limit_max_requests_jitter: int = option(
        0, "Up to so many more, by chance, so that workers do not stop all at once.", metavar="N", minimum=0
    )
    timeout_keep_alive: float = option(5.0, "Seconds that an idle connection is kept.", metavar="SECONDS", minimum=0)
    timeout_head: float = option(
        10.0, "Seconds that the head of a request may take to arrive.", metavar="SECONDS", minimum=0.01
    )
    timeout_body: float = option(
        30.0, "Seconds that may pass between two pieces of a request's body.", metavar="SECONDS", minimum=0.01
    )
    timeout_graceful_shutdown: float | None = option(
        30.0,
        "Seconds that requests get to end at a stop, before they are cancelled; none waits for all.",
        metavar="SECONDS",
        minimum=0,
    )
    reset_contextvars: bool = option(
        False, "Start each request in an empty context, without the context variables that the lifespan has set."
    )
    shutdown_delay: float = option(
        0.0,
        "Seconds to serve on after a stop was asked for, not ready any more, until load balancers have noticed.",
        metavar="SECONDS",
        minimum=0,
    )

    workers: int | None = option(
        None,
        "Serve with N processes under a supervisor.",
        metavar="N",
        minimum=1,
        maximum=MOST_WORKERS,
        other_env="WEB_CONCURRENCY",
    )
    reuse_port: bool = option(False, "Give each worker a socket of its own on the port (SO_REUSEPORT).")
    preload: bool = option(False, "Import the application once, and fork the workers from that process.")
    max_worker_memory: int | None = option(
        None, "Replace a worker whose resident memory exceeds MB mebibytes.", metavar="MB", minimum=1
    )
    timeout_worker: float | None = option(
        30.0,
        "Replace a worker whose event loop has not turned for so many seconds; none replaces none.",
        metavar="SECONDS",
        above=1.0,
        other_flag="--timeout-worker-healthcheck",
    )
    timeout_start: float | None = option(
        300.0,
        "Kill a worker that has not begun to serve after so many seconds; its start has failed. none waits for ever.",
        metavar="SECONDS",
        above=0,
    )
    reload: bool = option(False, "Serve with one worker, and replace it when a file changes.")
    reload_dirs: tuple[str, ...] = option(
        (), "Watch this directory, not the working directory; repeatable.", metavar="DIR", flag="--reload-dir"
    )
    reload_includes: tuple[str, ...] = option(
        (), "Watch files of this pattern too, besides *.py; repeatable.", metavar="GLOB", flag="--reload-include"
    )
    reload_excludes: tuple[str, ...] = option(
        (), "Leave files of this pattern, or this directory, out; repeatable.", metavar="GLOB", flag="--reload-exclude"
    )
    reload_delay: float = option(
        0.05, "Seconds without a further change before the worker is replaced.", metavar="SECONDS", minimum=0.001
    )

    ws: WebSockets = option(
        "auto",
        "WebSocket; none ignores it, as HTTP does any protocol it does not know. There is one implementation, which"
        " uvicorn's names stand for.",
        aliases=WS_NAMES,
    )
    ws_max_size: int = option(16_777_216, "Bytes that a WebSocket message may have.", metavar="BYTES", minimum=1)
    ws_max_queue: int = option(
        32, "WebSocket messages that wait for the application; then reading pauses.", metavar="N", minimum=1
    )
    ws_ping_interval: float | None = option(
        20.0, "Seconds between pings of a WebSocket; none, or 0, sends none.", metavar="SECONDS", minimum=0
    )
    ws_ping_timeout: float | None = option(
        20.0, "Seconds of silence after a ping that end a WebSocket; none waits for ever.", metavar="SECONDS", above=0
    )
    ws_per_message_deflate: bool = option(True, "Compress WebSocket messages for clients that offer it.")

    ssl_certfile: str | None = option(
        None, "Serve TLS with the certificate in this file (PEM, with those between it and the root).", metavar="FILE"
    )
    ssl_keyfile: str | None = option(
        None, "The certificate's private key (PEM), where it is in another file.", metavar="FILE"
    )
    ssl_keyfile_password: str | None = option(None, "Password of an encrypted private key.", metavar="TEXT")
    ssl_version: TlsVersion = option("1.2", "Lowest version of TLS that is spoken.", aliases=TLS_VERSIONS)
    ssl_cert_reqs: ClientCertificates = option(
        "none", "Whether clients are to show a certificate that --ssl-ca-certs vouches for.", aliases=CERT_REQS
    )
    ssl_ca_certs: str | None = option(None, "Authorities whose certificates clients may show (PEM).", metavar="FILE")
    ssl_ciphers: str | None = option(None, "Cipher suites of TLS 1.2, as OpenSSL writes them.", metavar="LIST")
    ssl_context_factory: ContextFactory | None = None
    # Set the variables in this file that the environment lacks, at once: other options may come from them.
    env_file: str | os.PathLike[str] | None = None

    detect_blocking: float | str | None = option(
        None,
        "Report whoever blocks the event loop longer than MS milliseconds, and synchronous calls in requests; stalls"
        " or calls takes one of the two.",
        metavar="MS|stalls|calls",
        above=0,
        optional_value=f"{DEFAULT_THRESHOLD_MS:g}",
        words=("stalls", "calls"),
    )
    hang_watch: float | None = option(
        1.0,
        "Report whoever blocks the event loop longer than SECONDS, also without --detect-blocking; off for none.",
        metavar="SECONDS",
        minimum=0.1,
    )
    stall_limit: float | None = option(
        None,
        "Interrupt code that blocks an event loop for longer, where Python allows; its request gets 503.",
        metavar="SECONDS",
        above=0,
    )
    record: str | None = option(None, "Append each stall to this file, one JSON record a line.", metavar="FILE")
    ledger: str | None = option(
        None,
        "Keep stalls grouped in this SQLite file, for `loophound report`; auto is one for the project, under the user's"
        " state directory.",
        metavar="FILE",
        optional_value="auto",
    )
    feed: str | None = option(
        None,
        "Serve the live feed for dashboards on this unix socket; where it is not set, on one in the user's runtime"
        " directory, where `loophound top` finds it. off for none.",
        metavar="PATH",
    )
    dashboard: bool = option(
        False, "Show a live dashboard in this terminal, and the log below it; finds who blocks the loop as well."
    )
    web_dashboard: int | None = option(
        None,
        "Serve a live dashboard for browsers on this port of 127.0.0.1, at an address that is printed with its token;"
        " 0 takes a free one. Finds who blocks the loop as well.",
        metavar="PORT",
        minimum=0,
        maximum=65535,
        optional_value="0",
    )
    console: int | None = option(
        None,
        "Start aiomonitor's console on the loop, at this port of 127.0.0.1; for development: whoever reaches the port"
        " runs code in the process.",
        metavar="PORT",
        minimum=0,
        maximum=65535,
        optional_value="20101",
    )
    metrics: str | None = option(
        None,
        "Serve /metrics, for Prometheus, and /healthz there; on 127.0.0.1 where no host is named.",
        metavar="PORT|HOST:PORT",
        optional_value="9464",
    )
    otel: bool = option(
        False,
        "Report stalls, calls and lag through OpenTelemetry's API too, to whatever the program sets up.",
    )
    health_limit: float = option(
        10.0, "Seconds that a loop may be blocked until /healthz answers 503.", metavar="SECONDS", above=0
    )

    @property
    def uses_tls(self) -> bool:
        return self.ssl_certfile is not None or self.ssl_context_factory is not None

    @property
    def threshold_ms(self) -> float | None:
        """From where a stall counts; None where stalls are not looked for."""
        if self.detect_blocking is None and self._faces:
            return DEFAULT_THRESHOLD_MS  # what shows the loops needs somebody who watches them
        if self.detect_blocking in (None, "calls"):
            return None
        return DEFAULT_THRESHOLD_MS if isinstance(self.detect_blocking, str) else self.detect_blocking

    @property
    def flags_calls(self) -> bool:
        """Whether synchronous calls within requests are flagged."""
        return self._shows_loops if self.detect_blocking is None else self.detect_blocking != "stalls"

    @property
    def _faces(self) -> list[str]:
        """The options given that show how the loops do."""
        given = {
            "--dashboard": self.dashboard,
            "--web-dashboard": self.web_dashboard is not None,
            "--console": self.console is not None,
            "--feed": self.feed not in (None, "off"),
            "--metrics": self.metrics is not None,
            "--otel": self.otel,
        }
        return [flag for flag, is_given in given.items() if is_given]

    @property
    def _finds_nothing(self) -> bool:
        """Whether no stall is looked for, however long it is."""
        return self.threshold_ms is None and self.hang_watch is None

    @property
    def _shows_loops(self) -> bool:
        return self.dashboard or self.web_dashboard is not None or self.console is not None

    def __post_init__(self) -> None:
        if self.env_file is not None:
            from loophound.env_file import missing_variables

            os.environ.update(missing_variables(os.fspath(self.env_file), os.environ))
        for name, _ in options():
            value = as_option(name, getattr(self, name))
            setattr(self, name, value)
            check(name, value)
        if self.record is not None and self._finds_nothing and not self.flags_calls:
            raise ConfigError("--record writes what the detector finds: add --detect-blocking, or a --hang-watch")
        if self.stall_limit is not None:
            if self.threshold_ms is None:
                raise ConfigError("--stall-limit interrupts what the detector finds: add --detect-blocking")
            check_stall_limit(self.stall_limit, self.threshold_ms)
        if self.ledger is not None and self._finds_nothing:
            raise ConfigError("--ledger keeps the stalls that are found: add --detect-blocking, or a --hang-watch")
        if self.dashboard and self.feed == "off":
            raise ConfigError("--dashboard reads the feed: leave out --feed off")
        unfed = [flag for flag in self._faces if flag != "--console"]  # which is of use without
        if unfed and self.detect_blocking == "calls" and self.hang_watch is None:
            raise ConfigError(
                f"{unfed[0]} shows the loops, which nobody watches with --detect-blocking=calls and --hang-watch off"
            )
        if self.h11_max_incomplete_event_size is not None:
            self.limit_head = self.h11_max_incomplete_event_size
        self._check_addresses()
        self._check_tls()
        self._check_processes()

    @property
    def is_supervised(self) -> bool:
        """Whether it takes more than one process."""
        return self.workers is not None or self.reload

    def _check_processes(self) -> None:
        if self.reload and self.workers is not None:
            raise ConfigError("--reload runs one worker, for development: leave out --workers (or WEB_CONCURRENCY)")
        if self.is_supervised and not isinstance(self.app, str):
            flag = "--reload" if self.reload else "--workers"
            raise ConfigError(
                f"{flag} imports the application in other processes: give it as text, such as"
                f' run("main:app", {flag[2:]}={self.workers or True}), not as an object'
            )
        if self.preload and self.workers is None:
            raise ConfigError("--preload is for workers: add --workers")
        if self.reuse_port and self.workers is None:
            raise ConfigError("--reuse-port is for workers: add --workers")
        if self.reuse_port and (self.fd is not None or self.uds is not None):
            raise ConfigError("--reuse-port is for TCP ports: leave out --fd and --uds")
        if self.max_worker_memory is not None and self.workers is None:
            raise ConfigError("--max-worker-memory is for workers: add --workers")
        if not self.reload:
            for name in ("reload_dirs", "reload_includes", "reload_excludes"):
                if getattr(self, name):
                    raise ConfigError(f"{flag_of(name)} is for --reload: add it")

    def _check_addresses(self) -> None:
        if self.fd is not None and self.uds is not None:
            raise ConfigError("--fd and --uds are two places to listen: give one of them, or several --bind")
        for text in self.bind:
            parse_address(text)
        for name in ("host", "port", "uds", "fd"):
            if self.bind and getattr(self, name) != default_of(name):
                raise ConfigError(f"--bind and {flag_of(name)} both say where to listen: give one of them")

    def _check_tls(self) -> None:
        if not self.uses_tls:
            for name in ("ssl_keyfile", "ssl_keyfile_password", "ssl_ca_certs", "ssl_ciphers"):
                if getattr(self, name) is not None:
                    raise ConfigError(f"{flag_of(name)} is for TLS: add --ssl-certfile")
        if self.ssl_cert_reqs != "none" and self.ssl_ca_certs is None and self.ssl_context_factory is None:
            raise ConfigError(
                f"--ssl-cert-reqs {self.ssl_cert_reqs} wants to know whose certificates: add --ssl-ca-certs"
            )


def check_stall_limit(limit_s: float | None, threshold_ms: float) -> None:
    """Raises ConfigError for a limit that no stall could exceed before it counts as one."""
    if limit_s is not None and limit_s * 1000 < 2 * threshold_ms:
        raise ConfigError(
            f"--stall-limit is at least twice the threshold of --detect-blocking, which is {threshold_ms:g} ms;"
            f" got {limit_s:g} s"
        )


@cache
def table() -> dict[str, tuple[Option, Kind, Any]]:
    """The description, the kind and the default of each option, in the order of this file."""
    hints = get_type_hints(Config)
    return {
        entry.name: (entry.metadata["option"], _kind(hints[entry.name]), entry.default)
        for entry in fields(Config)
        if "option" in entry.metadata
    }


def options() -> Iterator[tuple[str, Option]]:
    """The name and the description of each option, in the order of this file."""
    for name, (spec, _, _) in table().items():
        yield name, spec


def kind_of(name: str) -> Kind:
    return table()[name][1]


def default_of(name: str) -> Any:
    return table()[name][2]


def flag_of(name: str) -> str:
    return table()[name][0].flag or "--" + name.replace("_", "-")


def env_of(name: str) -> str:
    return ENV_PREFIX + name.upper()


def variables_of(name: str) -> list[str]:
    """The environment variables that set an option; the first one that is set counts."""
    variables = [env_of(name), table()[name][0].other_env, UVICORN_ENV_PREFIX + name.upper()]
    return [variable for variable in variables if variable]


def from_env(environ: Mapping[str, str], names: Iterable[str] | None = None) -> dict[str, Any]:
    """The options that the environment sets; an empty variable counts as not set.

    Raises ConfigError that names the variable.
    """
    found = {}
    for name in table() if names is None else names:
        for variable in variables_of(name):
            if text := environ.get(variable, ""):
                found[name] = parse(name, text, label=variable)
                break
    return found


def as_option(name: str, value: Any) -> Any:
    """`value` as the option's own type, where Python has other words for it: a path, a list, a number of logging."""
    spec, kind, _ = table()[name]
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if kind.type is tuple and isinstance(value, (list, tuple, NoneType)):
        return tuple(": ".join(entry) if _is_texts(entry) else entry for entry in value or ())
    if kind.type is str and _is_texts(value):
        return ",".join(value)
    if spec.aliases and isinstance(value, int) and not isinstance(value, bool):
        value = f"{int(value)}"
    if isinstance(value, str):
        return _word(spec, kind, value)
    return value


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)


def _word(spec: Option, kind: Kind, text: str) -> str:
    """The choice that a word stands for, in capitals too; other text as it is."""
    known = text.lower()
    known = spec.aliases.get(known, known)
    return known if known in kind.choices else text


def stands_for_none(name: str, value: Any) -> bool:
    """Whether a text switches an option off that can be; for numbers "off" does, too."""
    _, kind, _ = table()[name]
    words = ("none", "off") if kind.type in (int, float) else ("none",)
    return kind.nullable and kind.type is not str and isinstance(value, str) and value.lower() in words


def parse(name: str, text: str, label: str | None = None) -> Any:
    """The value that `text` stands for. Raises ConfigError that names `label`, by default the flag."""
    label = label or flag_of(name)
    spec, kind, _ = table()[name]
    text = _word(spec, kind, text)
    if stands_for_none(name, text):
        return None
    value: Any
    try:
        if kind.type is tuple:  # in the environment, one a line
            value = tuple(line.strip() for line in text.splitlines() if line.strip())
        else:
            value = TRUTHS[text.lower()] if kind.type is bool else text if text in spec.words else kind.type(text)
    except (KeyError, ValueError):
        raise _refusal(name, text, label) from None
    check(name, value, label)
    return value


def check(name: str, value: Any, label: str | None = None) -> None:
    """Hold a value against the type and the limits of its option. Raises ConfigError."""
    spec, kind, _ = table()[name]
    if (value is None and kind.nullable) or (kind.mapping and isinstance(value, dict)) or _is_word(spec, value):
        return
    if not _has_type(value, kind.type) or not _is_choice(kind, value):
        raise _refusal(name, value, label or flag_of(name))
    if kind.type in (int, float) and not _within(spec, value):
        raise _refusal(name, value, label or flag_of(name))


def _is_choice(kind: Kind, value: Any) -> bool:
    return not kind.choices or value in kind.choices or (kind.importable and ":" in value)


def _is_word(spec: Option, value: Any) -> bool:
    return isinstance(value, str) and value in spec.words


def _has_type(value: Any, wanted: type) -> bool:
    if wanted is tuple:
        return isinstance(value, tuple) and all(isinstance(entry, str) for entry in value)
    if wanted is float:  # an int will do for seconds; a bool is a mistake
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def _within(spec: Option, value: float) -> bool:
    return (
        math.isfinite(value)
        and (spec.minimum is None or value >= spec.minimum)
        and (spec.maximum is None or value <= spec.maximum)
        and (spec.above is None or value > spec.above)
    )


def _refusal(name: str, value: Any, label: str) -> ConfigError:
    spec, kind, default = table()[name]
    example = spec.optional_value if default is None else f"{default}"
    shown = repr(value) if isinstance(value, str) else f"{value}"
    hint = f", such as {example}" if kind.type in (int, float) and example else ""
    return ConfigError(f"{label} takes {wanted(name)}{hint}; got {shown}")


def wanted(name: str) -> str:
    """What values the option takes, in words."""
    spec, kind, _ = table()[name]
    if kind.choices:
        words = ", ".join(kind.choices)
        return f"one of {words}" + (", or module:attribute" if kind.importable else "")
    if kind.type is str:
        return "text"
    if kind.type is tuple:
        return f"{spec.metavar}, repeatable"
    if kind.type is bool:
        return "true or false"
    unit = {"MS": " of milliseconds", "SECONDS": " of seconds"}.get(spec.metavar.partition("|")[0], "")
    noun = "a whole number" if kind.type is int else f"a number{unit}"
    if spec.above is not None:
        return " or ".join([f"{noun} above {spec.above:g}", *spec.words])
    if spec.maximum is not None:
        return f"{noun} from {spec.minimum or 0:g} to {spec.maximum:g}"
    return noun if spec.minimum is None else f"{noun}, at least {spec.minimum:g}"


def _kind(hint: Any) -> Kind:
    nullable = NoneType in get_args(hint)
    union = get_origin(hint) in (Union, UnionType)
    parts = [part for part in get_args(hint) if part is not NoneType] if union else [hint]
    mapping = any(get_origin(part) is dict for part in parts)
    inner, *text = [part for part in parts if get_origin(part) is not dict]  # a number before the words for it
    if get_origin(inner) is Literal:
        return Kind(str, choices=get_args(inner), importable=text == [str], nullable=nullable)
    if get_origin(inner) is tuple:
        return Kind(tuple, nullable=nullable)
    return Kind(inner, nullable=nullable, mapping=mapping)
