"""Command line of the PPS's server: `python -m tools.pps serve --data DIR`."""

import argparse
import asyncio
import getpass
import json
import logging
import os
import signal
import ssl
import sys
import time
from pathlib import Path

from tools.pps.errors import ServiceError
from tools.pps.services.access import ROLES
from tools.pps.services.self_service import Policy, read_policy
from tools.pps.settings import MailSettings, ProxySettings, Settings, SmsSettings

_COMMAND_LINE = "command line"
"""Under this name the trail has what is done here."""
_OPENAPI = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def main(arguments=None):
    """Run a command; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    return chosen.run(chosen)


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tools.pps", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="run the three listeners",
        description="DATABASE_URL names another database than SQLite in DIR. PPS_MAIL_PASSWORD and PPS_SMS_TOKEN "
        "hold the gateways' secrets, PPS_CONSOLE_KEY that of the console's cookies.",
    )
    serve.add_argument("--data", type=Path, required=True, metavar="DIR", help="database, keys, certificates")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at (default %(default)s)")
    serve.add_argument("--host-name", default="localhost", help="what modules call it by (default %(default)s)")
    serve.add_argument("--module-port", type=int, default=8443, help="mutual TLS (default %(default)s)")
    serve.add_argument("--enrol-port", type=int, default=8444, help="enrolment, phones (default %(default)s)")
    serve.add_argument("--console-port", type=int, default=8080, help="operators (default %(default)s)")
    serve.add_argument("--console-behind-https", action="store_true", help="a proxy gives the console HTTPS")
    serve.add_argument(
        "--behind-proxy",
        metavar="WHERE",
        type=ProxySettings.parse,
        help="plain HTTP to a proxy that ends TLS: unix:FOLDER for sockets in a folder, or the proxy's addresses",
    )
    serve.add_argument("--credential-url", help="the module listener as modules reach it, where a proxy serves it")
    serve.add_argument("--enrol-host", metavar="HOST[:PORT]", help="what is typed to enrol, where a proxy serves it")
    serve.add_argument(
        "--operations-port", type=int, metavar="PORT", help="/healthz, /readyz, /metrics; off where it is left out"
    )
    serve.add_argument("--operations-host", default="127.0.0.1", help="never a public one (default %(default)s)")
    serve.add_argument("--energy-url", help="another server for energy")
    serve.add_argument("--phone-url", help="the phone's page as messages name it, where a proxy serves it")
    serve.add_argument("--smtp", metavar="HOST:PORT", help="mail server")
    serve.add_argument("--smtp-user", help="log in to it, after STARTTLS")
    serve.add_argument(
        "--smtp-tls", choices=("starttls", "tls", "none"), help="default: starttls with --smtp-user, else none"
    )
    serve.add_argument("--smtp-ca", metavar="FILE", help="CA of the mail server, PEM, in place of the system's")
    serve.add_argument("--mail-from", default="noreply@localhost", help="sender (default %(default)s)")
    serve.add_argument("--sms-url", help="SMS gateway: POST {to, text}")
    serve.add_argument(
        "--self-service",
        metavar="FILE",
        help="residents may ask for a credential themselves; what they get, as JSON, or `default` (docs/server.md)",
    )
    serve.add_argument("--request-url", help="the page for that as messages name it, where a proxy serves it")
    serve.add_argument("--console-url", help="the console as mails about alarms name it")
    serve.add_argument(
        "--alarm-mails", type=int, default=6, metavar="N", help="to one operator within an hour (default %(default)s)"
    )
    serve.set_defaults(run=_serve)

    _add_operator_commands(commands)

    files = commands.add_parser("proxy-files", help="what a proxy needs: a server certificate, the CAs of modules")
    files.add_argument("--data", type=Path, required=True, metavar="DIR")
    files.add_argument("--host-name", required=True, action="append", help="what modules call it by; may be repeated")
    files.add_argument("--out", type=Path, required=True, metavar="DIR")
    files.set_defaults(run=_write_proxy_files)

    openapi = commands.add_parser("openapi", help="write docs/openapi.json")
    openapi.set_defaults(run=_write_openapi)
    return parser


def _add_operator_commands(commands):
    operator = commands.add_parser(
        "operator",
        help="who may use the console",
        description="operator: everything; installer: issues credentials and enrolment codes; read_only: looks.",
    )
    actions = operator.add_subparsers(required=True, metavar="ACTION")
    for name, help_text in (
        ("add", "make an account"),
        ("role", "change an account's role"),
        ("password", "give an account another password"),
        ("disable", "take an account away"),
        ("list", "every account with its role"),
    ):
        action = actions.add_parser(name, help=help_text)
        action.add_argument("--data", type=Path, required=True, metavar="DIR")
        if name != "list":
            action.add_argument("name", metavar="NAME")
        if name in ("add", "role"):
            action.add_argument(
                "--role", choices=ROLES, default=ROLES[0] if name == "add" else None, required=name == "role"
            )
        if name in ("add", "password"):
            action.add_argument("--random", action="store_true", help="make a password and print it")
        action.set_defaults(run=_operator, action=name)


def _serve(chosen):
    mail = None
    if chosen.smtp:
        host, _, port = chosen.smtp.rpartition(":")
        password = os.environ.get("PPS_MAIL_PASSWORD")
        mail = MailSettings(
            host, int(port), chosen.mail_from, chosen.smtp_user, password, chosen.smtp_tls, chosen.smtp_ca
        )
    sms = SmsSettings(chosen.sms_url, os.environ.get("PPS_SMS_TOKEN")) if chosen.sms_url else None
    policy = None
    if chosen.self_service:
        try:
            policy = (
                Policy() if chosen.self_service == "default" else read_policy(Path(chosen.self_service).read_text())
            )
        except (OSError, ServiceError) as error:
            print(error, file=sys.stderr)
            return 1
    settings = Settings(
        chosen.data,
        host=chosen.host,
        host_name=chosen.host_name,
        module_port=chosen.module_port,
        enrol_port=chosen.enrol_port,
        console_port=chosen.console_port,
        database_url=os.environ.get("DATABASE_URL"),
        proxy=chosen.behind_proxy,
        operations_port=chosen.operations_port,
        operations_host=chosen.operations_host,
        credential_url=chosen.credential_url,
        enrol_host=chosen.enrol_host,
        energy_url=chosen.energy_url,
        phone_url=chosen.phone_url,
        mail=mail,
        sms=sms,
        self_service=policy,
        request_url=chosen.request_url,
        console_address=chosen.console_url,
        alarm_mails_an_hour=max(chosen.alarm_mails, 1),
        console_behind_https=chosen.console_behind_https,
    )
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_serve_until_told(settings))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _serve_until_told(settings):
    from tools.pps.server import PpsServer

    server = PpsServer(settings)
    await server.start()
    print(f"console    {server.console_url}")
    print(f"modules    {server.credential_url}")
    print(f"enrolment  {server.enrol_host}")
    print(f"phones     {server.phone_url}", flush=True)
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
    await server.stop()


def _operator(chosen):
    from tools.pps.db import Database
    from tools.pps.services.operators import Operators, new_password

    random = getattr(chosen, "random", False)
    password = None
    if chosen.action in ("add", "password"):
        password = new_password() if random else getpass.getpass("Password: ")
    chosen.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = Settings(chosen.data, database_url=os.environ.get("DATABASE_URL"))
    database = Database(settings.resolved_database_url())
    try:
        database.migrate()
        operators = Operators(database, lambda: int(time.time()))
        if chosen.action == "add":
            operators.add(chosen.name, password, chosen.role, _COMMAND_LINE)
        elif chosen.action == "role":
            operators.set_role(chosen.name, chosen.role, _COMMAND_LINE)
        elif chosen.action == "password":
            operators.set_password(chosen.name, password, _COMMAND_LINE)
        elif chosen.action == "disable":
            operators.disable(chosen.name, _COMMAND_LINE)
        else:
            for each in operators.all():
                print(each.role, each.name, *(["(disabled)"] if each.disabled_at is not None else []), sep="\t")
    except ServiceError as error:
        print(error.message, file=sys.stderr)
        return 1
    finally:
        database.close()
    if random:
        print(password)
    return 0


def _write_proxy_files(chosen):
    from tools.pps.ca import DevelopmentCa, write_private

    ca = DevelopmentCa(chosen.data / "ca")
    chosen.out.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_private(chosen.out / "server.pem", ca.pps.make_server_certificate(chosen.host_name))
    authorities = (ca.pps.certificate_der, ca.maker.certificate_der)
    (chosen.out / "module-ca.pem").write_text("".join(map(ssl.DER_cert_to_PEM_cert, authorities)))
    return 0


def openapi_text():
    """docs/openapi.json as it has to be."""
    from tools.pps.app import openapi

    return json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n"


def _write_openapi(chosen):
    _OPENAPI.write_text(openapi_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
