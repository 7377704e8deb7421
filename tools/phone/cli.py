"""`inkan-phone`: what the phone's page does, for a terminal or a program (docs/phone.md).

ID and password are asked for without echo. A program gives the password in the environment (INKAN_PASSWORD) or in a
file, never as an argument: other users of a computer can read the arguments of every program, and shells keep them.
"""

import argparse
import asyncio
import contextlib
import getpass
import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path

from firmware import unique_info
from tools.phone.commands import COMMANDS, Commands
from tools.phone.faults import DONE, UsageError, fault_of
from tools.phone.session import Session

_EXIT_CODES = """exit codes: 0 done; 1 refused (wrong, locked, busy, no credential, session over); 2 the command is not
right; 3 not reached, or the link lost; 4 refused by the module's rules (field, not allowed, used up, stale, enrolment);
5 not the protocol. --json writes one JSON object for each command."""
_INTERRUPTED = 130


def main(arguments=None):
    options = _parser().parse_args(_separated(sys.argv[1:] if arguments is None else arguments))
    try:
        return asyncio.run(_run(options))
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser():
    parser = argparse.ArgumentParser(
        prog="inkan-phone", allow_abbrev=False, description=__doc__.partition("\n\n")[2], epilog=_EXIT_CODES
    )
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument("--ble", metavar="NAME|ADDRESS", help="a Bluetooth adapter of this computer")
    ways.add_argument("--house", metavar="URL", help="the radio of a running house (http://localhost:8000)")
    ways.add_argument("--relay", metavar="LINK", help="through the server, by the link in the message; - asks for it")
    ways.add_argument("--serial", metavar="PORT", help="a serial line, as /dev/ttyACM0 or COM3")
    parser.add_argument("--module", metavar="NAME|ADDRESS", help="of several that --ble or --house hears")
    parser.add_argument("--ca", metavar="FILE", help="--relay: what signs the server's certificate (PEM)")
    parser.add_argument("--id", metavar="ID", help="without it, it is asked for")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="one line; else INKAN_PASSWORD, else asked")
    parser.add_argument(
        "--code-file", type=Path, metavar="FILE", help="enrol: the one-time code; else INKAN_CODE, else asked"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before a group is deleted or everything wiped")
    parser.add_argument("--json", action="store_true", help="answers and errors as JSON, one line for each command")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_commands(commands)
    script = commands.add_parser("script", help="commands, one a line, in one session; ends with the first that fails")
    script.add_argument("file", nargs="?", metavar="FILE", help="standard input without it")
    return parser


def add_commands(commands):
    """The commands that can be in a script, and on the command line."""
    groups, fields = unique_info.GROUPS[1:], [field[0] for field in unique_info.FIELDS.values()]
    commands.add_parser("scan", help="modules that are heard (--ble, --house)")
    commands.add_parser("info", help="what the module says to everybody; nothing of it is proved")
    commands.add_parser("status", help="log in; what the credential allows")
    view = commands.add_parser("view", help="log in; the fields of a group, or of all that may be seen")
    view.add_argument("group", nargs="?", choices=groups)
    change = commands.add_parser("set", help="log in; set fields, all of them or none")
    change.add_argument("values", nargs="+", metavar="FIELD=VALUE", help=", ".join(fields))
    delete = commands.add_parser("delete", help="log in; delete fields of a group, without any the whole group")
    delete.add_argument("group", choices=groups)
    delete.add_argument("fields", nargs="*", metavar="FIELD")
    enrol = commands.add_parser("enrol", help="log in; enter a connection by host and one-time code")
    enrol.add_argument("host", metavar="HOST")
    commands.add_parser("wipe", help="log in; delete everything after tampering, with a credential that may recover")


def _separated(arguments):
    """`--house view` means the house of always: an address never is a command's name."""
    found = []
    for at, argument in enumerate(arguments):
        following = arguments[at + 1 : at + 2]
        alone = not following or following[0].startswith("-") or following[0] in COMMANDS
        found.append(f"{argument}=" if argument in ("--ble", "--house") and alone else argument)
    return found


async def _run(options):
    out = _Output(options.json)
    session = None
    try:
        carrier = _carrier(options)
        session = Session(carrier, out.told)
        commands = Commands(carrier, session, Secrets(options), options.yes, out)
        if options.command != "script":
            return await _carried_out(commands, options, out)
        lines = _lines(options.file)
        while (words := await _beside(lambda: next(lines, None))) is not None:
            code = await _carried_out(commands, _parsed(words), out)
            if code != DONE:
                return code
        return DONE
    except Exception as error:
        return out.failed(options.command, error)
    finally:
        if session:
            await session.close()


async def _carried_out(commands, options, out):
    try:
        out.done(options.command, *await commands.carry_out(options))
        return DONE
    except Exception as error:
        return out.failed(options.command, error)


def _carrier(options):
    module = options.module
    if options.ble is not None:
        from tools.phone.links.ble import BleCarrier

        return BleCarrier(options.ble or module)
    if options.house is not None:
        from tools.phone.links.house import HouseCarrier

        return HouseCarrier(options.house or None, module)
    if module:
        raise UsageError("--module is for --ble and --house: the other ways lead to one module")
    if options.relay is not None:
        from tools.phone.links.relay import RelayCarrier

        return RelayCarrier(_asked("Link: ") if options.relay == "-" else options.relay, options.ca)
    from tools.phone.links.serial_line import SerialCarrier

    return SerialCarrier(options.serial)


def _lines(path):
    """Words of each command. The lines are read as they are wanted, so that they can be typed."""
    try:
        file = open(path, encoding="utf-8") if path else sys.stdin  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    with file:
        for number, line in enumerate(file, 1):
            try:
                words = shlex.split(line, comments=True)
            except ValueError as error:
                raise UsageError(f"line {number}: {error}") from None
            if words:
                yield words


class _ScriptParser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(message)


def _parsed(words):
    parser = _ScriptParser(prog="", add_help=False)
    add_commands(parser.add_subparsers(dest="command", required=True, parser_class=_ScriptParser))
    return parser.parse_args(words)


async def _beside(function):
    """What a function returns, while the loop goes on: links live from it. Nobody waits for it at the program's end."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def settle(result, error):
        if not future.done():
            future.set_exception(error) if error else future.set_result(result)

    def run():
        result = error = None
        try:
            result = function()
        except Exception as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is over
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await future


def _asked(prompt):
    with _interruptible():
        try:
            return getpass.getpass(prompt)
        except EOFError:
            raise UsageError(f"nobody answers {prompt!r}") from None


@contextlib.contextmanager
def _interruptible():
    """Within it Ctrl-C ends what a person is asked, and not only what the loop does next."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Secrets:
    """Where ID, password and one-time code come from. None of them is kept."""

    def __init__(self, options):
        self._options = options

    def user_id(self):
        return self._options.id or _asked("ID: ")

    def password(self):
        return self._secret(self._options.password_file, "INKAN_PASSWORD", "Password: ")

    def code(self):
        return self._secret(self._options.code_file, "INKAN_CODE", "One-time code: ")

    def _secret(self, path, variable, prompt):
        if path:
            try:
                return path.read_text().strip()
            except (OSError, UnicodeError):
                raise UsageError(f"{path} cannot be read") from None
        return os.environ.get(variable) or _asked(prompt)


class _Output:
    """Answers to standard output; errors too where they are JSON, else to standard error."""

    def __init__(self, as_json):
        self._as_json = as_json

    def done(self, command, answer, lines):
        if self._as_json:
            self._object({"command": command, "ok": True, **answer})
        else:
            print("\n".join(lines), flush=True)

    def failed(self, command, error):
        """Returns the exit code; raises what is no fault but a defect."""
        fault = fault_of(error)
        if fault is None:
            raise error
        if self._as_json:
            told = {"code": fault.code, "text": fault.text, **fault.more}
            self._object({"command": command, "ok": False, "exit": fault.exit_code, "error": told})
        else:
            self.say(f"{command}: {fault.text}")
        return fault.exit_code

    def told(self, code):
        """Of the link: it was lost, or stands again."""
        self.say({"lost": "the link is lost; trying again", "back": "the link stands again"}[code])

    def say(self, text):
        if not self._as_json:
            print(f"inkan-phone: {text}", file=sys.stderr, flush=True)

    def progress(self, done, total):
        if not self._as_json and sys.stderr.isatty():
            print(f"\r{100 * done // max(total, 1)} %", end="\r", file=sys.stderr, flush=True)

    def confirm(self, question):
        """True if a person says yes. UsageError where there is none to ask."""
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to ask: add --yes if it is meant")
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        with _interruptible():
            return sys.stdin.readline().strip().lower() in ("y", "yes")

    def _object(self, value):
        print(json.dumps(value, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    sys.exit(main())
