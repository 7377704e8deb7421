"""Everything about a server that is chosen when it is started."""

import ipaddress
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

_PHONE_PAGE = Path(__file__).resolve().parents[2] / "build" / "phone"


@dataclass(frozen=True)
class MailSettings:
    """An SMTP server. `tls`: "starttls" (RFC 3207), "tls" from the first byte (RFC 8314) or "none"; left out, it is
    STARTTLS where somebody logs in, else none. `ca_file`: PEM of another CA than the system's."""

    host: str
    port: int
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: str | None = None
    ca_file: str | None = None

    @property
    def security(self):
        return self.tls or ("starttls" if self.user is not None else "none")


@dataclass(frozen=True)
class SmsSettings:
    """An HTTP gateway that takes POST {"to", "text"} as JSON, with a bearer token."""

    url: str
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ProxySettings:
    """A proxy that ends TLS: on this machine by Unix sockets in a folder (`sockets`), or at addresses (`networks`)."""

    sockets: Path | None = None
    networks: tuple = ()

    @classmethod
    def parse(cls, text):
        """From "unix:FOLDER", or addresses and networks with commas between. ValueError."""
        if text.startswith("unix:/"):
            return cls(sockets=Path(text.removeprefix("unix:")))
        return cls(networks=tuple(ipaddress.ip_network(part.strip()) for part in text.split(",")))


@dataclass(frozen=True)
class Settings:
    """`data_dir` is made where it is missing. Ports: 0 = any free one.

    `host` is what the listeners bind to, `host_name` what modules call the server by.
    URLs left out are made from `host_name` and the module listener's port, `enrol_host` (what a user types to enrol,
    host:port) from the enrolment listener's, which also serves phones: `phone_url` (of the page, in messages) follows
    from `enrol_host`, and `phone_page` is the folder that the page is in.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    host_name: str = "localhost"
    module_port: int = 0
    enrol_port: int = 0
    console_port: int = 0
    database_url: str | None = None
    credential_url: str | None = None
    energy_url: str | None = None
    enrol_host: str | None = None
    phone_url: str | None = None
    phone_page: Path = _PHONE_PAGE
    energy_ca_der: bytes | None = field(default=None, repr=False)
    mail: MailSettings | None = None
    sms: SmsSettings | None = None
    self_service: object = None
    """What residents get who ask themselves: services.self_service.Policy; None = the page is closed."""
    request_url: str | None = None
    """That page, as messages name it; left out, it follows from `enrol_host`."""
    console_address: str | None = None
    """The console as mails about alarms name it; left out, it is where it listens."""
    alarm_mails_an_hour: int = 6
    """At most so many to one operator; what comes above goes together into the next."""
    operations_port: int | None = None
    """/healthz, /readyz, /metrics; None = not at all. Never to be reached from outside, see operations.py."""
    operations_host: str = "127.0.0.1"
    proxy: ProxySettings | None = None
    """The listeners then speak plain HTTP, to this proxy alone. `credential_url` and `enrol_host` have to be given."""
    console_behind_https: bool = False
    """Browsers reach the console by HTTPS (a proxy before it): its cookies are then marked so."""

    @property
    def database_path(self):
        """Path of the SQLite file, or None with another database."""
        return None if self.database_url else Path(self.data_dir) / "pps.sqlite3"

    def resolved_database_url(self):
        return self.database_url or f"sqlite:///{self.database_path}"

    def console_key(self):
        """Key of the session cookies: PPS_CONSOLE_KEY (the same on every replica), else made in the data folder."""
        given = os.environ.get("PPS_CONSOLE_KEY")
        if given:
            return given
        path = Path(self.data_dir) / "console.key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text()
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        return path.read_text()
